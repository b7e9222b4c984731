"""Mistakes that type checkers must report: mypy, which `make lint` runs, complains of a comment that hides nothing.

tests/typing/test_typing.py has pyright look for the same.
"""

from __future__ import annotations

from torch import Tensor

from ffprep import Loader
from ffprep.presets import image_text_train, imagenet_train, imagenet_val, text_blocks, text_rows
from ffprep.transforms import RandomHorizontalFlip

imagenet_train("train.beton", flipp=0.5)  # type: ignore[call-arg]
imagenet_train("train.beton", os_cach=True)  # type: ignore[call-arg]
imagenet_train("train.beton", flip="half")  # type: ignore[arg-type]
imagenet_train("train.beton", interpolation="cubic")  # type: ignore[arg-type]
imagenet_train("train.beton", on_error="ignore")  # type: ignore[arg-type]
imagenet_train("train.beton", pad="zeros")  # type: ignore[arg-type]
imagenet_train("train.beton", order="random")  # type: ignore[arg-type]
imagenet_train("train.beton", batch_size="256")  # type: ignore[arg-type]
imagenet_train(3)  # type: ignore[arg-type]
imagenet_val("val.beton", crop="centre")  # type: ignore[arg-type]
imagenet_val("val.beton", flip=0.5)  # type: ignore[call-arg]
image_text_train("pairs.beton", captions="last")  # type: ignore[arg-type]
text_blocks("text.beton", 16, blockz=192)  # type: ignore[call-arg]
text_rows("cola.beton", mask="yes")  # type: ignore[arg-type]
Loader("train.beton")  # type: ignore[call-arg]
Loader("train.beton", 256, shuffle=True)  # type: ignore[call-arg]
RandomHorizontalFlip(prob=0.5)  # type: ignore[call-arg]
for (images,) in imagenet_train("train.beton"):  # type: ignore[misc]
    print(images)
for images, _ in imagenet_train("train.beton"):
    images.astype("float32")  # type: ignore[attr-defined]
loader: Loader[tuple[Tensor, Tensor]] = imagenet_train("train.beton")
for images, labels, mask in loader:  # type: ignore[misc]
    print(images, labels, mask)
print(loader.stats().samplez)  # type: ignore[attr-defined]

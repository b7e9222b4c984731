"""Loaders that `ffprep.inspect.timing.paired` can time: each function returns a callable that runs one epoch.

All loaders do the same work: random resized crop to 224 (or the whole image), random horizontal flip, normalisation
with ImageNet's mean and standard deviation, float32 CHW batches. Like a training step, they touch a value of each
batch. Each function imports its own loader, because the time that takes is part of the start-up that is measured.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
Epoch = Callable[[], int]


def _count(loader: Any) -> int:
    samples = 0
    for images, *_ in loader:
        float(images[0, 0, 0, 0])
        samples += len(images)
    return samples


def imagenet_loader(
    path: str,
    batch_size: int = 64,
    num_workers: int = 1,
    scale: Sequence[float] = (0.08, 1.0),
    validation: bool = False,
    **options: Any,
) -> Any:
    """ffprep's loader on a .beton file, with random crops or, for `validation`, whole images."""
    from ffprep.presets import imagenet_train, imagenet_val

    if validation:
        return imagenet_val(path, batch_size=batch_size, num_workers=num_workers, **options)
    return imagenet_train(
        path,
        batch_size=batch_size,
        num_workers=num_workers,
        seed=0,
        scale=(scale[0], scale[1]),
        **{"drop_last": False, **options},
    )


def ffprep_loader(path: str, **options: Any) -> Epoch:
    """An epoch of `imagenet_loader`."""
    loader = imagenet_loader(path, **options)
    return lambda: _count(loader)


def ffprep_images(
    path: str | list[str],
    samples: int,
    batch_size: int = 64,
    num_workers: int = 1,
    scale: Sequence[float] = (0.08, 1.0),
    validation: bool = False,
    index: bool | None = None,
) -> Epoch:
    """ffprep's loader on the first samples of any file with images. All fields are read."""
    import numpy as np

    from ffprep.beton.reader import Reader
    from ffprep.fields import RGBImageField
    from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder, ResizeRGBImageDecoder
    from ffprep.loader import Loader, OrderOption
    from ffprep.presets import image_pipeline, number_pipelines

    pipelines = number_pipelines(path)
    with Reader(path if isinstance(path, str) else path[0], check=False) as reader:
        for name, field in reader.fields.items():
            if isinstance(field, RGBImageField) and validation:
                pipelines[name] = image_pipeline(ResizeRGBImageDecoder((224, 224)))
            elif isinstance(field, RGBImageField):
                decoder = RandomResizedCropRGBImageDecoder((224, 224), scale=(scale[0], scale[1]))
                pipelines[name] = image_pipeline(decoder, flip=0.5)
        names = list(reader.fields)
    loader = Loader(
        path,
        batch_size,
        num_workers,
        order=OrderOption.SEQUENTIAL if validation else OrderOption.RANDOM,
        seed=0,
        indices=np.arange(samples),
        drop_last=False,
        index=index,
        pipelines={name: pipelines[name] for name in names},
    )
    return lambda: _count_any(loader)


def ffprep_cold(path: str, **options: Any) -> Epoch:
    """ffprep's loader on a file that is not in memory: it is dropped from there before each epoch, and opened anew."""
    from ffprep.inspect.timing.page_cache import drop, resident_share

    def epoch() -> int:
        drop(Path(path))
        if (share := resident_share(Path(path))) is not None and share > 0.5:
            raise RuntimeError(
                f"{path} stays in memory: another process uses it, or it lies in a file system of memory"
            )
        samples = ffprep_images(path, **options)()
        gc.collect()  # the mapping goes with the loader
        return samples

    return epoch


def ffprep_numbers(path: str | list[str], samples: int, batch_size: int = 64, num_workers: int = 1) -> Epoch:
    """ffprep's loader on the first samples of a file without images, in random order."""
    import numpy as np

    from ffprep.loader import Loader, OrderOption
    from ffprep.presets import number_pipelines

    loader = Loader(
        path,
        batch_size,
        num_workers,
        order=OrderOption.RANDOM,
        seed=0,
        indices=np.arange(samples),
        drop_last=False,
        pipelines=number_pipelines(path),
    )
    return lambda: _count_any(loader)


def ffprep_blocks(path: str | list[str], samples: int, batch_size: int = 64, num_workers: int = 1) -> Epoch:
    """ffprep's loader on the first blocks of tokens of a file, in random order."""
    import numpy as np

    from ffprep.presets import text_blocks

    loader = text_blocks(path, batch_size, num_workers, seed=0, indices=np.arange(samples), drop_last=False)
    return lambda: _count_any(loader)


def _count_any(loader: Any) -> int:
    samples = 0
    for first, *_ in loader:
        samples += len(first)
    return samples


def stock_loader(
    path: str,
    batch_size: int = 64,
    num_workers: int = 1,
    scale: Sequence[float] = (0.08, 1.0),
    validation: bool = False,
    samples: int | None = None,
    decoders: str = "stock",
) -> Any:
    """Stock ffcv's loader on a .beton file, or on its first samples.

    If `decoders` is ``ffprep``, the pipelines begin with the decoders of ``ffprep.compat.ffcv``; with ``ffprep+flip``
    these also flip, and with ``ffprep+all`` they normalise as well.
    """
    import numpy as np
    from ffcv.fields.decoders import (
        CenterCropRGBImageDecoder,
        IntDecoder,
        RandomResizedCropRGBImageDecoder,
    )
    from ffcv.loader import Loader, OrderOption
    from ffcv.reader import Reader
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, Squeeze, ToTensor, ToTorchImage

    mean, std = 255 * np.array(MEAN), 255 * np.array(STD)
    normalise = [NormalizeImage(mean, std, np.float32), ToTensor(), ToTorchImage(channels_last=False)]
    image: list[Any]
    if validation:
        image = [CenterCropRGBImageDecoder((224, 224), ratio=1), *normalise]
    else:
        image = [RandomResizedCropRGBImageDecoder((224, 224), scale=tuple(scale)), RandomHorizontalFlip(), *normalise]
    if decoders != "stock":
        from ffprep.compat import ffcv as ours

        if validation:
            image[0] = ours.CenterCropRGBImageDecoder((224, 224), ratio=1)
        elif decoders == "ffprep+all":
            fused = ours.RandomResizedCropRGBImageDecoder((224, 224), scale, flip_prob=0.5, mean=mean, std=std)
            image[:3] = [fused]
        elif decoders == "ffprep+flip":
            image[:2] = [ours.RandomResizedCropRGBImageDecoder((224, 224), scale, flip_prob=0.5)]
        else:
            image[0] = ours.RandomResizedCropRGBImageDecoder((224, 224), scale)
    label = {"label": [IntDecoder(), ToTensor(), Squeeze()]} if "label" in Reader(path).field_names else {}
    return Loader(
        path,
        batch_size=batch_size,
        num_workers=num_workers,
        os_cache=True,
        order=OrderOption.SEQUENTIAL if validation else OrderOption.RANDOM,
        drop_last=False,
        indices=None if samples is None else np.arange(samples),
        pipelines={"image": image, **label},
    )


def ffcv_loader(path: str, **options: Any) -> Epoch:
    """An epoch of `stock_loader`."""
    loader = stock_loader(path, **options)
    return lambda: _count(loader)


class _Files:
    """A map-style data set of image files, like torchvision's ImageFolder."""

    def __init__(self, folder: Path, transform: Callable[[Any], Any]) -> None:
        self.files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpeg", ".jpg"))
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        from PIL import Image

        with Image.open(self.files[i]) as image:
            return self.transform(image.convert("RGB")), 0


def _data_loader(dataset: Any, batch_size: int, num_workers: int) -> Epoch:
    import torch

    # One worker process for each core: the training process only waits.
    loader: Any = torch.utils.data.DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        shuffle=True,
        persistent_workers=num_workers > 0,
        worker_init_fn=_one_thread,
    )
    return lambda: _count(loader)


def _one_thread(_: int) -> None:
    import torch

    torch.set_num_threads(1)


def torch_pillow(
    folder: str,
    batch_size: int = 64,
    num_workers: int = 1,
    scale: Sequence[float] = (0.08, 1.0),
    validation: bool = False,
) -> Epoch:
    """torch's DataLoader, with Pillow decoding and resizing as in torchvision's classic pipeline."""
    import numpy as np
    import torch
    from PIL import Image

    rng = np.random.default_rng(os.getpid())
    mean = torch.tensor(MEAN).view(3, 1, 1)
    std = torch.tensor(STD).view(3, 1, 1)

    def transform(image: Image.Image) -> torch.Tensor:
        x, y, w, h = 0, 0, image.width, image.height
        if not validation:
            x, y, w, h = random_crop(rng, image.width, image.height, scale)
        image = image.resize((224, 224), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
        if not validation and rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return pixels.to(torch.float32).div_(255).sub_(mean).div_(std)

    return _data_loader(_Files(Path(folder), transform), batch_size, num_workers)


def random_crop(rng: Any, width: int, height: int, scale: Sequence[float]) -> tuple[int, int, int, int]:
    """Draw a crop as torchvision does: x, y, width, height."""
    for _ in range(10):
        area = width * height * rng.uniform(*scale)
        ratio = exp(rng.uniform(log(3 / 4), log(4 / 3)))
        w, h = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h
    return 0, 0, width, height

"""timm's own train.py on .beton files: model, mixup, averages and checkpoints stay timm's, only the batches are ours.

curl -O https://raw.githubusercontent.com/huggingface/pytorch-image-models/main/train.py
python examples/integrations/timm_train.py train.py --data-dir DIR --model resnet50 --num-classes 1000 ...

DIR holds train.beton and validation.beton. Augmentations are crop and flip; those of train.py (--aa, --color-jitter,
--reprob) act on PIL images and do nothing here: give them to a `Loader` of your own.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import timm.data

from ffprep import Loader
from ffprep.presets import imagenet_train, imagenet_val


class Batches:
    """What train.py asks of a loader: batches, their number, and whom to tell the epoch."""

    batch_sampler = None

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.dataset = self.sampler = self

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)

    def set_epoch(self, epoch: int) -> None:
        self.loader.set_epoch(epoch)


def create_dataset(name: str, root: str, split: str, **_: Any) -> Path:
    return Path(root) / f"{split}.beton"


def create_loader(dataset: Path, input_size: Sequence[int], batch_size: int, **options: Any) -> Batches:
    size, known = input_size[-1], ("mean", "std")
    common = {"size": size, "distributed": options.get("distributed", False), **{name: options[name] for name in known}}
    if options["interpolation"] in ("bilinear", "bicubic"):
        common["interpolation"] = options["interpolation"]
    if not options.get("is_training"):
        resize = round(size / (options.get("crop_pct") or 0.875))
        return Batches(imagenet_val(dataset, batch_size, options["num_workers"], resize=resize, **common))
    common |= {
        ours: options[theirs]
        for ours, theirs in (("scale", "scale"), ("ratio", "ratio"), ("flip", "hflip"))
        if options.get(theirs)
    }
    return Batches(imagenet_train(dataset, batch_size, options["num_workers"], seed=0, **common))


if __name__ == "__main__":
    timm.data.create_dataset, timm.data.create_loader = create_dataset, create_loader
    sys.argv = [*sys.argv[1:], "--no-prefetcher"]  # train.py moves batches to the device itself
    runpy.run_path(sys.argv[0], run_name="__main__")

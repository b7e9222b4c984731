"""Runs stock ffcv on files of images and labels, in a process of its own, since it crashes, hangs and changes numba.

    python stock_images.py read FILE OUT SIZE ORDER,OS_CACHE ...
    python stock_images.py write FOLDER jpg=FILE raw=FILE

``read`` makes ``OUT-ORDER-OS_CACHE.npz`` with ``image`` (the centre square, resized to SIZE) and ``label``. ``write``
stores an ImageFolder with stock's DatasetWriter.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def read(path: str, out: str, size: str, *variants: str) -> None:
    from ffcv.fields.decoders import CenterCropRGBImageDecoder, IntDecoder
    from ffcv.loader import Loader, OrderOption

    for variant in variants:
        order, os_cache = variant.split(",")
        loader = Loader(
            path,
            batch_size=8,
            num_workers=1,
            order=OrderOption[order],
            os_cache=os_cache == "True",
            drop_last=False,
            seed=0,
            batches_ahead=1,
            pipelines={"image": [CenterCropRGBImageDecoder((int(size), int(size)), ratio=1)], "label": [IntDecoder()]},
        )
        batches = [(image.copy(), label[:, 0].copy()) for image, label in loader]
        images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        np.savez(f"{out}-{order}-{os_cache}.npz", image=images, label=labels)


class Folder:
    """An ImageFolder of one image a class, as torchvision's gives it."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*/*"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[object, int]:
        from PIL import Image

        with Image.open(self.files[index]) as image:
            return image.convert("RGB"), int(index)


def write(folder: str, *files: str) -> None:
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter

    for file in files:
        mode, _, path = file.partition("=")
        fields = {"image": RGBImageField(write_mode=mode, jpeg_quality=90), "label": IntField()}
        DatasetWriter(path, fields, num_workers=1).from_indexed_dataset(Folder(Path(folder)))


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])

"""Draw the picture of the README, docs/images/batch.jpg: embedded photographs, and what training sees of them.

.venv/bin/python scripts/picture.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from ffprep import Loader, OrderOption
from ffprep.convert.conversion import convert
from ffprep.fields import RGBImageField
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder, ResizeRGBImageDecoder
from ffprep.sources.imagenet import open_imagenet
from ffprep.sources.reading.synsets import Hints
from ffprep.transforms import ColorJitter, RandomErasing, RandomHorizontalFlip, ToTensor

ROOT = Path(__file__).resolve().parents[1]
SIDE, GAP, EPOCHS = 104, 4, 5


def rows(file: Path, steps: list[object], epochs: int) -> np.ndarray:
    """Batches of all photographs, one epoch after the other: (epochs, photographs, SIDE, SIDE, 3)."""
    loader = Loader(
        file, 6, order=OrderOption.SEQUENTIAL, seed=3, pipelines={"image": [*steps, ToTensor()], "label": None}
    )
    return np.stack([images.numpy() for _ in range(epochs) for (images,) in loader])


def main() -> None:
    """Draw it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "demo.beton"
        source = ROOT / "ffprep" / "demo_data" / "imagenet"
        convert(open_imagenet(str(source), "train", image=RGBImageField(jpeg="seekable"), hints=Hints()), file)
        whole = rows(file, [ResizeRGBImageDecoder(SIDE)], 1)
        crop = RandomResizedCropRGBImageDecoder(SIDE, scale=(0.08, 1.0))
        crops = rows(file, [crop, RandomHorizontalFlip()], EPOCHS)
        strong = [crop, RandomHorizontalFlip(), ColorJitter(0.4, 0.4, 0.4, 0.1), RandomErasing(0.5)]
        augmented = rows(file, strong, EPOCHS)
    columns = np.concatenate([whole, crops, augmented])  # (columns, photographs, SIDE, SIDE, 3)
    step = SIDE + GAP
    left = [index * step + (2 * GAP) * ((index >= 1) + (index >= 1 + EPOCHS)) for index in range(len(columns))]
    sheet = np.full((6 * step - GAP, left[-1] + SIDE, 3), 255, np.uint8)
    for column, x in zip(columns, left, strict=True):
        for row, image in enumerate(column):
            sheet[row * step : row * step + SIDE, x : x + SIDE] = image
    target = ROOT / "docs" / "images" / "batch.jpg"
    target.parent.mkdir(exist_ok=True)
    Image.fromarray(sheet).save(target, quality=85, optimize=True)


if __name__ == "__main__":
    main()

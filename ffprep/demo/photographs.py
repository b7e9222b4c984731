"""A small ImageNet-like folder, made from the embedded photographs, whose licences are free.

The photographs are 256 pixels wide. Each image is a random enlargement and crop of one of them with some film grain,
saved with the sizes, samplings and qualities of real ImageNet files (three in four 4:4:4, most of the others 4:2:0,
2 % grey, counted in 1,000 files), so that decoding costs about as much as for ImageNet's files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

PHOTOGRAPHS = Path(__file__).resolve().parent.parent / "demo_data" / "imagenet" / "train"
_SAMPLINGS = (0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 1)  # Pillow's numbers: 4:4:4, 4:2:0, 4:2:2


def make_photographs(folder: Path, count: int = 120, seed: int = 0) -> Path:
    """Write `count` JPEG files as an ImageFolder (``folder/train/<wnid>/*.JPEG``).

    Parameters
    ----------
    folder : Path
        Made if it is not there; existing files are written again with the same bytes.
    count : int
        Number of files, spread evenly over the six classes.
    seed : int
        Chooses crops, sizes and qualities.

    Returns
    -------
    Path
        ``folder / "train"``.
    """
    originals = [(p.parent.name, Image.open(p).convert("RGB")) for p in sorted(PHOTOGRAPHS.glob("*/*.JPEG"))]
    train = folder / "train"
    for number in range(count):
        wnid, photograph = originals[number % len(originals)]
        target = train / wnid / f"{wnid}_{number}.JPEG"
        target.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng((seed, number))
        _save(_variation(photograph, rng), target, rng)
    return train


def _variation(photograph: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = rng.choice([(500, 375), (500, 333), (375, 500), (400, 300), (640, 480), (300, 225)])
    enlarged_width = int(width * rng.uniform(1.0, 1.3))
    enlarged_height = max(int(height), round(photograph.height * enlarged_width / photograph.width))
    enlarged = photograph.resize((enlarged_width, enlarged_height), Image.Resampling.LANCZOS)
    left = int(rng.integers(0, enlarged_width - width + 1))
    top = int(rng.integers(0, enlarged_height - height + 1))
    pixels = np.asarray(enlarged.crop((left, top, left + width, top + height)), dtype=np.float32)
    grain = rng.normal(0.0, rng.uniform(2.0, 6.0), (*pixels.shape[:2], 1)).astype(np.float32)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def _save(image: Image.Image, target: Path, rng: np.random.Generator) -> None:
    if rng.random() < 0.02:
        image.convert("L").save(target, "JPEG", quality=95)
        return
    quality = int(rng.choice([96, 96, 96, 92, 85, 75]))
    image.save(target, "JPEG", quality=quality, subsampling=int(rng.choice(_SAMPLINGS)), optimize=True)

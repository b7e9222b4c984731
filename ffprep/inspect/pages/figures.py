"""Pictures of what training sees: many random crops at two scales, and batches as a preset or a policy makes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.beton.sets import SetFile
from ffprep.errors import OptionError
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder, ResizeRGBImageDecoder
from ffprep.loader import Loader
from ffprep.presets import image_text_train, image_text_val, imagenet_train, imagenet_val
from ffprep.transforms import (
    AugMix,
    AutoAugment,
    RandAugment,
    RandomHorizontalFlip,
    ThreeAugment,
    ToTensor,
    TrivialAugmentWide,
)

SIDE = 112
"""Pixels a side of a crop in a figure."""
CROPS = "crops"
SCALES = ((0.08, 1.0), (0.9, 1.0))
"""The random crops of training on images alone, and on images with captions, which must still show what these name."""
PRESETS: dict[str, Callable[..., Loader]] = {
    "imagenet_train": imagenet_train,
    "imagenet_val": imagenet_val,
    "image_text_train": image_text_train,
    "image_text_val": image_text_val,
}
POLICIES: dict[str, Callable[[], Any]] = {
    "randaugment": RandAugment,
    "trivialaugment": TrivialAugmentWide,
    "autoaugment": AutoAugment,
    "augmix": AugMix,
    "3-augment": ThreeAugment,
}
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Figure:
    """Rows of pictures under a title.

    Attributes
    ----------
    title : str
    rows : list of (str, list of (str, ndarray))
        What a row shows, and its pictures, (height, width, 3) of uint8, each with a text that stands for it.
    """

    title: str
    rows: list[tuple[str, list[tuple[str, Pixels]]]]


def crops_figure(
    files: Sequence[SetFile],
    samples: Sequence[int],
    scales: Sequence[tuple[float, float]] = SCALES,
    count: int = 24,
    seed: int = 0,
) -> Figure:
    """Show many random crops of a few images for each scale, as the decoder of training draws them.

    Parameters
    ----------
    files : sequence of SetFile
    samples : sequence of int
    scales : sequence of (float, float)
        Least and largest share of the area.
    count : int
        Crops of each image at each scale.
    seed : int

    Raises
    ------
    OptionError
        There are no images.
    BetonError
        An image cannot be used.
    """
    name = _image_field(files)
    whole = _decoded(files, name, samples, [ResizeRGBImageDecoder(SIDE)], 1, seed)
    cropped = [
        _decoded(files, name, samples, [RandomResizedCropRGBImageDecoder(SIDE, scale=scale)], count, seed)
        for scale in scales
    ]
    rows = []
    for place, sample in enumerate(samples):
        for (low, high), crops in zip(scales, cropped, strict=True):
            note = f"sample {sample}: the whole image, and {count} crops of {low:g} to {high:g} of its area"
            pictures = [(f"sample {sample}, whole", whole[0, place])]
            pictures += [
                (f"sample {sample}, random crop {i + 1} of scale {low:g}", crops[i, place]) for i in range(count)
            ]
            rows.append((note, pictures))
    names = " beside ".join(f"{low:g}" for low, _ in scales)
    return Figure(f"Random crops: scale {names}", rows)


def batches_figure(
    files: Sequence[SetFile], samples: Sequence[int], what: str, epochs: int = 4, seed: int = 0
) -> Figure:
    """Show some samples as batches of several epochs have them.

    Parameters
    ----------
    files : sequence of SetFile
    samples : sequence of int
    what : str
        One of `PRESETS` or `POLICIES`; these come after a random crop and a flip.
    epochs : int
        One for evaluation, which is the same in each.
    seed : int

    Raises
    ------
    OptionError
        The file does not have the fields of the preset.
    BetonError
        An image cannot be used.
    """
    name = _image_field(files)
    epochs = 1 if what.endswith("_val") else epochs
    if what in POLICIES:
        steps = [RandomResizedCropRGBImageDecoder(SIDE, scale=SCALES[0]), RandomHorizontalFlip(), POLICIES[what]()]
        rows = _decoded(files, name, samples, steps, epochs, seed)
    else:
        options: dict[str, Any] = {"size": SIDE, "mean": None, "dtype": np.uint8, "channels_last": False}
        if what.endswith("_train"):
            options["seed"] = seed
        with PRESETS[what]([os.fspath(file) for file in files], 1, 1, **options) as loader:
            rows = np.stack([_images_of(loader.batch(samples, epoch)) for epoch in range(epochs)])
            rows = rows.transpose(0, 1, 3, 4, 2)
    title = f"Batches of {what}"
    notes = [f"epoch {epoch}" if epochs > 1 else "every epoch" for epoch in range(epochs)]
    return Figure(
        title,
        [
            (note, [(f"sample {sample}, {note}", image) for sample, image in zip(samples, row, strict=True)])
            for note, row in zip(notes, rows, strict=True)
        ],
    )


def _image_field(files: Sequence[SetFile]) -> str:
    with Reader(files[0], check=False) as reader:
        names = [name for name, field in reader.fields.items() if field.type_id == 2]
    if not names:
        raise OptionError(f"{files[0].path}: has no images to show crops or batches of; leave --show out")
    return names[0]


def _decoded(
    files: Sequence[SetFile], name: str, samples: Sequence[int], steps: Sequence[Any], epochs: int, seed: int
) -> Pixels:
    """Samples in several epochs: (epochs, samples, SIDE, SIDE, 3)."""
    with Reader(files[0], check=False) as reader:
        pipelines: dict[str, Any] = dict.fromkeys(reader.fields)
    pipelines[name] = [*steps, ToTensor()]
    with Loader([os.fspath(file) for file in files], 1, 1, seed=seed, pipelines=pipelines) as loader:
        return np.stack([np.asarray(loader.batch(samples, epoch)[0]) for epoch in range(epochs)])


def _images_of(batch: Sequence[Any]) -> Pixels:
    """The images of a batch: (samples, 3, height, width)."""
    arrays = [np.asarray(member) for member in batch if not isinstance(member, tuple)]
    return next(one for one in arrays if one.ndim == 4 and one.shape[1] == 3)

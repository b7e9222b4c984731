"""Mean and standard deviation of a data set's pixels, for normalisation."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ffprep.beton.checksums import open_checked
from ffprep.beton.reader import Reader
from ffprep.beton.sets import SetFile
from ffprep.common.formatting import one_line
from ffprep.common.workers.cpus import usable_cpus
from ffprep.common.workers.ordered import ordered_map, threads
from ffprep.errors import DecodeError, OptionError

UNIT = 32
"""Images of a task."""


@dataclass(frozen=True)
class Pixels:
    """Statistics of all pixels of a data set, each counted once.

    Attributes
    ----------
    images : int
    mean, std : list of three floats
        Of R, G and B, in levels from 0 to 255, as `NormalizeImage` takes them.
    """

    images: int
    mean: list[float]
    std: list[float]


def pixels_of_set(files: Sequence[SetFile], workers: int | None = None) -> Pixels:
    """Count the levels of all images of a set, decoded at their full size.

    Parameters
    ----------
    files : sequence of SetFile
    workers : int, optional
        Threads; by default as many as there are CPUs that this process may use. The result does not depend on it.

    Raises
    ------
    OptionError
        A file has no images, or more than one field of them, or there is no sample.
    BetonError
        A file cannot be used, or an image cannot be decoded.
    """
    counts, images = np.zeros((3, 256), np.int64), 0
    for file in files:
        with open_checked(file.path) as reader:
            for found in _units(reader, workers or usable_cpus()):
                counts += found
            images += reader.num_samples
    if not counts.sum():
        raise OptionError(f"{files[0].path}: has no image")
    levels, share = np.arange(256.0), counts / counts.sum(1, keepdims=True)
    mean = share @ levels
    std = np.sqrt((share * (levels - mean[:, None]) ** 2).sum(1))
    return Pixels(images, mean.tolist(), std.tolist())


def _units(reader: Reader, workers: int) -> Iterator[npt.NDArray[np.int64]]:
    fields = [name for name, field in reader.fields.items() if field.type_id == 2]
    if len(fields) != 1:
        raise OptionError(f"{reader.path}: has {len(fields)} fields of images; --pixels needs one")

    def count(first: int) -> npt.NDArray[np.int64]:
        found = np.zeros((3, 256), np.int64)
        for i in range(first, min(first + UNIT, reader.num_samples)):
            pixels = decoded_image(reader, fields[0], i)
            for c in range(3):
                found[c] += np.bincount(pixels[..., c].ravel(), minlength=256)
        return found

    tasks = range(0, reader.num_samples, UNIT)
    return ordered_map(threads(count, workers, name="ffprep-pixels"), tasks, 2 * workers)


def decoded_image(reader: Reader, field: str, i: int) -> npt.NDArray[np.uint8]:
    value: Any = reader.value(field, i)
    if isinstance(value, np.ndarray):
        return value
    try:
        with Image.open(io.BytesIO(value)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DecodeError(f"{reader.path}: {reader.sample_label(i)}, field {field!r}: {error}") from error


def render_pixels(names: Sequence[str], rows: Sequence[Pixels]) -> str:
    """Say the statistics in levels and in shares of 255, and the line for a pipeline."""
    lines = []
    for name, row in zip(names, rows, strict=True):
        lines.append(f"{one_line(name)}: {row.images:,} images")
        for what, values in (("mean", row.mean), ("std", row.std)):
            levels, shares = (", ".join(f"{v / unit:.{n}f}" for v in values) for unit, n in ((1, 3), (255, 4)))
            lines.append(f"  {what:<4}  {levels}  of 255:  {shares}")
        mean, std = ([round(v, 3) for v in values] for values in (row.mean, row.std))
        lines.append(f"  NormalizeImage(np.array({mean}), np.array({std}), np.float32)")
    return "\n".join(lines)

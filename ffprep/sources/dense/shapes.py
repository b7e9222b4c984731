"""COCO's outlines of objects as masks: polygons, and run lengths as numbers or as a string.

Which pixels a polygon has is what pycocotools (``maskApi.c``) says: its boundary is drawn at five times the resolution,
and a pixel's column is filled between the places where that crosses the middle of the column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import SourceError

FINER = 5.0
FARTHEST = 100_000
"""Polygons that leave the first 100,000 pixels are refused, as drawing them takes time for every step."""
LONGEST = 1 << 24
"""Most steps of a boundary."""


def shape_of(segmentation: Any) -> Any:
    """Return an annotation's ``segmentation`` in a compact form, or None if it is none.

    That is a list of arrays (n, 2) for polygons, and the dictionary itself for run lengths. What cannot be told without
    the image's size is told by `filled`.
    """
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        whole = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
        return segmentation if whole and isinstance(counts, (list, str)) else None
    if not isinstance(segmentation, list):
        return None
    polygons = []
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return None
        if not all(type(value) in (int, float) and abs(value) < FARTHEST for value in polygon):
            return None
        polygons.append(np.array(polygon, np.float64).reshape(-1, 2))
    return polygons


def filled(shape: Any, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of a shape, bool of shape (height, width).

    Raises
    ------
    SourceError
        Its run lengths are damaged, or made for an image of another size.
    """
    if isinstance(shape, dict):
        rows, columns = shape["size"]
        if (rows, columns) != (height, width):
            raise SourceError(
                f"the run lengths of an object are for {columns}x{rows} pixels, the image has {width}x{height}"
            )
        counts = shape["counts"]
        return _of_runs(_read_string(counts) if isinstance(counts, str) else counts, height, width)
    out = np.zeros((height, width), bool)
    for polygon in shape:
        out |= _of_polygon(polygon, height, width)
    return out


def _of_polygon(points: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.bool_]:
    start = (FINER * points + 0.5).astype(np.int64)  # drops fractions, towards zero
    end = np.roll(start, -1, 0)
    far = np.abs(end - start)
    steps = far.max(1) + 1
    total = int(steps.sum())
    if total > LONGEST:
        raise SourceError(f"the polygon of an object has a boundary of {total // 5:,} pixels; that is no outline")
    by_x = far[:, 0] >= far[:, 1]
    main = np.where(by_x, 0, 1)
    rows = np.arange(len(start))
    backwards = start[rows, main] > end[rows, main]
    low = np.where(backwards[:, None], end, start)
    high = np.where(backwards[:, None], start, end)
    slope = (high - low)[rows, 1 - main] / np.maximum(far[rows, main], 1)
    edge = np.repeat(rows, steps)
    place = np.arange(total) - np.repeat(np.cumsum(steps) - steps, steps)
    t = np.where(backwards[edge], far[rows, main][edge] - place, place)
    along = t + low[rows, main][edge]
    beside = (low[rows, 1 - main][edge] + slope[edge] * t + 0.5).astype(np.int64)
    x, y = np.where(by_x[edge], along, beside), np.where(by_x[edge], beside, along)
    # Where the boundary goes from one fine column to the next, in the middle of a column of pixels.
    crossing = np.flatnonzero(x[1:] != x[:-1]) + 1
    column = (np.where(x[crossing] < x[crossing - 1], x[crossing], x[crossing] - 1) + 0.5) / FINER - 0.5
    taken = (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    crossing, column = crossing[taken], column[taken].astype(np.int64)
    row = (np.minimum(y[crossing], y[crossing - 1]) + 0.5) / FINER - 0.5
    row = np.ceil(row.clip(0, height)).astype(np.int64)
    return _between(column * height + row, height, width)


def _between(borders: npt.NDArray[np.int64], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return what lies between the first border and the second, the third and the fourth, and so on, by columns."""
    odd = np.bincount(borders, minlength=height * width + 1)[: height * width] & 1
    inside: npt.NDArray[np.bool_] = (np.cumsum(odd, dtype=np.int64) & 1).astype(np.bool_)
    upright: npt.NDArray[np.bool_] = inside.reshape(width, height).T
    return upright


def _of_runs(counts: Sequence[Any], height: int, width: int) -> npt.NDArray[np.bool_]:
    if not all(type(count) is int and 0 <= count <= height * width for count in counts):
        raise SourceError("the run lengths of an object are no whole numbers, or longer than the image")
    ends = np.cumsum(np.array(counts, np.int64))
    if len(ends) == 0 or ends[-1] != height * width:
        total = int(ends[-1]) if len(ends) else 0
        raise SourceError(f"the run lengths of an object add up to {total:,}, not to {height * width:,} pixels")
    return _between(ends, height, width)


def _read_string(text: str) -> list[int]:
    """Return the run lengths in a string of COCO's: five bits a character, differences from the run before last."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise SourceError("the run lengths of an object are no string that COCO's tools write")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise SourceError("the run lengths of an object end in the middle of a number")
    return counts


def semantic_mask(
    masks: Sequence[npt.NDArray[np.bool_]],
    labels: Sequence[int],
    ignored: Sequence[npt.NDArray[np.bool_]],
    size: tuple[int, int],
    no_class: int,
) -> npt.NDArray[np.int64]:
    """Return the class of each pixel, int64 (height, width).

    Parameters
    ----------
    masks : sequence of bool arrays (height, width)
    labels : sequence of int
        Class of each; 0 is the background.
    ignored : sequence of bool arrays (height, width)
        Pixels without a class, such as those of crowds, where there is no object.
    size : (height, width)
    no_class : int
        Label of such pixels, and of those where objects of several classes lie over one another.
    """
    out = np.zeros(size, np.int64)
    for mask in ignored:
        out[mask] = no_class
    drawn = np.zeros(size, bool)
    for mask, label in zip(masks, labels, strict=True):
        clash = mask & drawn & (out != label)
        out[mask] = label
        out[clash] = no_class
        drawn |= mask
    return out


def object_numbers(masks: Sequence[npt.NDArray[np.bool_]], size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the number of the object at each pixel, from 1 on, int64 (height, width); the smallest of several."""
    out = np.zeros(size, np.int64)
    for place in sorted(range(len(masks)), key=lambda place: -int(masks[place].sum())):
        out[masks[place]] = place + 1
    return out

"""How notebooks show a loader and its batches: tables of what there is, and small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ffprep.common.html import JPEG, data_uri, encoded, escaped

_PICTURES, _SIDE, _LONGEST = 8, 96, 80


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Names and plain texts as a table of HTML."""
    body = "".join(f"<tr><th>{escaped(name)}</th><td>{escaped(text[:600])}</td></tr>" for name, text in rows)
    return f"<table>{body}</table>"


def strip(images: Sequence[Any]) -> str:
    """Pictures of uint8, (height, width, 3), in a row."""
    from PIL import Image

    shown = ""
    for number, pixels in enumerate(images[:_PICTURES]):
        small = Image.fromarray(np.ascontiguousarray(pixels))
        small.thumbnail((_SIDE, _SIDE))
        shown += f'<img alt="image {number}" src="{data_uri(JPEG, encoded(small, JPEG, 75))}"> '
    return f"<div>{shown}</div>"


class BatchView:
    """A batch as a notebook shows it: what each member is, and the first images.

    Parameters
    ----------
    batch : tuple
        As a loader gives it.
    names : sequence of str
        Of its members.
    """

    def __init__(self, batch: Sequence[Any], names: Sequence[str]) -> None:
        self.batch = batch
        self.names = [*names, *(f"member {i}" for i in range(len(names), len(batch)))][: len(batch)]

    def __repr__(self) -> str:
        members = (f"{name} {_described(member)}" for name, member in zip(self.names, self.batch, strict=True))
        return f"<batch of {', '.join(members)}>"

    def _repr_html_(self) -> str:
        rows = [(name, _described(member)) for name, member in zip(self.names, self.batch, strict=True)]
        shown = ""
        for member in self.batch:
            pixels = as_pictures(member)
            if pixels is not None:
                shown += strip(pixels)
        return table(rows) + shown


def as_pictures(member: Any) -> Any:
    """The first images of a batch's member as (n, height, width, 3) of uint8; None if it holds no images.

    Other types than uint8 are normalised: their levels are stretched over those of the pictures.
    """
    array = _array(member, _PICTURES)
    if array is None or array.ndim != 4 or 3 not in (array.shape[1], array.shape[3]) or not array.size:
        return None
    if array.shape[3] != 3:
        array = array.transpose(0, 2, 3, 1)
    if array.dtype == np.uint8:
        return array
    values = np.nan_to_num(array.astype(np.float32))
    low, high = np.percentile(values, (0.5, 99.5))
    return np.clip(255 * (values - low) / max(1e-6, float(high - low)), 0, 255).astype(np.uint8)


def _array(member: Any, rows: int) -> Any:
    """The first rows of a tensor or an array, as an array; None for anything else."""
    if not hasattr(member, "shape") or not hasattr(member, "dtype") or not len(member.shape):
        return None
    part = member[:rows]
    if hasattr(part, "detach"):
        part = part.detach().cpu()
        if "bfloat16" in str(part.dtype):
            part = part.float()
    try:
        return np.asarray(part)
    except (TypeError, ValueError):
        return None


def _described(member: Any) -> str:
    if hasattr(member, "_fields"):
        return ", ".join(f"{name} {_described(getattr(member, name))}" for name in member._fields)
    if not hasattr(member, "shape"):
        return f"{type(member).__name__} of {len(member)}" if hasattr(member, "__len__") else repr(member)[:_LONGEST]
    text = f"{str(member.dtype).removeprefix('torch.')} {tuple(member.shape)}"
    array = _array(member, 6) if len(member.shape) == 1 else None
    return (
        text if array is None else f"{text}: {', '.join(map(str, array.tolist()))}{' ...' if len(member) > 6 else ''}"
    )

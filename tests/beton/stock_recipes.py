"""Samples both libraries can write, as functions of recipe and index; neither ffprep nor ffcv is needed here.

Every value comes out of SHA-256, so that files checked in years ago can still be compared.
"""

from __future__ import annotations

import hashlib
from types import ModuleType
from typing import Any

import numpy as np

RECIPES = ("all", "numbers", "empties", "pages")


def fields(recipe: str, library: ModuleType) -> dict[str, Any]:
    """Make the recipe's fields from ``ffcv.fields`` or ``ffprep.fields``."""
    make = library
    if recipe == "all":
        import torch

        return {
            "image": make.RGBImageField(write_mode="jpg"),
            "label": make.IntField(),
            "raw": make.RGBImageField(write_mode="raw"),
            "caption": make.BytesField(),
            "tokens": make.NDArrayField(np.dtype("int32"), (3, 2)),
            "facts": make.JSONField(),
            "score": make.FloatField(),
            "tensor": make.TorchTensorField(torch.float32, (4,)),
            "a_16_chars_name_": make.IntField(),
        }
    if recipe == "numbers":
        return {"label": make.IntField(), "score": make.FloatField()}
    if recipe == "empties":
        return {"caption": make.BytesField(), "image": make.RGBImageField(write_mode="raw"), "label": make.IntField()}
    if recipe == "pages":
        return {
            "blob": make.BytesField(),
            "label": make.IntField(),
            "tokens": make.NDArrayField(np.dtype("int16"), (5,)),
        }
    raise ValueError(recipe)


def noise(*key: Any, size: int) -> np.ndarray:
    """Return `size` bytes that are a function of the key."""
    return np.frombuffer(hashlib.shake_128(repr(key).encode()).digest(size), np.uint8)


def photo(index: int, height: int, width: int) -> np.ndarray:
    """Return a smooth uint8 image, so that JPEG keeps it nearly."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(index + channel + y / (9 + index % 5) + x / 11) for channel in range(3)]
    return (np.stack(waves, -1) * 100 + 128).astype(np.uint8)


def sample(recipe: str, index: int) -> tuple[Any, ...]:
    """Return one sample's values in the fields' order."""
    text = noise("text", index, size=1 + index * 7 % 29)
    if recipe == "all":
        import torch

        return (
            photo(index, 40, 48),
            index * 10**15 - 10**16,
            noise("raw", index, size=9 * 13 * 3).reshape(9, 13, 3),
            text,
            noise("tokens", index, size=24).view(np.int32).reshape(3, 2),
            {"index": index, "text": "zwölf", "list": [None, True, 1.5]},
            index / 7,
            torch.from_numpy(noise("tensor", index, size=4).astype(np.float32)),
            index,
        )
    if recipe == "numbers":
        return index - 5, index / 3
    if recipe == "empties":
        return (text if index % 2 else text[:0]), noise("raw", index, size=4 * 5 * 3).reshape(4, 5, 3), index
    if recipe == "pages":
        return np.tile(noise("blob", index, size=50), 6000 + index), index, noise("row", index, size=10).view(np.int16)
    raise ValueError(recipe)


def as_read(recipe: str, index: int) -> tuple[Any, ...]:
    """Return the sample as a reader gives it, JPEGs as the pixels they were made from."""
    return tuple(
        value.tobytes() if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == np.uint8
        else value.numpy() if hasattr(value, "numpy")
        else value
        for value in sample(recipe, index)
    )  # fmt: skip

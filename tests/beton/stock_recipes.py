"""Samples both libraries can write, as functions of (recipe, seed, index); no ffprep and no ffcv here."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

RECIPES = ("all", "pairs", "numbers", "tokens", "empties")


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
    if recipe == "pairs":
        return {"image": make.RGBImageField(write_mode="jpg"), "label": make.IntField()}
    if recipe == "numbers":
        return {"label": make.IntField(), "score": make.FloatField()}
    if recipe == "tokens":
        return {"tokens": make.NDArrayField(np.dtype("int64"), (7,))}
    if recipe == "empties":
        return {"caption": make.BytesField(), "image": make.RGBImageField(write_mode="jpg")}
    raise ValueError(recipe)


def photo(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a smooth uint8 image, so that JPEG keeps it nearly."""
    y, x = np.mgrid[0:height, 0:width]
    phase = rng.uniform(0, 6, (3, 3))
    waves = [np.sin(phase[c, 0] + y / 9 * (1 + phase[c, 1] / 6) + x / 11 * phase[c, 2] / 3) for c in range(3)]
    return (np.stack(waves, -1) * 100 + 128).astype(np.uint8)


def sample(recipe: str, seed: int, index: int) -> tuple[Any, ...]:
    """Return one sample's values in the fields' order."""
    rng = np.random.default_rng([seed, index])
    text = rng.integers(1, 255, int(rng.integers(1, 30)), dtype=np.uint8)
    if recipe == "all":
        import torch

        return (
            photo(rng, 40, 48),
            int(rng.integers(-(2**62), 2**62)),
            rng.integers(0, 256, (9, 13, 3), dtype=np.uint8),
            text,
            rng.integers(-1000, 1000, (3, 2), dtype=np.int32),
            {"index": index, "text": "zwölf", "list": [None, True, 1.5]},
            float(rng.normal()),
            torch.from_numpy(rng.normal(size=4).astype(np.float32)),
            index,
        )
    if recipe == "pairs":
        return photo(rng, 30 + index % 5, 20 + index % 7), index % 10
    if recipe == "numbers":
        return index - 5, index / 3
    if recipe == "tokens":
        return (rng.integers(0, 50_000, 7, dtype=np.int64),)
    if recipe == "empties":
        return (text[:0] if index % 2 else text), photo(rng, 16, 16)
    raise ValueError(recipe)

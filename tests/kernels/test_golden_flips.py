"""Which samples a random flip mirrors: written down for three seeds, in the kernel and in the transform for tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ffprep import abi
from ffprep.kernels import random
from ffprep.kernels.image.job import image_spec
from ffprep.kernels.image.view import choose
from ffprep.kernels.jit import kernel

EPOCH, OP = 2, 7
MIRRORED = {
    0: [1, 2, 9, 10, 14, 15, 17, 20, 23, 27, 28, 31],
    20261129: [0, 1, 9, 10, 12, 14, 16, 21, 22, 24, 27, 29, 31],
    -5: [0, 1, 2, 5, 6, 7, 8, 13, 14, 15, 16, 17, 18, 21, 28, 30, 31],
}


@kernel
def choose_all(specs: Any, items: Any, boxes: Any, reaches: Any) -> None:
    for i in range(len(items)):
        choose(specs[0], items[i], boxes[i], reaches[0])


def mirrored(seed: int, probability: float = 0.5, crop: str = "random") -> NDArray[np.bool_]:
    items, boxes = np.zeros(32, abi.ITEM), np.full(32, -1, abi.BOX)
    items["width"], items["height"], items["sample"] = 60, 40, np.arange(32)
    spec = image_spec((8, 8), crop=crop, flip=probability, seed=seed, epoch=EPOCH, flip_op=OP)
    choose_all(spec, items, boxes, np.zeros(1, abi.REACH))
    assert set(boxes["flip"].tolist()) <= {0.0, 1.0}
    return np.asarray(boxes["flip"] == 1.0)


@pytest.mark.parametrize("seed", sorted(MIRRORED))
def test_which_samples_are_mirrored(seed: int) -> None:
    assert np.flatnonzero(mirrored(seed)).tolist() == MIRRORED[seed]
    assert np.flatnonzero(mirrored(seed, crop="whole")).tolist() == MIRRORED[seed]
    draws = random.uniforms(np.int64(seed), EPOCH, np.arange(32), OP, 0)
    assert np.flatnonzero(draws < 0.5).tolist() == MIRRORED[seed]


def test_never_and_always() -> None:
    assert not mirrored(0, 0.0).any() and mirrored(0, 1.0).all()
    draws = random.uniforms(np.int64(0), EPOCH, np.arange(32), OP, 0)
    least = float(draws.min())
    assert not mirrored(0, least).any()  # a draw must lie below the probability
    assert mirrored(0, float(np.nextafter(least, 1.0))).tolist() == (draws == least).tolist()

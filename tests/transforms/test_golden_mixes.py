"""What Mixup and CutMix draw for three seeds, written down."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ffprep.transforms.mixup import CutMix, Mixup, MixupOrCutMix

SEEDS = (0, 20261129, -5)


def batch(seed: int, keys: list[int], epoch: int = 2) -> Any:
    return SimpleNamespace(seed=seed, epoch=epoch, keys=np.array(keys))


MIXUP = {
    0: [
        [0.995473610599791, 0.8158602205335382, 0.0005700313131945403],
        [False, False, True, False, False, False, False, False, True, True, False, True],
    ],
    20261129: [
        [0.8253443119379466, 0.9308679282514343, 0.33453818094950516],
        [True, True, False, False, True, False, False, False, True, False, False, True],
    ],
    -5: [
        [0.08427645036072977, 0.944573781511291, 0.06315499301014686],
        [False, False, False, True, False, False, False, False, True, False, False, False],
    ],
}
CUTMIX = {
    0: [
        [[16, 40, 21, 60], [18, 38, 25, 55], [5, 33, 0, 30]],
        [False, True, True, True, False, True, True, False, True, True, False, True],
    ],
    20261129: [
        [[0, 21, 7, 57], [26, 40, 13, 41], [12, 32, 8, 38]],
        [True, True, False, False, True, True, False, True, True, True, False, True],
    ],
    -5: [
        [[0, 28, 3, 47], [0, 22, 0, 41], [8, 24, 36, 60]],
        [True, True, True, True, True, True, False, True, False, False, True, False],
    ],
}


@pytest.mark.parametrize("seed", SEEDS)
def test_mixup_draws(seed: int) -> None:
    some = batch(seed, [8, 3, 11])
    each, one, often = Mixup(0.3, False), Mixup(0.3), Mixup(1.0, p=0.5)
    assert each.draw(some).share.tolist() == pytest.approx(MIXUP[seed][0], rel=1e-12)
    assert one.draw(some).share.tolist() == pytest.approx(MIXUP[seed][0][2:] * 3, rel=1e-12)
    mixed = [bool((often.draw(batch(seed, [4, n])).share < 1).all()) for n in range(12)]
    assert mixed == MIXUP[seed][1]
    assert all(blend.boxes is None for blend in (each.draw(some), one.draw(some)))


@pytest.mark.parametrize("seed", SEEDS)
def test_cutmix_draws(seed: int) -> None:
    some = batch(seed, [8, 3, 11])
    each, one, rare = CutMix(1.0, (40, 60), same_box=False), CutMix(1.0, (40, 60)), CutMix(1.0, 32, p=0.5)
    boxes, mixed = CUTMIX[seed]
    found = each.draw(some)
    assert found.boxes is not None and found.boxes.tolist() == boxes
    assert found.share.tolist() == [1 - (b - t) * (r - left) / 2400 for t, b, left, r in boxes]
    assert one.draw(some).boxes.tolist() == [boxes[2]] * 3
    assert [rare.draw(batch(seed, [4, n])).boxes is not None for n in range(12)] == mixed


CHOSEN = {
    0: [False, False, False, False, False, False, False, False, True, False, False, True, False, False, False, True],
    20261129: [
        False,
        False,
        True,
        False,
        True,
        False,
        False,
        False,
        True,
        False,
        False,
        False,
        False,
        False,
        False,
        False,
    ],
    -5: [True, True, False, False, True, True, False, False, False, True, False, False, False, True, False, True],
}


@pytest.mark.parametrize("seed", SEEDS)
def test_mixup_or_cutmix_draws(seed: int) -> None:
    either = MixupOrCutMix(Mixup(0.4), CutMix(1.0, 32), 0.3)
    assert [either.draw(batch(seed, [4, n])).boxes is not None for n in range(16)] == CHOSEN[seed]

"""64-bit seeds: how a Python integer becomes the word that compiled code takes, and how one seed gives many."""

from __future__ import annotations

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: multiples of it are spread evenly over the 64-bit words."""

_MASK = (1 << 64) - 1


def signed(seed: int) -> int:
    """Return the 64 lowest bits of a seed as an int64 value."""
    return (int(seed) + (1 << 63)) % (1 << 64) - (1 << 63)


def unsigned(seed: int) -> np.uint64:
    """Return the 64 lowest bits of a seed as a uint64."""
    word: np.uint64 = np.uint64(int(seed) & _MASK)
    return word


def derived_seed(seed: int, number: int) -> int:
    """Return the seed with this number among many made from one, from 0 to ``2**64 - 1``.

    Each file's order has a seed of its own, so that files of the same size are not shuffled alike.
    """
    return (seed + number * GOLDEN) & _MASK

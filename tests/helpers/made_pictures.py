"""Generated pictures, and the numbers that the augmentations draw for them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from ffprep.kernels.random import uniforms
from ffprep.pipeline.form import BatchInfo

Picture = NDArray[np.uint8]


STREAM = 77


def info(n: int, seed: int = 5, epoch: int = 2, first: int = 1000) -> BatchInfo:
    return BatchInfo(np.arange(first, first + n), epoch, seed, STREAM)


def draw(batch: BatchInfo, i: int, k: int) -> float:
    """Draw k for image i."""
    seed = int(np.array(batch.seed % 2**64, np.uint64).astype(np.int64))
    return float(uniforms(seed, batch.epoch, batch.ids[i : i + 1], batch.stream, k)[0])


def pictures(n: int, height: int, width: int, seed: int = 0) -> Picture:
    """Random images; some grey, black, white or of one colour."""
    rng = np.random.default_rng(seed)
    out = rng.integers(0, 256, (n, height, width, 3)).astype(np.uint8)
    for i in range(n):
        if i % 6 == 2:
            out[i] = out[i, :, :, :1]
        if i % 6 == 3:
            out[i] = rng.choice([0, 255])
        if i % 6 == 4:
            out[i] = out[i, :1, :1]
        if i % 6 == 5:
            out[i] = out[i] // 4 + 90
    return out


def between(low: float, high: float, u: float) -> float:
    return low + (high - low) * u


sizes = st.tuples(st.integers(1, 19), st.integers(1, 23))

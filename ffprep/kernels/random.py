"""Counter-based random numbers: Philox4x32-10.

See Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

A draw is a function of (seed, epoch, sample, operation, index), so it does not depend on the number of threads, on the
rank or on what was drawn before. The seed is the key; the rest is the counter, each part 32 bits wide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline, kernel

OP_SHUFFLE = 0xFFFF0000
"""Operation number of epoch orders; pipeline operations count from 0."""

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@inline
def philox4x32(key0: int, key1: int, c0: int, c1: int, c2: int, c3: int) -> tuple[int, int, int, int]:
    """Return the four 32-bit words of Philox4x32-10 for a key of two and a counter of four 32-bit words.

    Arguments and results are integers below 2**32 (as uint64).
    """
    k0, k1 = np.uint64(key0) & _LOW, np.uint64(key1) & _LOW
    x0, x1 = np.uint64(c0) & _LOW, np.uint64(c1) & _LOW
    x2, x3 = np.uint64(c2) & _LOW, np.uint64(c3) & _LOW
    for _ in range(10):
        p0 = _M0 * x0
        p1 = _M1 * x2
        x0, x1, x2, x3 = (p1 >> _32) ^ x1 ^ k0, p1 & _LOW, (p0 >> _32) ^ x3 ^ k1, p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return x0, x1, x2, x3


@inline
def bits64(seed: int, epoch: int, sample: int, op: int, k: int) -> int:
    """Return 64 random bits (uint64) of draw `k` of operation `op` for a sample in an epoch."""
    s = np.uint64(seed)
    a, b, _, _ = philox4x32(s & _LOW, s >> _32, epoch, sample, op, k)
    return (a << _32) | b


@inline
def uniform(seed: int, epoch: int, sample: int, op: int, k: int) -> float:
    """Return draw `k` of operation `op` for a sample in an epoch, uniform on [0, 1) with 53 bits."""
    return np.float64(bits64(seed, epoch, sample, op, k) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel(arguments=[np.int64, np.int64, (np.int64, 1), np.int64, np.int64, (np.float64, 1)])
def _draw(seed: int, epoch: int, samples: NDArray[np.int64], op: int, k: int, out: NDArray[np.float64]) -> None:
    for i in range(samples.size):
        out[i] = uniform(seed, epoch, samples[i], op, k)


@kernel(arguments=[(np.int64, 1), np.int64, np.int64])
def _shuffle(out: NDArray[np.int64], seed: int, epoch: int) -> None:
    for i in range(out.size - 1, 0, -1):
        j = np.int64(uniform(seed, epoch, i, OP_SHUFFLE, 0) * (i + 1))
        out[i], out[j] = out[j], out[i]


def uniforms(seed: int, epoch: int, samples: NDArray[np.int64], op: int, k: int) -> NDArray[np.float64]:
    """Return :func:`uniform` for each of `samples` (int64, shape (n,)), as float64 of shape (n,)."""
    out = np.empty(samples.size, np.float64)
    _draw(seed, epoch, samples, op, k, out)
    return out


def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return a uniformly random permutation of 0..n-1 (int64) that depends on (n, seed, epoch) only.

    Fisher-Yates with one counter-based draw a step; the bias of a 53-bit draw is below n / 2**53.
    """
    out = np.arange(n, dtype=np.int64)
    _shuffle(out, seed, epoch)
    return out

"""A random permutation as a function: position -> index, nothing stored.

A Feistel network over ``2**bits >= n`` values, walked in cycles until the value falls below ``n`` (Black and Rogaway,
"Ciphers with arbitrary finite domains", 2002). Any slice of an epoch's order therefore costs the same wherever it
begins, which is what makes resuming and sharding free. Small domains are widened to ``2**MIN_BITS``, where the network
mixes well; the longer walk costs about a millisecond an epoch.
"""

from __future__ import annotations

import numpy as np

from ffprep.kernels.jit import kernel

MIN_BITS = 16
ROUNDS = 8
TOGETHER = 64
"""Positions that go through the network side by side."""

_IDS, _KEYS = (np.int64, 1), (np.uint64, 1)


@kernel
def mix(x: np.uint64) -> np.uint64:
    """Finaliser of splitmix64 (Steele, Lea and Flood, 2014): a bijection of 64-bit words that spreads every bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def round_keys(seed: np.uint64, epoch: np.uint64, stream: np.uint64, keys: np.ndarray) -> None:
    """Write the keys of one permutation, uint64 ``(ROUNDS,)``: a function of the three numbers."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    state = mix(mix(mix(seed + golden) ^ epoch) + golden ^ stream)
    for i in range(ROUNDS):
        state += golden
        keys[i] = mix(state)


@kernel
def _network(x: np.uint64, bits: np.uint64, keys: np.ndarray) -> np.uint64:
    """Image of a value under the permutation of ``range(2**bits)`` that ``keys`` name."""
    low = bits >> np.uint64(1)
    high = bits - low
    low_mask = (np.uint64(1) << low) - np.uint64(1)
    high_mask = (np.uint64(1) << high) - np.uint64(1)
    a = x >> low
    b = x & low_mask
    for i in range(0, ROUNDS, 2):
        a = a ^ (mix(b + keys[i]) & high_mask)
        b = b ^ (mix(a + keys[i + 1]) & low_mask)
    return (a << low) | b


@kernel
def permuted(position: np.uint64, n: np.uint64, bits: np.uint64, keys: np.ndarray) -> np.uint64:
    """Image of one position under the permutation of ``range(n)`` that ``keys`` name."""
    x = _network(position, bits, keys)
    while x >= n:
        x = _network(x, bits, keys)
    return x


@kernel
def domain_bits(n: np.uint64) -> np.uint64:
    """Width of the network's domain for ``n`` values."""
    bits = np.uint64(MIN_BITS)
    while bits < np.uint64(63) and (np.uint64(1) << bits) < n:
        bits += np.uint64(1)
    return bits


@kernel(arguments=[_IDS, np.int64, np.uint64, np.uint64, np.uint64, _KEYS, _IDS, _IDS, _IDS])
def _permute(
    positions: np.ndarray,
    n: int,
    seed: np.uint64,
    epoch: np.uint64,
    stream: np.uint64,
    keys: np.ndarray,
    out: np.ndarray,
    walking: np.ndarray,
    halves: np.ndarray,
) -> None:
    # All positions take a step, then those that have to go on. How long one walks cannot be predicted, so a loop for
    # each of them would wait for its last branch before the next begins. Likewise they go through a round of the
    # network together: what one computes waits for nothing that another does, but each round for the one before.
    round_keys(seed, epoch, stream, keys)
    size = np.uint64(n)
    bits = domain_bits(size)
    low = bits >> np.uint64(1)
    low_mask = (np.uint64(1) << low) - np.uint64(1)
    high_mask = (np.uint64(1) << (bits - low)) - np.uint64(1)
    count = np.int64(positions.shape[0])
    for i in range(count):
        out[i] = positions[i]
        walking[i] = i
    while count > 0:
        for first in range(0, count, TOGETHER):
            some = min(np.int64(TOGETHER), count - first)
            for k in range(some):
                x = np.uint64(out[walking[first + k]])
                halves[k] = np.int64(x >> low)
                halves[TOGETHER + k] = np.int64(x & low_mask)
            for r in range(0, ROUNDS, 2):
                for k in range(some):
                    halves[k] ^= np.int64(mix(np.uint64(halves[TOGETHER + k]) + keys[r]) & high_mask)
                for k in range(some):
                    halves[TOGETHER + k] ^= np.int64(mix(np.uint64(halves[k]) + keys[r + 1]) & low_mask)
            for k in range(some):
                out[walking[first + k]] = (halves[k] << np.int64(low)) | halves[TOGETHER + k]
        left = np.int64(0)
        for k in range(count):
            i = walking[k]
            walking[left] = i
            left += np.int64(np.uint64(out[i]) >= size)
        count = left


def permute(positions: np.ndarray, n: int, seed: np.uint64, epoch: np.uint64, stream: np.uint64) -> np.ndarray:
    """Images of int64 ``positions`` in ``[0, n)`` under one random permutation of ``range(n)``.

    Parameters
    ----------
    positions : ndarray of int64
    n : int
        Size of the permuted range; every position lies below it.
    seed, epoch, stream : uint64
        Name the permutation.

    Returns
    -------
    ndarray of int64, shaped like ``positions``
    """
    out, walking = np.empty((2, positions.shape[0]), np.int64)
    halves = np.empty(2 * TOGETHER, np.int64)
    _permute(positions, n, seed, epoch, stream, np.empty(ROUNDS, np.uint64), out, walking, halves)
    return out


@kernel(arguments=[_IDS, _IDS, np.uint64, np.uint64, _KEYS, _IDS])
def _permute_in_windows(
    positions: np.ndarray,
    starts: np.ndarray,
    seed: np.uint64,
    epoch: np.uint64,
    keys: np.ndarray,
    out: np.ndarray,
) -> None:
    last = np.int64(-1)
    first = np.int64(0)
    size = np.uint64(1)
    bits = np.uint64(MIN_BITS)
    for i in range(positions.shape[0]):
        window = np.searchsorted(starts, positions[i], side="right") - 1
        if window != last:
            last = window
            first = starts[window]
            size = np.uint64(starts[window + 1] - first)
            bits = domain_bits(size)
            round_keys(seed, epoch, np.uint64(window + 2), keys)
        offset = permuted(np.uint64(positions[i] - first), size, bits, keys)
        out[i] = first + np.int64(offset)


def permute_in_windows(positions: np.ndarray, starts: np.ndarray, seed: np.uint64, epoch: np.uint64) -> np.ndarray:
    """Where int64 ``positions`` lead when each window from ``starts[w]`` to ``starts[w + 1]`` is shuffled by itself."""
    out = np.empty(positions.shape[0], np.int64)
    _permute_in_windows(positions, starts, seed, epoch, np.empty(ROUNDS, np.uint64), out)
    return out


@kernel(arguments=[_IDS, np.int64, np.int64, np.int64, _IDS, _IDS, np.uint64, np.uint64, _KEYS, _IDS])
def _permute_in_groups(
    positions: np.ndarray,
    total: int,
    groups: int,
    window: int,
    ends: np.ndarray,
    moves: np.ndarray,
    seed: np.uint64,
    epoch: np.uint64,
    keys: np.ndarray,
    out: np.ndarray,
) -> None:
    each = total // groups
    rest = total - each * groups
    for i in range(positions.shape[0]):
        turn = positions[i] // groups
        group = positions[i] - turn * groups
        number = turn // window
        first = number * window
        size = np.uint64(min(window, each + (1 if group < rest else 0) - first))
        round_keys(seed, epoch, np.uint64(2 + number * groups + group), keys)
        offset = np.int64(permuted(np.uint64(turn - first), size, domain_bits(size), keys))
        place = group * each + min(group, rest) + first + offset
        out[i] = place + moves[np.searchsorted(ends, place, side="right")]


def permute_in_groups(
    positions: np.ndarray,
    total: int,
    groups: int,
    window: int,
    ends: np.ndarray,
    moves: np.ndarray,
    seed: np.uint64,
    epoch: np.uint64,
) -> np.ndarray:
    """Places of an epoch's positions when its pages are cut into groups and each group's windows are shuffled.

    Parameters
    ----------
    positions : ndarray of int64
        Position ``k * groups + g`` is the k-th of group g.
    total : int
        Positions in the epoch.
    groups : int
    window : int
        Samples of a group that are shuffled together.
    ends : ndarray of int64, shape (pages,)
        Where each page ends in the epoch's sequence of pages.
    moves : ndarray of int64, shape (pages,)
        What to add to places in that sequence to get those in the file's.
    seed, epoch : uint64

    Returns
    -------
    ndarray of int64, shaped like ``positions``
    """
    out = np.empty(positions.shape[0], np.int64)
    keys = np.empty(ROUNDS, np.uint64)
    _permute_in_groups(positions, total, groups, window, ends, moves, seed, epoch, keys, out)
    return out

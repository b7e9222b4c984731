"""Operations that carry out others: all with a probability, one of several, in random order, or as a policy says.

``numbers`` of such an operation hold those of the others, whose places in it are given in elements. What it carries out
draws from a stream of its own, which is a function of the operation's stream and of the step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, call_entry, copy_bytes, doubles_at, floats_at, longs_at
from ffprep.kernels.random import uniform
from ffprep.transforms.compiled.mix import DRAWS, log_gamma_variate

APPLY, CHOICE, ORDER = 0, 1, 2
PARTS = 64
"""Most members of a composition, most candidates of a policy."""
MEMBER = 4
"""Elements that describe a member: its address, whether it writes to another buffer, place of its numbers, weight."""
CANDIDATE = 12
"""Elements that describe a candidate: its address, whether it writes to another buffer, place and count of its numbers,
which of them the magnitude sets (-1: none), offset and slope of that, how it is rounded (0: not, 1: towards zero, 2: to
the nearest), the least and the most it may be, probability of the other sign, weight. The address 0 does nothing."""
HEADER = 10
"""Elements before a policy's tables."""
STEP_DRAWS = 8
TRIES = 64
FIXED, GAUSS, UNIFORM, BINS = 0, 1, 2, 3
"""Magnitudes: as they are, with Gaussian noise, from 0 to that, one of so many whole numbers from 0."""


@inline
def _stream_of(stream: int, step: int) -> int:
    """Return the random stream of a step: 31 bits, from those of the operation's stream."""
    mixed = np.uint64(stream) * np.uint64(2654435761) + np.uint64(step + 1) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.int64((mixed >> np.uint64(32)) & np.uint64(0x7FFFFFFF))


@inline
def _weighted(table: NDArray[np.float64], first: int, stride: int, count: int, u: float) -> int:
    """Return which of `count` weights, every `stride` elements from `first`, the number `u` in [0, 1) falls to."""
    total = 0.0
    for k in range(count):
        total += table[first + k * stride]
    reached = 0.0
    for k in range(count):
        reached += table[first + k * stride]
        if u * total < reached:
            return np.int64(k)
    return np.int64(count - 1)


def compose(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Carry out operations on an image, in place.

    Numbers: which way; how many; probability; then what describes each member. Work: 64 int64, a second image, then
    what the members need. Draw 0 decides or chooses, draws 1 to count - 1 shuffle (the last place first).
    """
    n = doubles_at(numbers, 3)
    way, count = np.int64(n[0]), np.int64(n[1])
    table = doubles_at(numbers + 24, MEMBER * count)
    order = longs_at(work, PARTS)
    size = h * w * pixel
    spare = np.int64(work + 8 * PARTS)
    rest = spare + (size + 63) // 64 * 64
    first = np.int64(0)
    for k in range(count):
        order[k] = k
    if way == APPLY:
        if uniform(seed, epoch, sample, stream, 0) >= n[2]:
            return np.int64(0)
    elif way == CHOICE:
        first = _weighted(table, 3, MEMBER, count, uniform(seed, epoch, sample, stream, 0))
        count = first + 1
    else:
        for k in range(count - 1):
            last = count - 1 - k
            other = np.int64(uniform(seed, epoch, sample, stream, 1 + k) * (last + 1))
            order[last], order[other] = order[other], order[last]
    here, there = np.int64(source), spare
    for k in range(first, count):
        at = MEMBER * order[k]
        moves = table[at + 1] != 0.0
        status = call_entry(
            np.int64(table[at]),
            (
                here, there if moves else here, np.int64(h), np.int64(w), np.int64(h), np.int64(w), np.int64(pixel),
                np.int64(numbers) + 8 * np.int64(table[at + 2]), rest, np.int64(seed), np.int64(epoch),
                np.int64(sample), _stream_of(stream, order[k]),
            ),
        )  # fmt: skip
        if status != 0:
            return status
        if moves:
            here, there = there, here
    if here != source:
        copy_bytes(np.int64(source), here, size)
    return np.int64(0)


@inline
def _magnitude(n: NDArray[np.float64], base: float, seed: int, epoch: int, sample: int, stream: int, k: int) -> float:
    """Return a step's magnitude; draws k and k + 1."""
    noise = np.int64(n[4])
    value = base
    if noise == GAUSS:
        radius = np.sqrt(-2.0 * np.log(1.0 - uniform(seed, epoch, sample, stream, k)))
        value += n[5] * radius * np.cos(2.0 * np.pi * uniform(seed, epoch, sample, stream, k + 1))
    elif noise == UNIFORM:
        value *= uniform(seed, epoch, sample, stream, k)
    elif noise == BINS:
        return np.float64(np.int64(base * uniform(seed, epoch, sample, stream, k)))
    return min(max(value, 0.0), n[6])


@inline
def _carry_out(
    numbers: int, which: int, base: float, here: int, there: int, h: int, w: int, pixel: int, rest: int,
    seed: int, epoch: int, sample: int, stream: int, step: int,
) -> int:  # fmt: skip
    """Carry out one candidate of a policy; return -1 if the result is at `there`, 0 if it is at `here`, or a status.

    Draws of the step: 2 is the sign, 3 and 4 are the magnitude.
    """
    n = doubles_at(numbers, HEADER)
    candidate = doubles_at(numbers + 8 * (np.int64(n[7]) + CANDIDATE * which), CANDIDATE)
    if candidate[0] == 0.0:
        return np.int64(0)
    place, slot = np.int64(candidate[2]), np.int64(candidate[4])
    given = doubles_at(numbers + 8 * place, np.int64(candidate[3]))
    own = doubles_at(rest, 64)
    draw = STEP_DRAWS * (step + 1)
    address = np.int64(numbers) + 8 * place
    if slot >= 0:
        for k in range(given.size):
            own[k] = given[k]
        value = candidate[6] * _magnitude(n, base, seed, epoch, sample, stream, draw + 3)
        rounding = np.int64(candidate[7])
        if rounding == 1:
            value = np.trunc(value * (1.0 + 1e-12))  # a slope is a quotient, and its multiple may fall just short
        elif rounding == 2:
            value = np.rint(value)
        if uniform(seed, epoch, sample, stream, draw + 2) < candidate[10]:
            value = -value
        own[slot] = min(max(candidate[5] + value, candidate[8]), candidate[9])
        address = np.int64(rest)
    moves = candidate[1] != 0.0
    status = call_entry(
        np.int64(candidate[0]),
        (
            here, there if moves else here, np.int64(h), np.int64(w), np.int64(h), np.int64(w), np.int64(pixel),
            address, np.int64(rest) + 512, np.int64(seed), np.int64(epoch), np.int64(sample),
            _stream_of(stream, step),
        ),
    )  # fmt: skip
    if status != 0:
        return status
    return np.int64(-1) if moves else np.int64(0)


@inline
def _pick(numbers: int, used: NDArray[np.int64], seed: int, epoch: int, sample: int, stream: int, step: int) -> int:
    """Draw a candidate of a policy; without replacement it is one that no step before has."""
    n = doubles_at(numbers, HEADER)
    count = np.int64(n[2])
    table = doubles_at(numbers + 8 * np.int64(n[7]), CANDIDATE * count)
    which = np.int64(0)
    for t in range(TRIES):
        draw = np.int64(STEP_DRAWS * (step + 1)) if t == 0 else np.int64((1 << 16) + TRIES * step + t)
        which = _weighted(table, 11, CANDIDATE, count, uniform(seed, epoch, sample, stream, draw))
        if n[3] != 0.0 or used[which] == 0:
            break
    used[which] = 1
    return which


def policy(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Carry out the steps of one of several rows, in place.

    Numbers: rows; steps of each; candidates; 1 if steps may draw the same candidate; kind of the magnitudes, deviation
    of their noise, the greatest; place of the candidates; then for each step a candidate (-1: drawn, -2: none), its
    probability and magnitude. Draw 0 is the row; of step s, draw 8 (s + 1) is the candidate and the next one decides.

    Work: 64 int64, a second image, 64 float64, then what candidates need.
    """
    n = doubles_at(numbers, HEADER)
    rows, steps = np.int64(n[0]), np.int64(n[1])
    used = longs_at(work, PARTS)
    for k in range(PARTS):
        used[k] = 0
    size = h * w * pixel
    spare = np.int64(work + 8 * PARTS)
    rest = spare + (size + 63) // 64 * 64
    row = np.int64(uniform(seed, epoch, sample, stream, 0) * rows)
    table = doubles_at(numbers + 8 * HEADER + 24 * steps * row, 3 * steps)
    here, there = np.int64(source), spare
    for s in range(steps):
        which = np.int64(table[3 * s])
        if which < -1:
            continue
        if which == -1:
            which = _pick(numbers, used, seed, epoch, sample, stream, s)
        if uniform(seed, epoch, sample, stream, STEP_DRAWS * (s + 1) + 1) >= table[3 * s + 1]:
            continue
        status = _carry_out(
            numbers, which, table[3 * s + 2], here, there, h, w, pixel, rest, seed, epoch, sample, stream, s
        )  # fmt: skip
        if status > 0:
            return status
        if status < 0:
            here, there = there, here
    if here != source:
        copy_bytes(np.int64(source), here, size)
    return np.int64(0)


@inline
def _add(total: NDArray[np.float32], levels: NDArray[np.uint8], share: float) -> None:
    s = np.float32(share)
    for i in range(levels.size):
        total[i] += s * np.float32(levels[i])


def augmix(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Blend an image with several chains of steps, each drawn, in place.

    Numbers: as of a policy with one row of one step, whose steps may draw the same candidate, but the first is the
    width, the second the depth (0: one to three), the ninth alpha, the tenth the bytes of 64 float64 and of what
    candidates need. Work: 64 shares, 64 int64, two images, these bytes, the sum as float32. Depths and shares are of a
    stream of their own.
    """
    n = doubles_at(numbers, HEADER)
    width, fixed_depth, alpha = np.int64(n[0]), np.int64(n[1]), n[8]
    shares, used = doubles_at(work, PARTS), longs_at(work + 8 * PARTS, PARTS)
    size = 3 * h * w
    buffer = np.int64((size + 63) // 64 * 64)
    first = np.int64(work + 16 * PARTS)
    rest = first + 2 * buffer
    levels, total = bytes_at(source, size), floats_at(rest + np.int64(n[9]), size)
    own = _stream_of(stream, -2)
    most = -np.inf
    for k in range(width):
        shares[k] = log_gamma_variate(alpha, seed, epoch, sample, own, DRAWS * (k + 2))
        most = max(most, shares[k])
    sum_of = 0.0
    for k in range(width):
        shares[k] = np.exp(shares[k] - most)
        sum_of += shares[k]
    a = log_gamma_variate(alpha, seed, epoch, sample, own, 0)
    b = log_gamma_variate(alpha, seed, epoch, sample, own, DRAWS)
    mixed = 1.0 / (1.0 + np.exp(a - b))
    for k in range(width):
        shares[k] *= mixed / sum_of
    for i in range(size):
        total[i] = np.float32(0.0)
    _add(total, levels, 1.0 - mixed)
    base = doubles_at(numbers + 8 * HEADER, 3)[2]
    step = np.int64(0)
    for k in range(width):
        depth = fixed_depth
        if depth == 0:
            depth = 1 + np.int64(uniform(seed, epoch, sample, own, DRAWS * (width + 2) + k) * 3)
        here, there = first, first + buffer
        copy_bytes(here, np.int64(source), size)
        for _ in range(depth):
            which = _pick(numbers, used, seed, epoch, sample, stream, step)
            status = _carry_out(
                numbers, which, base, here, there, h, w, pixel, rest, seed, epoch, sample, stream, step
            )  # fmt: skip
            if status > 0:
                return status
            if status < 0:
                here, there = there, here
            step += 1
        _add(total, bytes_at(here, size), shares[k])
    low, high = np.float32(0.0), np.float32(255.0)
    for i in range(size):
        levels[i] = np.uint8(np.int32(min(max(total[i], low), high)))
    return np.int64(0)

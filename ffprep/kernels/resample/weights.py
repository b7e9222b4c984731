"""Weights of one axis of a resampling: which source samples make an output sample, and how much each counts.

An axis is the linear map from the source samples ``lo <= p < hi`` to `n` outputs; output o covers
``origin + scale * [o, o + 1)`` in source samples. Weights of samples outside are dropped and the rest normalised. For a
crop, lo and hi are its ends, as in ``torchvision.transforms.functional.resized_crop``.

Filters
    BILINEAR, BICUBIC: the antialiased triangle and cubic convolution (a = -0.5) of Pillow's ``Image.resize`` and of
    ``torch.nn.functional.interpolate(antialias=True)``, widened by the scale where it shrinks. AREA: OpenCV's
    ``INTER_AREA``: exact cell coverage where both axes shrink, else its two-tap stretch.

Weights are computed in two ways, which share the rules of where a filter begins and how far it reaches:

- here, in float64, one output after the other, with Pillow's and OpenCV's own roundings. The exact renderer needs these
  to the bit, and the wide one uses them because it has no limit on taps;
- in :mod:`ffprep.kernels.resample.axis`, in float32, for sixteen outputs at once. The fixed-point renderers use these:
  they round weights to eight bits anyway, and computing the weights would otherwise take a good part of their time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline

BILINEAR, BICUBIC, AREA = 0, 1, 2
FILTERS = {"bilinear": BILINEAR, "bicubic": BICUBIC, "area": AREA}
STRETCH = 3
"""INTER_AREA where an axis grows; kernels choose it themselves."""

DIRECT, BOX, FANCY = 0, 1, 2
"""How libjpeg brings a component to full resolution: as it is, by repeating samples, by its 3:1 triangle."""


@inline
def effective_filter(kind: int, scale_y: float, scale_x: float) -> int:
    """Return STRETCH for AREA where an axis grows (OpenCV then stretches on both axes), else `kind`."""
    if kind == AREA and (scale_y < 1.0 or scale_x < 1.0):
        return STRETCH
    return kind


@inline
def support(kind: int, scale: float) -> float:
    """Return the largest distance, in source samples, from an output's centre to a sample that counts."""
    wide = max(scale, 1.0)
    if kind == BICUBIC:
        return 2.0 * wide
    if kind == STRETCH:
        return 0.5 * scale + 2.0
    return wide


@inline
def tap_limit(kind: int, scale: float, lo: int, hi: int) -> int:
    """Return an upper bound of the number of source samples that :func:`axis_weights` gives an output."""
    return min(np.int64(2.0 * support(kind, scale)) + 2, hi - lo)


@inline
def tap_count(kind: int, scale: float, length: int) -> int:
    """Return how many of `length` source samples an output can have, exactly: the rows of an ``axis`` table."""
    if kind == STRETCH:
        count = np.int64(2)
    elif kind == AREA:
        count = np.int64(np.ceil(scale)) + 1
    else:
        count = np.int64(np.ceil(2.0 * support(kind, scale)))
    return min(count, length)


@inline
def outputs_per_sample(scale: float, n: int) -> float:
    """Return 1 / scale for `n` outputs, their extent rounded where it is a whole number but for rounding errors."""
    extent = scale * n
    if abs(extent - np.rint(extent)) < 1e-6:
        extent = np.rint(extent)
    return n / extent


@inline
def smooth_first(center: float, reach: float, length: int) -> int:
    """Return the first of `length` source samples that a triangle or cubic around `center` reaches."""
    return min(max(np.int64(np.floor(center - reach + 0.5)), 0), length - 1)


@inline
def stretch_place(o: int, offset: float, inverse: float, length: int) -> tuple[int, float]:
    """Return the first of the two samples of output o of a stretch, and the weight of the second (0 at both ends).

    The sums are OpenCV's own, in its order: they decide on which side of a whole number an output falls.
    """
    first = np.int64(np.floor(o * (1.0 / inverse) + offset))
    part = np.float64(np.float32((o + 1) - (first + 1 - offset) * inverse))
    part = part - np.floor(part) if part > 0.0 else 0.0
    if first < 0:
        first, part = np.int64(0), 0.0
    if first >= length - 1:
        first, part = length - 1, 0.0
    return first, part


@inline
def _triangle(x: float) -> float:
    return max(0.0, 1.0 - abs(x))


@inline
def _cubic(x: float) -> float:
    """Keys' cubic convolution kernel with a = -0.5 (IEEE Trans. ASSP 29, 1981)."""
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    if x < 2.0:
        return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return 0.0


@inline
def _smooth_taps(kind: int, center: float, scale: float, length: int, out: NDArray[np.float64]) -> tuple[int, int]:
    wide = max(scale, 1.0)
    reach = support(kind, scale)
    first = smooth_first(center, reach, length)
    last = min(np.int64(np.floor(center + reach + 0.5)), length)
    count = min(max(last - first, 1), out.size)
    total = 0.0
    inverse = 1.0 / wide
    for j in range(count):
        x = (first + j - center + 0.5) * inverse
        w = _cubic(x) if kind == BICUBIC else _triangle(x)
        out[j] = w
        total += w
    if total != 0.0:
        for j in range(count):
            out[j] /= total
    else:
        out[0] = 1.0
    return first, count


@inline
def _area_taps(begin: float, scale: float, length: int, out: NDArray[np.float64]) -> tuple[int, int]:
    begin = max(begin, 0.0)
    cell = min(scale, length - begin)
    end = begin + scale
    whole_first = np.int64(np.ceil(begin))
    whole_last = min(np.int64(np.floor(end)), length - 1)
    whole_first = min(whole_first, whole_last)
    count = 0
    first = whole_first
    if whole_first - begin > 1e-3:
        first = whole_first - 1
        out[0] = (whole_first - begin) / cell
        count = 1
    for _ in range(whole_first, whole_last):
        out[count] = 1.0 / cell
        count += 1
    if end - whole_last > 1e-3 and count < out.size:
        out[count] = min(min(end - whole_last, 1.0), cell) / cell
        count += 1
    if count == 0:
        out[0] = 1.0
        count = 1
    return first, count


@inline
def _stretch_taps(o: int, offset: float, inverse: float, length: int, out: NDArray[np.float64]) -> tuple[int, int]:
    first, part = stretch_place(o, offset, inverse, length)
    out[0] = 1.0 - part
    if first == length - 1:
        return first, 1
    out[1] = part
    return first, 2


@inline
def axis_weights(
    kind: int,
    origin: float,
    scale: float,
    lo: int,
    hi: int,
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> None:
    """Fill the weights of an axis.

    Parameters
    ----------
    kind : int
        BILINEAR, BICUBIC, AREA or STRETCH (see :func:`effective_filter`).
    origin, scale : float
        Output o covers ``origin + scale * [o, o + 1)``, in source samples.
    lo, hi : int
        Source samples that may be used, ``lo < hi``.
    starts, counts : int64 arrays of shape (n,)
        Receive the first source sample of each output and how many samples it has.
    weights : float64 array of shape (n, taps), taps >= :func:`tap_limit`
        Receives the weights, which sum to 1 in each row; entries from counts[o] on are left alone.
    """
    inverse = outputs_per_sample(scale, starts.size)
    # Relative to lo, as after cropping: the same roundings as Pillow's and torch's.
    offset, length = origin - lo, hi - lo
    for o in range(starts.size):
        if kind == AREA:
            first, counts[o] = _area_taps(offset + scale * o, scale, length, weights[o])
        elif kind == STRETCH:
            first, counts[o] = _stretch_taps(o, offset, inverse, length, weights[o])
        else:
            first, counts[o] = _smooth_taps(kind, offset + (o + 0.5) * scale, scale, length, weights[o])
        starts[o] = lo + first


@inline
def upsampling(hs: int, vs: int, component_width: int) -> tuple[int, int]:
    """Return how libjpeg-turbo upsamples a component, as (vertical, horizontal) of DIRECT, BOX, FANCY.

    `hs`, `vs` are the ratios of the image's sampling to the component's (jdsample.c, do_fancy_upsampling on).
    """
    wide = component_width > 2
    if hs == 2 and vs == 1 and wide:
        return DIRECT, FANCY
    if hs == 1 and vs == 2:
        return FANCY, DIRECT
    if hs == 2 and vs == 2 and wide:
        return FANCY, FANCY
    return (BOX if vs > 1 else DIRECT), (BOX if hs > 1 else DIRECT)


@inline
def component_span(how: int, ratio: int, length: int, first: int, last: int) -> tuple[int, int]:
    """Return the first and last of a component's `length` samples that image samples first..last are made of."""
    a, b = first // ratio, last // ratio
    if how == FANCY:
        a, b = (first - 1) >> 1, (last + 1) >> 1
    return min(max(a, 0), length - 1), min(max(b, 0), length - 1)


@inline
def compose(
    how: int,
    ratio: int,
    length: int,
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    weights: NDArray[np.float64],
    out_starts: NDArray[np.int64],
    out_counts: NDArray[np.int64],
    out_weights: NDArray[np.float64],
) -> None:
    """Combine an axis at image resolution with libjpeg's upsampling of a component: an axis on the component's samples.

    Both are linear, so resampling the component by the result upsamples and resamples at once, without the rounding
    between the two. FANCY: image sample p is 3/4 of the component's sample p // 2 and 1/4 of its neighbour on p's side,
    clamped to the ends 0 and `length` - 1.
    """
    for o in range(starts.size):
        first, count = starts[o], counts[o]
        a, b = component_span(how, ratio, length, first, first + count - 1)
        b = min(b, a + out_weights.shape[1] - 1)
        for j in range(b - a + 1):
            out_weights[o, j] = 0.0
        for j in range(count):
            p = first + j
            w = weights[o, j]
            near = min(p // ratio, b) - a
            if how == FANCY:
                aside = min(max((p >> 1) - 1 + 2 * (p & 1), a), b) - a
                out_weights[o, near] += 0.75 * w
                out_weights[o, aside] += 0.25 * w
            else:
                out_weights[o, near] += w
        out_starts[o], out_counts[o] = a, b - a + 1

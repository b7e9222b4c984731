"""One thread's loop over the images of a batch: claim an item, sample its crop, decode what it needs, render
it.

Several threads run :func:`process_images` on the same batch at once: an atomic counter hands out the items,
so slow images hold nobody up. A loader with a loop of its own calls :func:`process_image` from it. Results do
not depend on which thread does an item. Everything passed in is an array with one fixed type (see the
parameters), so each function is compiled once; nothing needs the GIL.

The three arrays that say what to do come from :func:`ffprep.kernels.image.job.image_spec`, the array each thread
owns from :func:`ffprep.kernels.image.job.new_thread`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.image.job import (
    G_BYTES,
    I_HEIGHT,
    I_SAMPLE,
    I_WIDTH,
    S_AUGMENT,
    S_FORMAT,
    S_NEXT,
    S_OUT_H,
    S_OUT_W,
    S_PITCH,
    T_REACH,
)
from ffprep.kernels.image.view import choose, decode, reduction, render_view
from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.layout import OK, SIZE_MISMATCH, item_bytes
from ffprep.kernels.memory import atomic_add, fill_zero, longs_at

DECODE_OVERHEAD = 12
"""To begin decoding costs about as much as this part of an image's pixels; measured on ImageNet's with restart markers,
for crops of 5 to 80 %. It is more without markers."""


@inline
def _fits(item: NDArray[np.int64]) -> bool:
    return 0 < item[I_WIDTH] <= 65535 and 0 < item[I_HEIGHT] <= 65535


@inline
def _clear(spec: NDArray[np.int64], out: int) -> None:
    """Leave nothing stale in the place of an image that failed."""
    size = spec[S_OUT_H] * spec[S_OUT_W] * 3 * item_bytes(spec[S_FORMAT])
    if spec[S_AUGMENT] != 0:
        size = longs_at(spec[S_AUGMENT], 3)[G_BYTES]
    fill_zero(out, size)


@kernel
def process_image(
    i: int,
    items: NDArray[np.int64],
    spec: NDArray[np.int64],
    reals: NDArray[np.float64],
    colour: NDArray[np.float32],
    out_address: int,
    status: NDArray[np.int64],
    used: NDArray[np.float64],
    thread: NDArray[np.int64],
) -> int:
    """Do item i: write its image to ``out_address + i * pitch`` and its status to ``status[i]``.

    Parameters
    ----------
    i : int
        Item, 0 <= i < len(items).
    items : int64 array of shape (n, 8)
        See :data:`I_ADDRESS`. The bytes must stay where they are during the call.
    spec, reals, colour
        From :func:`image_spec`: int64 (16,), float64 (8,), float32 (6,).
    out_address : int
        Address of the output buffer, at least n times the pitch.
    status : int64 array of shape (n,)
        Receives 0, a code of ``ffprep.jpeg.status`` or one of ``layout.BAD_MODE, RAW_SIZE, BAD_OPTION``.
    used : float64 array of shape (n, 5)
        Receives the crop and the flip (see :data:`USED_SIZE`).
    thread : int64 array
        From :func:`new_thread`; used by one thread at a time.

    Returns
    -------
    int
        The status. An image that failed is all zero: nothing stale is ever left in the output.
    """
    out = out_address + i * spec[S_PITCH]
    reach = thread[T_REACH : T_REACH + 4]
    result = np.int64(SIZE_MISMATCH)
    if _fits(items[i]):
        choose(spec, reals, items[i], used[i], reach)
        result = decode(items[i], reach, reduction(spec, used[i]), thread)
        if result == OK:
            result = render_view(spec, colour, items[i, I_SAMPLE], used[i], reach, out, thread)
    if result != OK:
        _clear(spec, out)
    status[i] = result
    return result


@inline
def _area(reach: NDArray[np.int64]) -> int:
    return (reach[1] - reach[0]) * (reach[3] - reach[2])


@inline
def _join(reach: NDArray[np.int64], other: NDArray[np.int64], both: NDArray[np.int64]) -> None:
    both[0], both[1] = min(reach[0], other[0]), max(reach[1], other[1])
    both[2], both[3] = min(reach[2], other[2]), max(reach[3], other[3])


@kernel
def process_views(
    i: int,
    first: int,
    items: NDArray[np.int64],
    spec: NDArray[np.int64],
    reals: NDArray[np.float64],
    colour: NDArray[np.float32],
    outs: NDArray[np.int64],
    status: NDArray[np.int64],
    used: NDArray[np.float64],
    thread: NDArray[np.int64],
) -> int:
    """Do item i of several operations that show the same image, decoding what they share once.

    Views are taken in order as long as they want the image reduced alike and decoding the rectangle around them is
    less work than decoding the next one by itself. The pixels are those that :func:`process_image` makes.

    Parameters
    ----------
    i : int
        Item.
    first : int
        The first operation; ``spec[o, S_NEXT]`` is the one behind operation o.
    items, spec, reals, colour, status, used
        As for :func:`process_image`, with a dimension for the operation in front; ``items[first]`` is filled.
    outs : int64 array
        Address of each operation's output buffer.

    Returns
    -------
    int
        Status of the first view.
    """
    reach = thread[T_REACH : T_REACH + 4]
    whole = thread[T_REACH + 4 : T_REACH + 8]
    both = thread[T_REACH + 8 : T_REACH + 12]
    item = items[first, i]
    begin = np.int64(first)
    while True:
        end = begin
        result = np.int64(SIZE_MISMATCH)
        if _fits(item):
            choose(spec[begin], reals[begin], item, used[begin, i], whole)
            scale = reduction(spec[begin], used[begin, i])
            end = spec[begin, S_NEXT]
            while end != 0:
                choose(spec[end], reals[end], item, used[end, i], reach)
                if reduction(spec[end], used[end, i]) != scale:
                    break
                _join(whole, reach, both)
                spared = item[I_WIDTH] * item[I_HEIGHT] // DECODE_OVERHEAD
                if _area(both) > _area(whole) + _area(reach) + spared:
                    break
                _join(both, both, whole)
                end = spec[end, S_NEXT]
            result = decode(item, whole, scale, thread)
        else:
            end = np.int64(0)
        o = begin
        while True:
            out = outs[o] + i * spec[o, S_PITCH]
            one = result
            if one == OK:
                choose(spec[o], reals[o], item, used[o, i], reach)
                one = render_view(spec[o], colour[o], item[I_SAMPLE], used[o, i], reach, out, thread)
            if one != OK:
                _clear(spec[o], out)
            status[o, i] = one
            o = spec[o, S_NEXT]
            if o == end:
                break
        if end == 0:
            return status[first, i]
        begin = end


@kernel
def process_images(
    counter_address: int,
    items: NDArray[np.int64],
    spec: NDArray[np.int64],
    reals: NDArray[np.float64],
    colour: NDArray[np.float32],
    out_address: int,
    status: NDArray[np.int64],
    used: NDArray[np.float64],
    thread: NDArray[np.int64],
) -> int:
    """Do items until none is left to claim; parameters as of :func:`process_image`.

    `counter_address` is the address of an int64 shared by all threads of the batch, zero at the start.
    Returns how many items this call did; items claimed by other threads may still be under way.
    """
    done = 0
    n = items.shape[0]
    while True:
        i = atomic_add(counter_address, 1)
        if i >= n:
            return done
        process_image(i, items, spec, reals, colour, out_address, status, used, thread)
        done += 1

"""One thread's work on the images of a batch: choose each image's crop, decode what it needs, render it.

A loader calls :func:`process_image`, or :func:`process_views` where several operations show the same image, from a loop
of its own. :func:`process_images` is such a loop for several threads: an atomic counter hands out the items, so a slow
image delays nobody else. Results do not depend on which thread does an item, and nothing here needs the GIL.

The structures are those of :mod:`ffprep.abi`; :func:`ffprep.kernels.image.job.image_spec` and
:func:`ffprep.kernels.image.job.new_thread` make a specification and what a thread owns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.image.view import augmentation_at, choose, decode, reduction, render_view
from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.layout import OK, SIZE_MISMATCH, channels_of, item_bytes
from ffprep.kernels.memory import atomic_add, fill_zero

DECODE_OVERHEAD = 12
"""Starting to decode costs about as much as decoding one in 12 of an image's pixels: measured on ImageNet's images with
restart markers, for crops of 5 to 80 %. Without markers it costs more."""

LARGEST_SIDE = 65535


@inline
def _fits(item: Any) -> bool:
    return 0 < item.width <= LARGEST_SIDE and 0 < item.height <= LARGEST_SIDE


@inline
def _clear(spec: Any, out: int) -> None:
    """Zero the place of an image that failed, so that nothing stale is left there."""
    size = spec.out_h * spec.out_w * channels_of(spec.format) * item_bytes(spec.format)
    if spec.augment != 0:
        size = augmentation_at(spec.augment).bytes
    fill_zero(out, size)


@kernel
def process_image(item: Any, spec: Any, out: int, box: Any, thread: Any) -> int:
    """Make one image of a stored one.

    Parameters
    ----------
    item : ITEM
        The bytes must stay where they are during the call.
    spec : IMAGE_SPEC
    out : int
        Address of the finished image.
    box : BOX
        Receives the crop and the flip.
    thread : THREAD
        Used by one thread at a time.

    Returns
    -------
    int
        0, a code of ``ffprep.jpeg.status`` or one of ``layout.BAD_MODE, RAW_SIZE, BAD_OPTION``. An image that failed is
        all zero.
    """
    status = np.int64(SIZE_MISMATCH)
    if _fits(item):
        choose(spec, item, box, thread.reach)
        status = decode(item, thread.reach, reduction(spec, box), spec.luma, thread)
        if status == OK:
            status = render_view(spec, item.sample, box, thread.reach, out, thread)
    if status != OK:
        _clear(spec, out)
    return status


@inline
def _area(reach: Any) -> int:
    return (reach.hi_y - reach.lo_y) * (reach.hi_x - reach.lo_x)


@inline
def _join(one: Any, other: Any, both: Any) -> None:
    """Write down the smallest rectangle around two; `both` may be one of them."""
    both.lo_y, both.hi_y = min(one.lo_y, other.lo_y), max(one.hi_y, other.hi_y)
    both.lo_x, both.hi_x = min(one.lo_x, other.lo_x), max(one.hi_x, other.hi_x)


@inline
def _decode_shared(i: int, begin: int, item: Any, specs: Any, used: Any, thread: Any) -> tuple[int, int]:
    """Decode an image for the views from `begin` on that gain from it; return the first that does not, and the status.

    That is 0 when the last view is included.
    """
    whole, reach, both = thread.whole, thread.reach, thread.both
    choose(specs[begin], item, used[begin, i], whole)
    scale = reduction(specs[begin], used[begin, i])
    end = specs[begin].next
    while end != 0:
        choose(specs[end], item, used[end, i], reach)
        if reduction(specs[end], used[end, i]) != scale or specs[end].luma != specs[begin].luma:
            break
        _join(whole, reach, both)
        spared = item.width * item.height // DECODE_OVERHEAD
        if _area(both) > _area(whole) + _area(reach) + spared:
            break
        _join(both, both, whole)
        end = specs[end].next
    return end, decode(item, whole, scale, specs[begin].luma, thread)


@kernel
def process_views(
    i: int,
    first: int,
    found: int,
    item: Any,
    specs: NDArray[np.void],
    outs: NDArray[np.int64],
    status: NDArray[np.int64],
    used: NDArray[np.void],
    thread: Any,
) -> None:
    """Make row i of several operations that show the same image, decoding once what they share.

    Views are taken in order for as long as they want the image halved equally often, and decoding the rectangle around
    them is less work than decoding the next one by itself. The pixels are those that :func:`process_image` makes.

    Parameters
    ----------
    i : int
        Row of the batch.
    first : int
        The first operation; ``specs[o].next`` is the one after operation o.
    found : int
        OK, or the status that all views get because the file does not hold the image.
    item : ITEM
    specs : array of IMAGE_SPEC, shape (operations,)
    outs : int64 array, shape (operations,)
        Address of each operation's output buffer.
    status : int64 array, shape (operations, rows)
        Receives the status of each view.
    used : array of BOX, shape (operations, rows)
        Receives crop and flip of each view.
    thread : THREAD
    """
    begin = np.int64(first)
    while True:
        end, decoded = np.int64(0), np.int64(found)
        if found == OK and not _fits(item):
            decoded = np.int64(SIZE_MISMATCH)
        elif found == OK:
            end, decoded = _decode_shared(i, begin, item, specs, used, thread)
        o = begin
        while True:
            out = outs[o] + i * specs[o].pitch
            result = decoded
            if result == OK:
                choose(specs[o], item, used[o, i], thread.reach)
                result = render_view(specs[o], item.sample, used[o, i], thread.reach, out, thread)
            if result != OK:
                _clear(specs[o], out)
            status[o, i] = result
            o = specs[o].next
            if o == end:
                break
        if end == 0:
            return
        begin = end


@kernel
def process_images(
    counter_address: int,
    items: NDArray[np.void],
    specs: NDArray[np.void],
    out_address: int,
    status: NDArray[np.int64],
    used: NDArray[np.void],
    threads: NDArray[np.void],
) -> int:
    """Make images of items until none is left to claim; return how many this call made.

    Items that other threads have claimed may still be under way.

    Parameters
    ----------
    counter_address : int
        Address of an int64 that all threads of the batch share, zero at the start.
    items : array of ITEM, shape (n,)
    specs : array of IMAGE_SPEC, shape (1,)
        From ``image_spec``.
    out_address : int
        Address of the output buffer; image i lies ``i * pitch`` bytes on.
    status : int64 array, shape (n,)
    used : array of BOX, shape (n,)
    threads : array of THREAD, shape (1,)
        From ``new_thread``.
    """
    done = 0
    n = items.shape[0]
    while True:
        i = atomic_add(counter_address, 1)
        if i >= n:
            return done
        status[i] = process_image(items[i], specs[0], out_address + i * specs[0].pitch, used[i], threads[0])
        done += 1

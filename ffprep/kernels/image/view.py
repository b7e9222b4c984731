"""One view of one image: choose its crop, decode what that needs, render and augment it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.abi import AUGMENTATION
from ffprep.kernels.image.crop import LETTERBOX, center_crop, on_canvas, random_resized_crop, resize_center_crop
from ffprep.kernels.image.job import CROP_CENTER, CROP_RANDOM, CROP_RESIZE_CENTER, LEAST_SHRINKING
from ffprep.kernels.image.plain import copy_plain, is_plain
from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.layout import (
    BAD_MODE,
    NO_MEMORY,
    OK,
    RAW_SIZE,
    SIZE_MISMATCH,
    U8_HWC,
    UNFIT,
)
from ffprep.kernels.memory import address_of, allocate, call_entry, longs_at, record_at, release
from ffprep.kernels.random import uniform
from ffprep.kernels.resample.exact import exact_work_size
from ffprep.kernels.resample.plan import WIDE_SCALE
from ffprep.kernels.resample.records import describe_packed
from ffprep.kernels.resample.render import work_size
from ffprep.kernels.resample.unscaled import unscaled_work_size
from ffprep.kernels.resample.weights import support
from ffprep.kernels.resample.wide import wide_work_size

JPEG, RAW = 0, 1
"""Storage modes of an image."""

augmentation_at = record_at(AUGMENTATION)


@inline
def grown(address: int, held: int, size: int) -> tuple[int, int]:
    """Return memory of at least `size` bytes and its size: the `held` bytes at `address`, or else new ones.

    Without memory both are 0, and the old memory is free.
    """
    if size <= held:
        return address, held
    release(address)
    room = size + size // 4
    fresh = allocate(room)
    return fresh, room if fresh != 0 else np.int64(0)


@inline
def _random_box(spec: Any, height: int, width: int, sample: int) -> tuple[int, int, int, int]:
    return random_resized_crop(
        height, width, spec.scale_lo, spec.scale_hi, spec.ratio_lo, spec.ratio_hi,
        spec.seed, spec.epoch, sample, spec.crop_op,
    )  # fmt: skip


@inline
def _reach(kind: int, begin: float, extent: float, out: int, length: int) -> tuple[int, int]:
    """Return the pixels that a fractional box may use: what its filter reaches inside the image."""
    margin = support(kind, extent / out) + 1.0
    return max(np.int64(np.floor(begin - margin)), 0), min(np.int64(np.ceil(begin + extent + margin)), length)


@inline
def canvas_of(spec: Any, height: int, width: int, sample: int) -> tuple[int, int, int, int]:
    """Return the (rows, columns) that one view makes of an image, and its place (y, x) on the canvas, unmirrored."""
    return on_canvas(
        spec.crop, height, width, spec.scale_lo, spec.scale_hi, spec.out_h, spec.out_w,
        spec.seed, spec.epoch, sample, spec.crop_op,
    )  # fmt: skip


@inline
def placed(spec: Any, height: int, width: int, sample: int) -> tuple[float, float, float, float, bool]:
    """Return the box (y, x, h, w) that one view shows of an image of this size, and whether it is mirrored."""
    y, x, h, w = 0.0, 0.0, np.float64(height), np.float64(width)
    if spec.crop == CROP_RANDOM:
        cy, cx, ch, cw = _random_box(spec, height, width, sample)
        y, x, h, w = np.float64(cy), np.float64(cx), np.float64(ch), np.float64(cw)
    elif spec.crop == CROP_CENTER:
        cy, cx, ch, cw = center_crop(height, width, spec.center)
        y, x, h, w = np.float64(cy), np.float64(cx), np.float64(ch), np.float64(cw)
    elif spec.crop == CROP_RESIZE_CENTER:
        y, x, h, w = resize_center_crop(height, width, spec.short, spec.out_h, spec.out_w)
    elif spec.crop >= LETTERBOX:
        rows, cols, top, left = canvas_of(spec, height, width, sample)
        down, across = h / rows, w / cols
        y, x = max(-top, 0) * down, max(-left, 0) * across
        h, w = min(rows, spec.out_h) * down, min(cols, spec.out_w) * across
    mirrored = spec.flip > 0.0 and uniform(spec.seed, spec.epoch, sample, spec.flip_op, 0) < spec.flip
    return y, x, h, w, mirrored


@inline
def choose(spec: Any, item: Any, box: Any, reach: Any) -> None:
    """Choose what one view of an image shows.

    Parameters
    ----------
    spec : IMAGE_SPEC
    item : ITEM
    box : BOX
        Receives the box and whether it is mirrored.
    reach : REACH
        Receives the pixels that the view may use.
    """
    width, height, sample = item.width, item.height, item.sample
    y, x, h, w, mirrored = placed(spec, height, width, sample)
    box.y, box.x, box.h, box.w, box.flip = y, x, h, w, 1.0 if mirrored else 0.0
    box.rows, box.cols, box.down, box.across = spec.out_h, spec.out_w, 0, 0
    if spec.crop >= LETTERBOX:
        rows, cols, top, left = canvas_of(spec, height, width, sample)
        box.rows, box.cols = min(rows, spec.out_h), min(cols, spec.out_w)
        box.down, box.across = max(top, 0), max(left, 0)
        if mirrored:
            box.across = spec.out_w - box.cols - box.across
    if spec.crop >= CROP_RESIZE_CENTER:
        reach.lo_y, reach.hi_y = _reach(spec.filter, y, h, box.rows, height)
        reach.lo_x, reach.hi_x = _reach(spec.filter, x, w, box.cols, width)
    else:
        reach.lo_y, reach.hi_y = np.int64(y), np.int64(y + h)
        reach.lo_x, reach.hi_x = np.int64(x), np.int64(x + w)


@inline
def reduction(spec: Any, box: Any) -> int:
    """Return how often an image may be halved before its box is resized."""
    scale = np.int64(0)
    if spec.reduce != 0:
        ratio = min(box.h / box.rows, box.w / box.cols)
        while scale < 3 and ratio >= LEAST_SHRINKING[3 * spec.filter + scale]:
            scale += 1
    return scale


@inline
def _reduced(size: int, scale: int) -> int:
    return (size + (np.int64(1) << scale) - 1) >> scale


@inline
def decode(item: Any, reach: Any, scale: int, luma: int, thread: Any) -> int:
    """Decode the pixels of an image that are in reach, a JPEG halved `scale` times; return the status.

    ``thread.image`` tells where they are. An index that turns out to be wrong is taken from the item.

    Parameters
    ----------
    item : ITEM
    reach : REACH
    scale : int
    luma : int
        1: decode a JPEG's luma alone.
    thread : THREAD
    """
    if item.mode == JPEG:
        thread.scale = scale
        return _decode_jpeg(item, reach, scale, luma, thread)
    thread.scale = 0
    if item.mode != RAW:
        return np.int64(BAD_MODE)
    if item.size != 3 * item.width * item.height:
        return np.int64(RAW_SIZE)
    describe_packed(thread.image, item.address, item.height, item.width)
    return np.int64(OK)


@inline
def _decode_jpeg(item: Any, reach: Any, scale: int, luma: int, thread: Any) -> int:
    request = thread.request
    request.context, request.image = thread.context, address_of(thread.image)
    request.data, request.size = item.address, item.size
    request.x, request.w = reach.lo_x, reach.hi_x - reach.lo_x
    request.y, request.h = reach.lo_y, reach.hi_y - reach.lo_y
    request.scale, request.luma = scale, luma
    status = np.int64(OK)
    for _ in range(2):
        request.index, request.index_size = item.index, item.index_size
        status = call_entry(thread.decode, (address_of(request),))
        if status == OK or item.index == 0:
            break
        item.index, item.index_size = 0, 0  # the index may be what is wrong: the stream alone decides
    if status != OK:
        return status
    if thread.image.width != _reduced(item.width, scale) or thread.image.height != _reduced(item.height, scale):
        return np.int64(SIZE_MISMATCH)
    return status


@kernel
def render_view(spec: Any, sample: int, box: Any, reach: Any, out: int, thread: Any) -> int:
    """Render one view of the image that the thread has decoded to the address `out`, and augment it.

    Parameters
    ----------
    spec : IMAGE_SPEC
    sample : int
        Key of the augmentation's draws.
    box : BOX
    reach : REACH
        As :func:`choose` wrote them, in pixels of the whole image.
    out : int
        Address of the finished image.
    thread : THREAD
    """
    if spec.augment == 0:
        return _render(spec, box, reach, np.int64(out), spec.format, spec.stream, thread)
    augmentation = augmentation_at(spec.augment)
    thread.scratch, thread.scratch_size = grown(thread.scratch, thread.scratch_size, augmentation.scratch)
    if thread.scratch_size < augmentation.scratch:
        return np.int64(NO_MEMORY)
    status = _render(spec, box, reach, thread.scratch, np.int64(U8_HWC), np.int64(0), thread)
    if status != OK:
        return status
    if spec.crop >= LETTERBOX:
        place = longs_at(thread.scratch + 2 * augmentation.buffer, 4)
        place[0], place[1], place[2], place[3] = box.rows, box.cols, box.down, box.across
    arguments = (spec.augment, thread.scratch, np.int64(out), spec.seed, spec.epoch, np.int64(sample))
    return call_entry(augmentation.entry, arguments)


@kernel
def _render(spec: Any, box: Any, reach: Any, out: int, form: int, stream: int, thread: Any) -> int:
    """Render the box of the decoded image to the address `out` in the format `form`; return the status."""
    request, scale = thread.arguments, thread.scale
    part = 1.0 / (np.int64(1) << scale)
    request.image, request.colour = address_of(thread.image), address_of(spec.colour)
    request.y, request.x, request.h, request.w = box.y * part, box.x * part, box.h * part, box.w * part
    request.lo_y, request.hi_y = reach.lo_y >> scale, _reduced(reach.hi_y, scale)
    request.lo_x, request.hi_x = reach.lo_x >> scale, _reduced(reach.hi_x, scale)
    request.flip, request.filter = np.int64(box.flip), spec.filter
    request.out, request.out_h, request.out_w = out, box.rows, box.cols
    request.format, request.stream = form, stream
    if is_plain(thread.image, request):
        copy_plain(thread.image, request)
        return np.int64(OK)
    h, w, out_h, out_w = request.h, request.w, request.out_h, request.out_w
    same = h == out_h and w == out_w  # then every level comes out as it is, which fixed point does not promise
    if thread.exact != 0:
        size = exact_work_size(request)
    elif same:
        size = unscaled_work_size(request)
    elif h > WIDE_SCALE * out_h or w > WIDE_SCALE * out_w:
        size = wide_work_size(request)
    else:
        size = work_size(request)
    status = np.int64(UNFIT)
    for attempt in range(2):
        thread.work, thread.work_size = grown(thread.work, thread.work_size, size)
        if thread.work_size < size:
            return np.int64(NO_MEMORY)
        request.work, request.work_size = thread.work, thread.work_size
        first = thread.unscaled if same else thread.render
        status = call_entry(thread.wide if attempt else first, (address_of(request),))
        if status != UNFIT:
            break
        size = wide_work_size(request)
    return status

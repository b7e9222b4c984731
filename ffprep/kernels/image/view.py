"""One view of one image: choose its crop, decode what that needs, render and augment it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.image.crop import center_crop, random_resized_crop, resize_center_crop
from ffprep.kernels.image.job import (
    CROP_CENTER,
    CROP_RANDOM,
    CROP_RESIZE_CENTER,
    G_ENTRY,
    G_SCRATCH,
    I_ADDRESS,
    I_HEIGHT,
    I_INDEX,
    I_INDEX_SIZE,
    I_MODE,
    I_SAMPLE,
    I_SIZE,
    I_WIDTH,
    LEAST_SHRINKING,
    R_CENTER,
    R_FLIP,
    R_RATIO_HI,
    R_RATIO_LO,
    R_SCALE_HI,
    R_SCALE_LO,
    S_AUGMENT,
    S_CROP,
    S_CROP_OP,
    S_EPOCH,
    S_FILTER,
    S_FLIP_OP,
    S_FORMAT,
    S_OUT_H,
    S_OUT_W,
    S_REDUCE,
    S_SEED,
    S_SHORT,
    S_STREAM,
    T_ARGUMENTS,
    T_CONTEXT,
    T_DECODE,
    T_DESC,
    T_EXACT,
    T_RENDER,
    T_SCALE,
    T_SCRATCH,
    T_WIDE,
    T_WORK,
    T_WORK_SIZE,
)
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
from ffprep.kernels.memory import address_of, allocate, call_entry, longs_at, release
from ffprep.kernels.random import uniform
from ffprep.kernels.resample.exact import exact_work_size
from ffprep.kernels.resample.plan import WIDE_SCALE
from ffprep.kernels.resample.records import describe_packed, image_at, render_at
from ffprep.kernels.resample.render import work_size
from ffprep.kernels.resample.weights import support
from ffprep.kernels.resample.wide import wide_work_size


@inline
def _grow(thread: NDArray[np.int64], place: int, size: int) -> bool:
    if size > thread[place + 1]:
        release(thread[place])
        thread[place] = 0
        thread[place + 1] = 0
        size += size // 4
        address = allocate(size)
        if address == 0:
            return False
        thread[place] = address
        thread[place + 1] = size
    return True


@inline
def sample_box(
    spec: NDArray[np.int64], reals: NDArray[np.float64], height: int, width: int, sample: int
) -> tuple[float, float, float, float, int]:
    """Return the box (y, x, h, w) that a sample's image is cut to, and 1 if it is mirrored, else 0."""
    seed, epoch = spec[S_SEED], spec[S_EPOCH]
    y, x, h, w = 0.0, 0.0, np.float64(height), np.float64(width)
    if spec[S_CROP] == CROP_RANDOM:
        cy, cx, ch, cw = random_resized_crop(
            height,
            width,
            reals[R_SCALE_LO],
            reals[R_SCALE_HI],
            reals[R_RATIO_LO],
            reals[R_RATIO_HI],
            seed,
            epoch,
            sample,
            spec[S_CROP_OP],
        )
        y, x, h, w = np.float64(cy), np.float64(cx), np.float64(ch), np.float64(cw)
    elif spec[S_CROP] == CROP_CENTER:
        cy, cx, ch, cw = center_crop(height, width, reals[R_CENTER])
        y, x, h, w = np.float64(cy), np.float64(cx), np.float64(ch), np.float64(cw)
    elif spec[S_CROP] == CROP_RESIZE_CENTER:
        y, x, h, w = resize_center_crop(height, width, spec[S_SHORT], spec[S_OUT_H], spec[S_OUT_W])
    flip = 0
    if reals[R_FLIP] > 0.0 and uniform(seed, epoch, sample, spec[S_FLIP_OP], 0) < reals[R_FLIP]:
        flip = 1
    return y, x, h, w, flip


@inline
def _reach(kind: int, begin: float, extent: float, out: int, length: int) -> tuple[int, int]:
    """Return the pixels that a fractional box may use: what its filter reaches inside the image."""
    margin = support(kind, extent / out) + 1.0
    return max(np.int64(np.floor(begin - margin)), 0), min(np.int64(np.ceil(begin + extent + margin)), length)


@inline
def choose(
    spec: NDArray[np.int64],
    reals: NDArray[np.float64],
    item: NDArray[np.int64],
    used: NDArray[np.float64],
    reach: NDArray[np.int64],
) -> None:
    """Write down what one view shows: box and flip to `used`, the pixels it may use to `reach` (lo_y, hi_y, lo_x,
    hi_x)."""
    width, height = item[I_WIDTH], item[I_HEIGHT]
    y, x, h, w, flip = sample_box(spec, reals, height, width, item[I_SAMPLE])
    used[0], used[1], used[2], used[3], used[4] = y, x, h, w, flip
    reach[0], reach[1], reach[2], reach[3] = np.int64(y), np.int64(y + h), np.int64(x), np.int64(x + w)
    if spec[S_CROP] == CROP_RESIZE_CENTER:
        kind = spec[S_FILTER]
        reach[0], reach[1] = _reach(kind, y, h, spec[S_OUT_H], height)
        reach[2], reach[3] = _reach(kind, x, w, spec[S_OUT_W], width)


@inline
def reduction(spec: NDArray[np.int64], used: NDArray[np.float64]) -> int:
    """Return how often an image may be halved before its box is resized."""
    scale = np.int64(0)
    if spec[S_REDUCE] != 0:
        ratio = min(used[2] / spec[S_OUT_H], used[3] / spec[S_OUT_W])
        while scale < 3 and ratio >= LEAST_SHRINKING[3 * spec[S_FILTER] + scale]:
            scale += 1
    return scale


@inline
def _reduced(size: int, scale: int) -> int:
    return (size + (np.int64(1) << scale) - 1) >> scale


@inline
def decode(item: NDArray[np.int64], reach: NDArray[np.int64], scale: int, thread: NDArray[np.int64]) -> int:
    """Decode the pixels in reach of an image, a JPEG halved `scale` times; the thread's descriptor tells where they
    lie."""
    width, height, mode = item[I_WIDTH], item[I_HEIGHT], item[I_MODE]
    image = image_at(np.int64(thread[T_DESC:].ctypes.data))
    thread[T_SCALE] = scale if mode == 0 else np.int64(0)
    if mode == 0:
        status = OK
        for _ in range(2):
            status = call_entry(
                thread[T_DECODE],
                (
                    thread[T_CONTEXT],
                    item[I_ADDRESS],
                    item[I_SIZE],
                    item[I_INDEX],
                    item[I_INDEX_SIZE],
                    reach[2],
                    reach[0],
                    reach[3] - reach[2],
                    reach[1] - reach[0],
                    scale,
                    address_of(image),
                ),
            )
            if status == OK or item[I_INDEX] == 0:
                break
            item[I_INDEX], item[I_INDEX_SIZE] = 0, 0  # the index may be what is wrong: the stream alone decides
        if status != OK:
            return status
        if image.width != _reduced(width, scale) or image.height != _reduced(height, scale):
            return SIZE_MISMATCH
    elif mode == 1:
        if item[I_SIZE] != 3 * width * height:
            return RAW_SIZE
        describe_packed(image, item[I_ADDRESS], height, width)
    else:
        return BAD_MODE
    return OK


@kernel
def render_view(
    spec: NDArray[np.int64],
    colour: NDArray[np.float32],
    sample: int,
    used: NDArray[np.float64],
    reach: NDArray[np.int64],
    out: int,
    thread: NDArray[np.int64],
) -> int:
    """Render one view of the image that the thread has decoded, and augment it."""
    scale = thread[T_SCALE]
    part = 1.0 / (np.int64(1) << scale)
    image = image_at(np.int64(thread[T_DESC:].ctypes.data))
    request = render_at(np.int64(thread[T_ARGUMENTS:].ctypes.data))
    request.image = address_of(image)
    request.y, request.x, request.h, request.w = used[0] * part, used[1] * part, used[2] * part, used[3] * part
    request.lo_y, request.hi_y = reach[0] >> scale, _reduced(reach[1], scale)
    request.lo_x, request.hi_x = reach[2] >> scale, _reduced(reach[3], scale)
    request.flip, request.filter = np.int64(used[4]), spec[S_FILTER]
    request.out, request.out_h, request.out_w = np.int64(out), spec[S_OUT_H], spec[S_OUT_W]
    request.format, request.colour, request.stream = spec[S_FORMAT], np.int64(colour.ctypes.data), spec[S_STREAM]
    program = spec[S_AUGMENT]
    if program != 0:
        if not _grow(thread, T_SCRATCH, longs_at(program, 3)[G_SCRATCH]):
            return NO_MEMORY
        request.out, request.format, request.stream = thread[T_SCRATCH], U8_HWC, 0
    h, w, out_h, out_w = request.h, request.w, request.out_h, request.out_w
    same = h == out_h and w == out_w  # then every level comes out as it is, which fixed point does not promise
    if thread[T_EXACT]:
        size = exact_work_size(request)
    elif same or h > WIDE_SCALE * out_h or w > WIDE_SCALE * out_w:
        size = wide_work_size(request)
    else:
        size = work_size(request)
    status = np.int64(UNFIT)
    plain = is_plain(image, request)
    if plain:
        copy_plain(image, request)
        status = np.int64(OK)
    for attempt in range(2 if plain else 1 if same else 0, 2):
        if not _grow(thread, T_WORK, size):
            return NO_MEMORY
        request.work, request.work_size = thread[T_WORK], thread[T_WORK_SIZE]
        status = call_entry(thread[T_WIDE if attempt else T_RENDER], (address_of(request),))
        if status != UNFIT:
            break
        size = wide_work_size(request)
    if status == OK and program != 0:
        entry = longs_at(program, 3)[G_ENTRY]
        return call_entry(entry, (program, request.out, np.int64(out), spec[S_SEED], spec[S_EPOCH], np.int64(sample)))
    return status

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
    DESC_COLOR,
    DESC_COMPONENTS,
    DESC_HEIGHT,
    DESC_PLANES,
    DESC_SIZE,
    DESC_WIDTH,
    NO_MEMORY,
    OK,
    P_ADDRESS,
    P_H,
    P_HEIGHT,
    P_HS,
    P_STRIDE,
    P_VS,
    P_W,
    P_WIDTH,
    P_X0,
    P_Y0,
    RAW_SIZE,
    RGB_PACKED,
    SIZE_MISMATCH,
    U8_HWC,
    UNFIT,
)
from ffprep.kernels.memory import allocate, call_entry, longs_at, release
from ffprep.kernels.random import uniform
from ffprep.kernels.resample.exact import exact_work_size
from ffprep.kernels.resample.plan import WIDE_SCALE
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
def _describe_raw(desc: NDArray[np.int64], address: int, height: int, width: int) -> None:
    desc[DESC_WIDTH], desc[DESC_HEIGHT], desc[DESC_COMPONENTS], desc[DESC_COLOR] = (
        width,
        height,
        1,
        RGB_PACKED,
    )
    p = desc[DESC_PLANES:]
    p[P_ADDRESS], p[P_STRIDE], p[P_X0], p[P_Y0] = address, 3 * width, 0, 0
    p[P_W], p[P_H], p[P_HS], p[P_VS], p[P_WIDTH], p[P_HEIGHT] = width, height, 1, 1, width, height


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
    desc = thread[T_DESC : T_DESC + DESC_SIZE]
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
                    np.int64(desc.ctypes.data),
                ),
            )
            if status == OK or item[I_INDEX] == 0:
                break
            item[I_INDEX], item[I_INDEX_SIZE] = 0, 0  # the index may be what is wrong: the stream alone decides
        if status != OK:
            return status
        if desc[DESC_WIDTH] != _reduced(width, scale) or desc[DESC_HEIGHT] != _reduced(height, scale):
            return SIZE_MISMATCH
    elif mode == 1:
        if item[I_SIZE] != 3 * width * height:
            return RAW_SIZE
        _describe_raw(desc, item[I_ADDRESS], height, width)
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
    scale, flip = thread[T_SCALE], used[4]
    part = 1.0 / (np.int64(1) << scale)
    y, x, h, w = used[0] * part, used[1] * part, used[2] * part, used[3] * part
    lo_y, hi_y = reach[0] >> scale, _reduced(reach[1], scale)
    lo_x, hi_x = reach[2] >> scale, _reduced(reach[3], scale)
    out_h, out_w, kind = spec[S_OUT_H], spec[S_OUT_W], spec[S_FILTER]
    target, form, stream = np.int64(out), spec[S_FORMAT], spec[S_STREAM]
    program = spec[S_AUGMENT]
    if program != 0:
        if not _grow(thread, T_SCRATCH, longs_at(program, 3)[G_SCRATCH]):
            return NO_MEMORY
        target, form, stream = thread[T_SCRATCH], np.int64(U8_HWC), np.int64(0)
    desc = thread[T_DESC : T_DESC + DESC_SIZE]
    rows, cols = hi_y - lo_y, hi_x - lo_x
    same = h == out_h and w == out_w  # then every level comes out as it is, which fixed point does not promise
    if thread[T_EXACT]:
        size = exact_work_size(kind, h, w, rows, cols, out_h, out_w)
    elif same or h > WIDE_SCALE * out_h or w > WIDE_SCALE * out_w:
        size = wide_work_size(kind, h, w, rows, cols, out_h, out_w)
    else:
        size = work_size(kind, h, w, rows, cols, out_h, out_w)
    status = np.int64(UNFIT)
    plain = is_plain(desc, y, x, h, w, out_h, out_w, form)
    if plain:
        copy_plain(desc, np.int64(y), np.int64(x), out_h, out_w, np.int64(flip), target, form, colour)
        status = np.int64(OK)
    for attempt in range(2 if plain else 1 if same else 0, 2):
        if not _grow(thread, T_WORK, size):
            return NO_MEMORY
        status = call_entry(
            thread[T_WIDE if attempt else T_RENDER],
            (
                np.int64(desc.ctypes.data),
                y,
                x,
                h,
                w,
                lo_y,
                hi_y,
                lo_x,
                hi_x,
                np.int64(flip),
                kind,
                target,
                out_h,
                out_w,
                form,
                np.int64(colour.ctypes.data),
                thread[T_WORK],
                thread[T_WORK_SIZE],
                stream,
            ),
        )
        if status != UNFIT:
            break
        size = wide_work_size(kind, h, w, rows, cols, out_h, out_w)
    if status == OK and program != 0:
        entry = longs_at(program, 3)[G_ENTRY]
        return call_entry(entry, (program, target, np.int64(out), spec[S_SEED], spec[S_EPOCH], np.int64(sample)))
    return status

"""One thread's loop over the images of a batch: claim an item, sample its crop, decode what it needs, render
it.

Several threads run :func:`process_images` on the same batch at once: an atomic counter hands out the items,
so slow images hold nobody up. A loader with a loop of its own calls :func:`process_image` from it. Results do
not depend on which thread does an item. Everything passed in is an array with one fixed type (see the
parameters), so each function is compiled once; nothing needs the GIL.

The three arrays that say what to do come from :func:`image_spec`, the array each thread owns from
:func:`new_thread`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ffprep.errors import OptionError
from ffprep.kernels._jit import inline, kernel
from ffprep.kernels.crop import center_crop, random_resized_crop, resize_center_crop
from ffprep.kernels.exact import exact_work_size
from ffprep.kernels.layout import (
    BAD_MODE,
    DESC_COLOR,
    DESC_COMPONENTS,
    DESC_HEIGHT,
    DESC_PLANES,
    DESC_SIZE,
    DESC_WIDTH,
    FORMATS,
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
    item_bytes,
)
from ffprep.kernels.memory import allocate, atomic_add, call_entry, fill_zero, longs_at, release
from ffprep.kernels.plan import WIDE_SCALE
from ffprep.kernels.random import uniform
from ffprep.kernels.render import DTYPES, colour_array, render_entry, work_size
from ffprep.kernels.weights import FILTERS, support
from ffprep.kernels.wide import wide_work_size

ITEM_SIZE = 8
I_ADDRESS, I_SIZE, I_WIDTH, I_HEIGHT, I_MODE, I_SAMPLE, I_INDEX, I_INDEX_SIZE = 0, 1, 2, 3, 4, 5, 6, 7
"""Columns of `items` (int64): address and size of the stored bytes (already checked to lie in the file),
width and height from the metadata, storage mode (0 JPEG, 1 raw RGB), sample id (for the random numbers),
address and size of a seek index (0, 0: none)."""

SPEC_SIZE = 16
(
    S_CROP,
    S_FILTER,
    S_FORMAT,
    S_OUT_H,
    S_OUT_W,
    S_PITCH,
    S_SEED,
    S_EPOCH,
    S_CROP_OP,
    S_FLIP_OP,
    S_STREAM,
    S_SHORT,
    S_REDUCE,
    S_NEXT,
    S_AUGMENT,
) = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    14,
    15,
)
"""Entries of `spec` (int64). A loader changes S_EPOCH between epochs and S_STREAM with its buffers. S_REDUCE:
1 where JPEGs may be reduced while they are decoded (see :data:`LEAST_SHRINKING`), else 0. S_NEXT is the
operation that makes the next view of the same image, 0 for none; S_AUGMENT the address of an augmentation program
(G_ENTRY), 0 for none."""

G_ENTRY, G_SCRATCH, G_BYTES = 0, 1, 2
"""First entries of an augmentation program (int64): the address of a C function
``run(program, image, out, seed, epoch, sample) -> status``; bytes of scratch memory, whose beginning receives the
rendered image as uint8 (H, W, 3) and is given as `image`; bytes of the finished image at `out`."""

RUN_SIGNATURE = "int64(int64, int64, int64, int64, int64, int64)"

REALS_SIZE = 8
R_SCALE_LO, R_SCALE_HI, R_RATIO_LO, R_RATIO_HI, R_CENTER, R_FLIP = 0, 1, 2, 3, 4, 5
"""Entries of `reals` (float64)."""

CROP_WHOLE, CROP_RANDOM, CROP_CENTER, CROP_RESIZE_CENTER = 0, 1, 2, 3
CROPS = {
    "whole": CROP_WHOLE,
    "random": CROP_RANDOM,
    "center": CROP_CENTER,
    "resize_center": CROP_RESIZE_CENTER,
}

USED_SIZE = 5
"""Columns of `used` (float64): the box y, x, h, w an image was cut to, and 1 where it was mirrored."""

THREAD_SIZE = 72
T_CONTEXT, T_WORK, T_WORK_SIZE, T_DECODE, T_RENDER, T_WIDE, T_EXACT, T_SCALE, T_DESC = 0, 1, 2, 3, 4, 5, 6, 7, 8
T_SCRATCH, T_REACH = 56, 58
"""Entries of `thread` (int64). The size of a memory follows its address; T_SCALE is how often the decoded image was
halved."""

LEAST_SHRINKING = (2.25, 4.5, 11.0, 2.25, 4.75, 13.0, 2.75, 6.25, 17.0)
"""For each filter (bilinear, bicubic, area): a box that is shrunk at least so much both ways is decoded at a half, a
quarter, an eighth of its resolution. So chosen that the outputs stay, in the mean, 40 dB (PSNR) or more from those that
all pixels make (``benchmarks/reduced.py``)."""


def image_spec(
    size: tuple[int, int],
    *,
    crop: str = "whole",
    filter: str = "bilinear",
    format: str = "f32_chw",
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    flip: float = 0.0,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    center: float = 1.0,
    short: int = 256,
    seed: int = 0,
    epoch: int = 0,
    crop_op: int = 0,
    flip_op: int = 1,
    stream: bool = False,
    reduce: bool = False,
    pitch: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float32]]:
    """Return (spec, reals, colour): what :func:`process_image` does with each image.

    Parameters
    ----------
    size : (out_h, out_w)
    crop : {'whole', 'random', 'center', 'resize_center'}
        The whole image stretched to `size`; a random resized crop with `scale` and `ratio`; ffcv's centred
        square of side ``center * min(h, w)``; torchvision's Resize(`short`) and CenterCrop(`size`).
    filter : {'bilinear', 'bicubic', 'area'}
    format : a key of :data:`ffprep.kernels.layout.FORMATS`
    mean, std : three numbers each
        Normalisation of levels in 0..255: ``(level - mean) / std``; uint8 formats are not normalised.
    flip : float
        Probability of mirroring left and right.
    seed, epoch, crop_op, flip_op : int
        Key and counters of the random numbers (:mod:`ffprep.kernels.random`).
    reduce : bool
        Decode JPEGs at a half, a quarter or an eighth of their resolution where the crop is shrunk more than that
        (:data:`LEAST_SHRINKING`).
    pitch : int, optional
        Bytes from one output image to the next; densely packed by default.

    Raises
    ------
    OptionError
    """
    for name, value, known in (
        ("crop", crop, CROPS),
        ("filter", filter, FILTERS),
        ("format", format, FORMATS),
    ):
        if value not in known:
            raise OptionError(f"{name} must be one of {', '.join(sorted(known))}, not {value!r}")
    out_h, out_w = int(size[0]), int(size[1])
    if not (1 <= out_h <= 65535 and 1 <= out_w <= 65535):
        raise OptionError(f"output size must be between 1 and 65535 on each side, not {size}")
    if not (0.0 < scale[0] <= scale[1] and 0.0 < ratio[0] <= ratio[1] and np.isfinite([*scale, *ratio]).all()):
        raise OptionError(f"scale and ratio must be (low, high) above 0, not {scale} and {ratio}")
    if not (0.0 <= flip <= 1.0 and 0.0 < center <= 1.0 and short >= 1):
        raise OptionError(f"flip must be in [0, 1], center in (0, 1], short at least 1; got {flip}, {center}, {short}")
    image = out_h * out_w * 3 * np.dtype(DTYPES[format][0]).itemsize
    pitch = image if pitch is None else int(pitch)
    if pitch < image:
        raise OptionError(f"pitch {pitch} is less than an image's {image} bytes")
    spec = np.zeros(SPEC_SIZE, np.int64)
    spec[: S_REDUCE + 1] = (
        CROPS[crop],
        FILTERS[filter],
        FORMATS[format],
        out_h,
        out_w,
        pitch,
        np.uint64(seed % (1 << 64)).astype(np.int64),
        epoch,
        crop_op,
        flip_op,
        int(stream),
        short,
        int(reduce),
    )
    reals = np.zeros(REALS_SIZE, np.float64)
    reals[: R_FLIP + 1] = scale[0], scale[1], ratio[0], ratio[1], center, flip
    return spec, reals, colour_array(mean, std)


def new_thread(context: int, decode_entry: int, *, exact: bool = False) -> NDArray[np.int64]:
    """Return the array one thread owns: its decoder context, its workspace, the C functions to call.

    Parameters
    ----------
    context : int
        Address of an ``ffp_context``; the caller frees it.
    decode_entry : int
        Address of ``ffp_decode_region``.
    exact : bool
        Render with the exact renderer (bit-equal to Pillow, slower).

    Give it to :func:`free_thread` in the end.
    """
    thread = np.zeros(THREAD_SIZE, np.int64)
    thread[T_CONTEXT] = context
    thread[T_DECODE] = decode_entry
    thread[T_EXACT] = int(exact)
    thread[T_RENDER] = render_entry("exact" if exact else None)
    thread[T_WIDE] = render_entry("exact" if exact else "wide")
    return thread


@kernel
def free_thread(thread: NDArray[np.int64]) -> None:
    """Give back the workspace of a thread; the array may be used again."""
    for place in (T_WORK, T_SCRATCH):
        release(thread[place])
        thread[place] = 0
        thread[place + 1] = 0


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
def _choose(
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
def _reduction(spec: NDArray[np.int64], used: NDArray[np.float64]) -> int:
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
def _decode(item: NDArray[np.int64], reach: NDArray[np.int64], scale: int, thread: NDArray[np.int64]) -> int:
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
def _render_view(
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
    for attempt in range(1 if same else 0, 2):
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
        _choose(spec, reals, items[i], used[i], reach)
        result = _decode(items[i], reach, _reduction(spec, used[i]), thread)
        if result == OK:
            result = _render_view(spec, colour, items[i, I_SAMPLE], used[i], reach, out, thread)
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

    Views are taken in order as long as decoding the rectangle around them is less work than decoding the next one by
    itself. The pixels are those that :func:`process_image` makes of images it does not reduce.

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
            _choose(spec[begin], reals[begin], item, used[begin, i], whole)
            end = spec[begin, S_NEXT]
            while end != 0:
                _choose(spec[end], reals[end], item, used[end, i], reach)
                _join(whole, reach, both)
                if _area(both) > _area(whole) + _area(reach):
                    break
                _join(both, both, whole)
                end = spec[end, S_NEXT]
            result = _decode(item, whole, np.int64(0), thread)
        else:
            end = np.int64(0)
        o = begin
        while True:
            out = outs[o] + i * spec[o, S_PITCH]
            one = result
            if one == OK:
                _choose(spec[o], reals[o], item, used[o, i], reach)
                one = _render_view(spec[o], colour[o], item[I_SAMPLE], used[o, i], reach, out, thread)
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


__all__ = [
    "CROPS",
    "ITEM_SIZE",
    "free_thread",
    "image_spec",
    "new_thread",
    "process_image",
    "process_images",
    "process_views",
]

"""The numbers that tell the kernels what to make of images: of items, operations and threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ffprep.errors import OptionError
from ffprep.kernels.jit import kernel
from ffprep.kernels.layout import FORMATS
from ffprep.kernels.memory import release
from ffprep.kernels.resample.render import DTYPES, colour_array, render_entry
from ffprep.kernels.resample.weights import FILTERS

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

THREAD_SIZE = 96
T_CONTEXT, T_WORK, T_WORK_SIZE, T_DECODE, T_RENDER, T_WIDE, T_EXACT, T_SCALE, T_DESC = 0, 1, 2, 3, 4, 5, 6, 7, 8
T_SCRATCH, T_REACH, T_ARGUMENTS = 56, 58, 72
"""Entries of `thread` (int64). The size of a memory follows its address; T_SCALE is how often the decoded image was
halved; an IMAGE begins at T_DESC, a RENDER at T_ARGUMENTS (see :mod:`ffprep.abi`)."""

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

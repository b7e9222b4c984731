"""What tells the kernels what to make of images: the specification of an image operation, and what a thread owns.

The structures are those of :mod:`ffprep.abi`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ffprep.abi import COLOUR, IMAGE_SPEC, THREAD
from ffprep.common.seeds import signed
from ffprep.errors import OptionError
from ffprep.kernels.image.crop import LETTERBOX, RANDOM_RESIZE, SCALE_JITTER
from ffprep.kernels.jit import kernel
from ffprep.kernels.layout import FORMATS
from ffprep.kernels.memory import release
from ffprep.kernels.resample.render import DTYPES, channels_in, colour_array, render_entry
from ffprep.kernels.resample.weights import FILTERS

CROP_WHOLE, CROP_RANDOM, CROP_CENTER, CROP_RESIZE_CENTER = 0, 1, 2, 3
CROPS = {
    "whole": CROP_WHOLE,
    "random": CROP_RANDOM,
    "center": CROP_CENTER,
    "resize_center": CROP_RESIZE_CENTER,
    "letterbox": LETTERBOX,
    "scale_jitter": SCALE_JITTER,
    "random_resize": RANDOM_RESIZE,
}

RUN_SIGNATURE = "int64(int64, int64, int64, int64, int64, int64)"
"""C signature of what an augmentation's `entry` is the address of."""

LEAST_SHRINKING = (2.25, 4.5, 11.0, 2.25, 4.75, 13.0, 2.75, 6.25, 17.0)
"""How much a box must shrink, both ways, to be decoded at a half, a quarter or an eighth of its resolution.

Three numbers for each filter: bilinear, bicubic, area. They are chosen so that, on average, the outputs agree with
those made from all pixels to 40 dB (PSNR) or better (``benchmarks/decoding/reduced.py``)."""


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
    luma: bool = False,
    pitch: int | None = None,
) -> NDArray[np.void]:
    """Return what ``process_image`` is to make of each image, as an array of one :data:`ffprep.abi.IMAGE_SPEC`.

    Parameters
    ----------
    size : (out_h, out_w)
    crop : {'whole', 'random', 'center', 'resize_center', 'letterbox', 'scale_jitter', 'random_resize'}
        The whole image stretched to `size`; a random resized crop with `scale` and `ratio`; ffcv's centred
        square of side ``center * min(h, w)``; torchvision's Resize(`short`) and CenterCrop(`size`); or the image in
        its own shape on a canvas, see :func:`ffprep.kernels.image.crop.on_canvas`, whose range is `scale`: then the
        augmentation's first step has to put it there.
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
    luma : bool
        Decode no more of JPEGs than their luma.
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
    image = out_h * out_w * channels_in(format) * np.dtype(DTYPES[format][0]).itemsize
    pitch = image if pitch is None else int(pitch)
    if pitch < image:
        raise OptionError(f"pitch {pitch} is less than an image's {image} bytes")
    spec = np.zeros(1, IMAGE_SPEC)
    spec["crop"], spec["filter"], spec["format"] = CROPS[crop], FILTERS[filter], FORMATS[format]
    spec["out_h"], spec["out_w"], spec["pitch"] = out_h, out_w, pitch
    spec["seed"], spec["epoch"] = signed(seed), epoch
    spec["crop_op"], spec["flip_op"] = crop_op, flip_op
    spec["stream"], spec["short"], spec["reduce"] = int(stream), short, int(reduce)
    spec["luma"] = int(luma)
    (spec["scale_lo"], spec["scale_hi"]), (spec["ratio_lo"], spec["ratio_hi"]) = scale, ratio
    spec["center"], spec["flip"] = center, flip
    spec["colour"] = colour_array(mean, std).view(COLOUR)
    return spec


def new_thread(context: int, decode_entry: int, *, exact: bool = False) -> NDArray[np.void]:
    """Return what one thread owns, as an array of one :data:`ffprep.abi.THREAD`.

    The caller releases it with :func:`free_thread`.

    Parameters
    ----------
    context : int
        Address of an ``ffp_context``; the caller frees it.
    decode_entry : int
        Address of ``ffp_decode_region``.
    exact : bool
        Render with the exact renderer (bit-equal to Pillow, slower).
    """
    thread = np.zeros(1, THREAD)
    thread["context"], thread["decode"] = context, decode_entry
    thread["render"] = render_entry("exact" if exact else None)
    thread["unscaled"] = render_entry("exact" if exact else "unscaled")
    thread["wide"] = render_entry("exact" if exact else "wide")
    thread["exact"] = int(exact)
    return thread


@kernel(arguments=[(THREAD, 1)])
def free_thread(threads: NDArray[np.void]) -> None:
    """Free the memory of a thread of :func:`new_thread`, which may be used again afterwards."""
    thread = threads[0]
    release(thread.work)
    release(thread.scratch)
    thread.work, thread.work_size = 0, 0
    thread.scratch, thread.scratch_size = 0, 0

"""What kernels agree on: output formats, colour codes and status codes."""

from __future__ import annotations

import numpy as np

from ffprep.kernels.jit import inline

U8_HWC, U8_CHW, F32_CHW, F16_CHW, F32_HWC, F16_HWC, BF16_CHW, BF16_HWC = 0, 1, 2, 3, 4, 5, 6, 7
U8_GREY, F32_GREY, F16_GREY, BF16_GREY = 8, 9, 10, 11
"""Output formats: element type and order of an image, or of its luma alone; bfloat16 is written as its bits."""
FORMATS = {
    "u8_hwc": U8_HWC,
    "u8_chw": U8_CHW,
    "f32_chw": F32_CHW,
    "f16_chw": F16_CHW,
    "f32_hwc": F32_HWC,
    "f16_hwc": F16_HWC,
    "bf16_chw": BF16_CHW,
    "bf16_hwc": BF16_HWC,
    "u8_grey": U8_GREY,
    "f32_grey": F32_GREY,
    "f16_grey": F16_GREY,
    "bf16_grey": BF16_GREY,
}

GRAY, YCC, RGB, RGB_PACKED = 1, 2, 3, 16
"""Values of ``IMAGE.color``: the C library's, and interleaved RGB (one plane of 3 bytes a pixel)."""

OK, UNSUPPORTED_COLOR, BAD_RECTANGLE, NO_MEMORY, SIZE_MISMATCH, NO_SPACE = 0, 5, 14, 15, 18, 19
"""Status codes of the C library that the kernels return as well."""
BAD_MODE, RAW_SIZE, BAD_OPTION, UNFIT = 101, 102, 103, 106
"""Status codes of the kernels alone: unknown storage mode, wrong size of raw pixels, impossible parameter, and an image
that only the wide renderer can render (which never becomes the status of an item)."""


@inline
def item_bytes(form: int) -> int:
    """Return the bytes of one element of a format."""
    if form in (U8_HWC, U8_CHW, U8_GREY):
        return np.int64(1)
    if form in (F32_CHW, F32_HWC, F32_GREY):
        return np.int64(4)
    return np.int64(2)


@inline
def channels_of(form: int) -> int:
    """Return how many channels a format has."""
    return np.int64(1) if form >= U8_GREY else np.int64(3)


@inline
def channels_last(form: int) -> bool:
    """Return whether a format keeps the three channels of a pixel together."""
    return form in (U8_HWC, F32_HWC, F16_HWC, BF16_HWC)


@inline
def aligned(size: int) -> int:
    """Round a size up to a multiple of 64."""
    return (size + 63) & ~np.int64(63)

"""The records that renderers read, at an address, and what callers of a renderer have in common.

:mod:`ffprep.abi` says what their fields are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.abi import COLOUR, IMAGE, PLANE_TABLES, RENDER, WIDE_PLANE
from ffprep.kernels.jit import inline
from ffprep.kernels.layout import BAD_OPTION, BF16_GREY, OK, RGB_PACKED, U8_HWC
from ffprep.kernels.memory import record_at

colour_at = record_at(COLOUR)
image_at = record_at(IMAGE)
render_at = record_at(RENDER)
plane_tables_at = record_at(PLANE_TABLES)
wide_plane_at = record_at(WIDE_PLANE)


@inline
def describe_packed(image: Any, address: int, height: int, width: int) -> None:
    """Describe densely packed RGB pixels at `address` as an image of one plane."""
    image.width, image.height, image.components, image.color = width, height, 1, RGB_PACKED
    plane = image.planes[0]
    plane.address, plane.stride, plane.x0, plane.y0 = address, 3 * width, 0, 0
    plane.w, plane.h, plane.hs, plane.vs, plane.width, plane.height = width, height, 1, 1, width, height


@inline
def check_request(request: Any) -> int:
    """Return OK where box, reach, size and format of a render request make sense, else BAD_OPTION."""
    if request.out_h < 1 or request.out_w < 1 or request.format < U8_HWC or request.format > BF16_GREY:
        return np.int64(BAD_OPTION)
    if request.hi_y <= request.lo_y or request.hi_x <= request.lo_x:
        return np.int64(BAD_OPTION)
    if not (request.h > 0.0 and request.w > 0.0):
        return np.int64(BAD_OPTION)
    return np.int64(OK)

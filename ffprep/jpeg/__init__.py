"""The Python side of the JPEG kernel, and the preparation of image files for storing."""

from __future__ import annotations

from ffprep.jpeg.header import JpegHeader, read_header
from ffprep.jpeg.index import build_index
from ffprep.jpeg.planes import Plane, coefficients, decode_planes, decode_rgb
from ffprep.jpeg.prepare import Prepared, prepare
from ffprep.jpeg.rewrite import rewrite
from ffprep.jpeg.status import Status

__all__ = [
    "JpegHeader",
    "Plane",
    "Prepared",
    "Status",
    "build_index",
    "coefficients",
    "decode_planes",
    "decode_rgb",
    "prepare",
    "read_header",
    "rewrite",
]

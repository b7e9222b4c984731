"""Vectors inside kernels: their types, operations on them, and which of them this CPU has."""

from typing import Any

from ffprep.kernels.late import LateModule

operations: Any = LateModule("ffprep.kernels.simd.operations")
levels: Any = LateModule("ffprep.kernels.simd.levels")

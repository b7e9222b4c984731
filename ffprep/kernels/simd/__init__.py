"""Vectors inside kernels: their types, operations on them, and which of them this CPU has."""

from ffprep.kernels.late import late_module

operations = late_module("ffprep.kernels.simd.operations")

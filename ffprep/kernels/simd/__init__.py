"""Vectors inside kernels: their types, operations on them, and which of them this CPU has."""

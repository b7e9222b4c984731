"""Numba kernels: random numbers, crops, resampling, colour."""

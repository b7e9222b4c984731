"""Compiled operations on one image each, linked together by address: a pipeline compiles only those that it uses.

Nothing here is imported before a loader is made. A module holds complete functions: they call nothing of the other
modules of this folder, because the disk cache of a compiled function watches its own file and ``ffprep/kernels``.
"""

"""Compiled operations on one image each, linked together by address: a pipeline compiles only those that it uses.

Nothing here is imported before a loader is made. Compiled code is cached on disk by the text of a function's file and
of every file of the package that this imports (``ffprep/kernels/jit.py``).
"""

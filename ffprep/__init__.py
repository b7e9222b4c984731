"""ffprep: data sets to ``.beton`` files once, then fast training batches from them."""

from ffprep._version import __version__

__all__ = ["__version__"]

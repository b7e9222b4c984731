"""ffcv's module path of `ffprep.compat.libffcv`."""

from ffprep.compat.libffcv import memcpy

__all__ = ["memcpy"]

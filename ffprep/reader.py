"""ffcv's module path of `ffprep.compat.reader`."""

from ffprep.compat.reader import Reader

__all__ = ["Reader"]

"""ffcv's module path of `ffprep.beton.ffcv_reader`."""

from ffprep.beton.ffcv_reader import Reader

__all__ = ["Reader"]

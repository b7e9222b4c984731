"""ffcv's module path of `ffprep.compat.writer`."""

from ffprep.compat.writer import DatasetWriter

__all__ = ["DatasetWriter"]

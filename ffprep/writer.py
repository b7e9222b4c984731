"""ffcv's module path of `ffprep.compat.writer`."""

from ffprep.beton.layout import MAX_PAGE_SIZE, MIN_PAGE_SIZE
from ffprep.compat.writer import DatasetWriter

__all__ = ["MAX_PAGE_SIZE", "MIN_PAGE_SIZE", "DatasetWriter"]

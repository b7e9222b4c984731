"""ffcv's module path of `ffprep.loader.epoch.iterator.EpochIterator`."""

from ffprep.loader.epoch.iterator import EpochIterator

__all__ = ["EpochIterator"]

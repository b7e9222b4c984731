"""ffcv's module path of `ffprep.loader.memory_managers`."""

from ffprep.loader.memory_managers import BATCHES_TYPE

__all__ = ["BATCHES_TYPE"]

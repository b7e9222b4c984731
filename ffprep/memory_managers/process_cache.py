"""ffcv's module path of `ffprep.loader.memory_managers`."""

from ffprep.loader.memory_managers import ProcessCacheManager

__all__ = ["ProcessCacheManager"]

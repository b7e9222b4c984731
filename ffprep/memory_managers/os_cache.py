"""ffcv's module path of `ffprep.loader.memory_managers`."""

from ffprep.loader.memory_managers import OSCacheContext, OSCacheManager

__all__ = ["OSCacheContext", "OSCacheManager"]

"""ffcv's module path of `ffprep.loader.memory_managers`."""

from ffprep.loader.memory_managers import MemoryContext, MemoryManager, OSCacheManager, ProcessCacheManager

__all__ = ["MemoryContext", "MemoryManager", "OSCacheManager", "ProcessCacheManager"]

"""ffcv's module path of `ffprep.loader.memory_managers`."""

from ffprep.loader.memory_managers import MemoryContext, MemoryManager

__all__ = ["MemoryContext", "MemoryManager"]

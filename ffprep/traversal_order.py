"""ffcv's module path of `ffprep.compat.traversal_order`."""

from ffprep.compat.traversal_order import Random, Sequential, TraversalOrder

__all__ = ["Random", "Sequential", "TraversalOrder"]

"""ffcv's module path of `ffprep.loader.order.traversal`."""

from ffprep.loader.order.traversal import Sequential, TraversalOrder

__all__ = ["Sequential", "TraversalOrder"]

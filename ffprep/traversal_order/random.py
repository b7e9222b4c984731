"""ffcv's module path of `ffprep.loader.order.traversal`."""

from ffprep.loader.order.traversal import Random, TraversalOrder

__all__ = ["Random", "TraversalOrder"]

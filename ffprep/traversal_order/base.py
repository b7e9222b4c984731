"""ffcv's module path of `ffprep.loader.order.traversal`."""

from ffprep.loader.order.traversal import TraversalOrder

__all__ = ["TraversalOrder"]

"""ffcv's module path of `ffprep.loader.order.traversal`."""

from ffprep.loader.order.traversal import QuasiRandom, TraversalOrder

__all__ = ["QuasiRandom", "TraversalOrder"]

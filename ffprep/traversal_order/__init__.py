"""ffcv's module path of `ffprep.loader.order.traversal`."""

from ffprep.loader.order.traversal import QuasiRandom, Random, Sequential, TraversalOrder

__all__ = ["QuasiRandom", "Random", "Sequential", "TraversalOrder"]

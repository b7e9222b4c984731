"""The loader: order, plan, worker threads, batches, state."""

from ffprep.loader.loader import Loader
from ffprep.loader.order.order import OrderOption
from ffprep.loader.order.weighted import WeightedOrder

__all__ = ["Loader", "OrderOption", "WeightedOrder"]

"""The loader: order, plan, worker threads, batches, state."""

from ffprep.loader.loader import Loader
from ffprep.loader.order import OrderOption

__all__ = ["Loader", "OrderOption"]

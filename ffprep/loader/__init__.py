"""The loader: batches from ``.beton`` files.

Modules and rooms, from the top down; each imports only from those below it:

- `loader`: `Loader`, the class that users make, and `block_loader`, its variant for files of token blocks; `subset`
  helps to filter a loader's samples, `conveniences` has what needs nothing of its insides; `folds` chooses indices.
- `epoch`: an epoch under way. Its iterator hands out batches, its scheduler keeps the workers busy.
- `order`: which sample is shown at which position of an epoch, on which rank.
- `engine`: what runs a plan: the worker pool and its program, the batches' memory, reading ahead, copies to a device.
- `plan`: from pipelines to what the workers do, and the steps that are left for the finished batch.
- `files`: the open files as one sequence of samples; `watch` notices that one changes, `checks` what is compared with
  checksums; `block_reader`, a file of token blocks.
"""

from ffprep.loader.epoch.failures import ErrorBudget
from ffprep.loader.loader import Loader
from ffprep.loader.order.clips import ClipOrder
from ffprep.loader.order.nodes import NodeOrder
from ffprep.loader.order.order import OrderOption
from ffprep.loader.order.repeated import RepeatedOrder
from ffprep.loader.order.weighted import WeightedOrder

__all__ = ["ClipOrder", "ErrorBudget", "Loader", "NodeOrder", "OrderOption", "RepeatedOrder", "WeightedOrder"]

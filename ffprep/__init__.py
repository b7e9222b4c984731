"""ffprep: data sets to ``.beton`` files once, then fast training batches from them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ffprep._version import __version__

if TYPE_CHECKING:
    from ffprep.dataset import Dataset
    from ffprep.loader import ClipOrder, Loader, NodeOrder, OrderOption, RepeatedOrder, WeightedOrder
    from ffprep.writer import DatasetWriter

__all__ = [
    "ClipOrder",
    "Dataset",
    "DatasetWriter",
    "Loader",
    "NodeOrder",
    "OrderOption",
    "RepeatedOrder",
    "WeightedOrder",
    "__version__",
]

_HOMES = {
    "ClipOrder": "ffprep.loader",
    "Dataset": "ffprep.dataset",
    "DatasetWriter": "ffprep.writer",
    "Loader": "ffprep.loader",
    "NodeOrder": "ffprep.loader",
    "OrderOption": "ffprep.loader",
    "RepeatedOrder": "ffprep.loader",
    "WeightedOrder": "ffprep.loader",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""ffprep: data sets to ``.beton`` files once, then fast training batches from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ffprep._version import __version__

if TYPE_CHECKING:
    from ffprep.loader import Loader, OrderOption

__all__ = ["Loader", "OrderOption", "__version__"]


def __getattr__(name: str) -> Any:
    if name in ("Loader", "OrderOption"):
        from ffprep import loader

        return getattr(loader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""The type of a loader's batches, for type checkers."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # for the default; type checkers know it without its being installed

    Batch = TypeVar("Batch", bound="tuple[typing.Any, ...]", default="tuple[typing.Any, ...]", covariant=True)
else:
    Batch = typing.TypeVar("Batch", covariant=True)

"""The memory an operation asks for: ffcv's ``AllocationQuery``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AllocationQuery:
    """A buffer an operation wants to write its result to.

    Attributes
    ----------
    shape : tuple of int
        For one sample, without the batch dimension.
    dtype : numpy dtype, or torch dtype
    device : torch.device, optional
    """

    shape: tuple[int, ...]
    dtype: Any
    device: Any = None


Allocation = AllocationQuery | Sequence[AllocationQuery]

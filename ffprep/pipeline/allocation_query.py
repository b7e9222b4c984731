"""ffcv's ``AllocationQuery``: the memory that an operation asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AllocationQuery:
    """A buffer that the loader allocates for each batch, for an operation to write to.

    Attributes
    ----------
    shape : tuple of int
        Of one sample, without the batch dimension.
    dtype : numpy dtype, or torch dtype
    device : torch.device, optional
    """

    shape: tuple[int, ...]
    dtype: Any
    device: Any = None


Allocation = AllocationQuery | Sequence[AllocationQuery]

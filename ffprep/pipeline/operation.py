"""ffcv's protocol for operations that users write. They are steps of the plan, applied to finished batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ffprep.pipeline.allocation_query import Allocation, AllocationQuery
from ffprep.pipeline.state import State

__all__ = ["AllocationQuery", "Operation", "State"]


class Operation(ABC):
    """An operation on batches, written as for ffcv.

    When the loader knows the form of the data, it calls ``accept_field``, ``accept_globals`` and
    ``declare_state_and_memory``. For each batch it then calls the function that ``generate_code`` returned:
    ``f(batch, memory)``, or ``f(batch, memory, sample_numbers)`` if the function has the attribute ``with_indices``, or
    for a field's decoder ``f(sample_numbers, memory, metadata, storage_state)``. numba compiles the function if the
    declared state has ``jit_mode``. ffprep's own transforms are no subclasses of this; see
    `ffprep.transforms.bases.transform.Transform`.
    """

    field: Any
    metadata: Any
    memory_read: Any

    def __init__(self) -> None:
        self.metadata = None
        self.memory_read = None

    def accept_field(self, field: Any) -> None:
        """Store the field whose pipeline this operation is in."""
        self.field = field

    def accept_globals(self, metadata: Any, memory_read: Any) -> None:
        """Store the field's metadata column and the compiled function that reads payloads."""
        self.metadata = metadata
        self.memory_read = memory_read

    @abstractmethod
    def generate_code(self) -> Callable[..., Any]:
        """Return the function that processes one batch."""

    def declare_shared_memory(self, previous_state: State) -> AllocationQuery | None:
        """Declare memory that all uses of this operation share for a batch."""
        return None

    def generate_code_for_shared_state(self) -> Callable[..., Any] | None:
        """Return the function that fills the shared memory before each batch."""
        return None

    @abstractmethod
    def declare_state_and_memory(self, previous_state: State) -> tuple[State, Allocation | None]:
        """Return the form of the result and the memory that it needs."""

"""ffcv's protocol for operations that users write; they run as stages of their own after the fused part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ffprep.pipeline.allocation_query import Allocation, AllocationQuery
from ffprep.pipeline.state import State

__all__ = ["AllocationQuery", "Operation", "State"]


class Operation(ABC):
    """An operation on batches, written as for ffcv.

    The loader calls ``accept_field``, ``accept_globals`` and ``declare_state_and_memory`` once it knows the data's
    form, then the function that ``generate_code`` returned once for each batch: ``f(batch, memory)``, or
    ``f(batch, memory, sample_numbers)`` when the function has the attribute ``with_indices``; for a field's decoder
    ``f(sample_numbers, memory, metadata, storage_state)``. The function is compiled by numba when the declared state
    has ``jit_mode``. ffprep's own operations are no subclasses of this: they are declarations that one kernel fuses.
    """

    field: Any
    metadata: Any
    memory_read: Any

    def __init__(self) -> None:
        self.metadata = None
        self.memory_read = None

    def accept_field(self, field: Any) -> None:
        """Take note of the field whose pipeline this operation is in."""
        self.field = field

    def accept_globals(self, metadata: Any, memory_read: Any) -> None:
        """Take note of the field's metadata column and of the compiled function that reads payloads."""
        self.metadata = metadata
        self.memory_read = memory_read

    @abstractmethod
    def generate_code(self) -> Callable[..., Any]:
        """Return the function that processes one batch."""

    def declare_shared_memory(self, previous_state: State) -> AllocationQuery | None:
        """Declare memory that is kept for a whole batch beside the result."""
        return None

    def generate_code_for_shared_state(self) -> Callable[..., Any] | None:
        """Return the function that fills the shared memory before each batch."""
        return None

    @abstractmethod
    def declare_state_and_memory(self, previous_state: State) -> tuple[State, Allocation | None]:
        """Say what form the result has and what memory it needs."""

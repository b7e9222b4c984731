"""Steps that are applied to finished batches: transforms that no kernel fuses, torch modules, operations of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.errors import OptionError
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.form import BatchInfo
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.state import State
from ffprep.transforms.base import Transform, is_tensor


@dataclass(frozen=True)
class Step:
    """One function applied to each batch of one output.

    Attributes
    ----------
    apply : callable of (batch, BatchInfo)
    light : bool
        Cheap enough for the training thread.
    stream : int
        Random stream.
    label : str
        What an error message calls it.
    """

    apply: Callable[[Any, BatchInfo], Any]
    light: bool
    stream: int
    label: str

    def __call__(self, x: Any, batch: BatchInfo) -> Any:
        try:
            return self.apply(x, replace(batch, stream=self.stream))
        except Exception as error:
            note = f"in {self.label}, for a batch of samples {_some(batch.ids)} in epoch {batch.epoch}"
            if hasattr(error, "add_note"):
                error.add_note(note)
            raise


def _some(ids: npt.NDArray[np.int64]) -> str:
    shown = ", ".join(str(i) for i in ids[:3])
    return shown if len(ids) <= 3 else f"{shown}, ..."


def make_step(item: Any, stream: int, output: str, field: str, reader: Reader) -> Step:
    """Return the step that one entry of a pipeline stands for.

    Raises
    ------
    OptionError
        The entry is nothing that can be applied to a batch.
    """
    label = f"{item!r} of pipeline {output!r}"
    if isinstance(item, Transform):
        return Step(item.apply, item.light, stream, label)
    if isinstance(item, Operation):
        return Step(OperationStage(item, field, reader), False, stream, label)
    raise OptionError(f"pipeline {output!r} holds {item!r}, which is no transform, operation, torch module or function")


def state_of(x: Any) -> State:
    """Describe a batch as ffcv's operations expect it."""
    import torch

    if is_tensor(x):
        return State(False, x.device, tuple(x.shape[1:]), x.dtype)
    if not isinstance(x, np.ndarray):
        raise OptionError(f"operations work on arrays and tensors, not on {type(x).__name__}")
    return State(True, torch.device("cpu"), x.shape[1:], x.dtype)


def allocate(query: Any, rows: int) -> Any:
    """Return fresh memory for what an operation declared: None, one array or tensor, or a tuple of them."""
    if query is None:
        return None
    if isinstance(query, AllocationQuery) or hasattr(query, "dtype"):
        shape = (rows, *(int(side) for side in query.shape))
        if type(query.dtype).__module__ == "torch":
            import torch

            return torch.empty(shape, dtype=query.dtype, device=query.device)
        return np.empty(shape, query.dtype)
    if isinstance(query, Sequence):
        return tuple(allocate(part, rows) for part in query)
    raise OptionError(f"{query!r} is no AllocationQuery")


class OperationStage:
    """Runs an operation written to ffcv's protocol. Declared and compiled at its first batch, in that batch's form."""

    def __init__(self, operation: Operation, field: str, reader: Reader) -> None:
        self._operation = operation
        self._field = field
        self._reader = reader
        self._form: Any = None
        self._memory: Any = None
        self._shared: Any = None
        self._code: Callable[..., Any] | None = None
        self._shared_code: Callable[..., Any] | None = None

    def _prepare(self, state: State, first_decoder: bool = False) -> None:
        operation, reader = self._operation, self._reader
        form = (state.jit_mode, str(state.device), state.shape, str(state.dtype))
        if self._form == form:
            return
        operation.accept_field(reader.fields[self._field])
        operation.accept_globals(reader.column(self._field), _memory_reader())
        next_state, self._memory = operation.declare_state_and_memory(state)
        self._shared = operation.declare_shared_memory(state)
        code, shared_code = operation.generate_code(), operation.generate_code_for_shared_state()
        compiled = next_state.jit_mode or first_decoder
        self._code = _compiled(code) if compiled else code
        if shared_code is not None:
            self._shared_code = _compiled(shared_code) if compiled else shared_code
        self._form = form

    def __call__(self, x: Any, batch: BatchInfo) -> Any:
        self._prepare(state_of(x))
        assert self._code is not None
        arguments = [x, allocate(self._memory, len(x))]
        if getattr(self._code, "with_indices", False):
            arguments.append(batch.ids)
        if self._shared_code is not None:
            shared = allocate(self._shared, 1)
            self._shared_code(shared)
            arguments.append(shared)
        return self._code(*arguments)

    def decode(self, batch: BatchInfo) -> Any:
        """Run the operation as the decoder of its field."""
        import torch

        self._prepare(State(True, torch.device("cpu"), (), np.dtype(np.uint8)), first_decoder=True)
        assert self._code is not None
        memory = allocate(self._memory, len(batch.ids))
        return self._code(batch.ids, memory, self._reader.column(self._field), self._storage())

    def _storage(self) -> Any:
        pointer = self._reader.fields[self._field].pointer
        if pointer is None:
            none = np.empty(0, np.uint64)
            return self._reader.data, none, none
        offsets, sizes = self._reader.extents(self._field)
        order = np.argsort(offsets, kind="stable")
        return self._reader.data, offsets[order], sizes[order]


def _compiled(code: Callable[..., Any]) -> Callable[..., Any]:
    compiled = Compiler.compile(code)
    if getattr(code, "with_indices", False):
        compiled.with_indices = True  # type: ignore[attr-defined]
    return compiled


_reader_function: Callable[..., Any] | None = None


def _memory_reader() -> Callable[..., Any]:
    """Return ffcv's ``memory_read(pointer, storage_state)``, compiled: the bytes allocated at a pointer."""
    global _reader_function
    if _reader_function is None:

        def memory_read(pointer: Any, storage: Any) -> Any:
            data, offsets, sizes = storage
            place = np.searchsorted(offsets, pointer)
            if place >= len(offsets) or offsets[place] != pointer:
                return data[:0]
            return data[pointer : pointer + sizes[place]]

        _reader_function = Compiler.compile(memory_read)
    return _reader_function

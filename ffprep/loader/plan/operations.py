"""Runs operations that users wrote to ffcv's protocol (`ffprep.pipeline.Operation`) on finished batches."""

from __future__ import annotations

import random
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.common.seeds import unsigned
from ffprep.errors import OptionError
from ffprep.fields.decoders import ImageDecoder
from ffprep.fields.ffcv_decoding import overridden
from ffprep.kernels.both import portable_in_both
from ffprep.loader.files import Files
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.form import BatchInfo
from ffprep.pipeline.state import State
from ffprep.transforms.bases.transform import is_tensor


def is_operation(item: Any) -> bool:
    """Return whether something is an operation written to ffcv's protocol: a user's or one of stock ffcv's.

    Our image decoders have the protocol too, but only subclasses that override a part of it are run by it.
    """
    if isinstance(item, ImageDecoder) and not item.by_protocol and not overridden(item):
        return False
    return not isinstance(item, type) and all(
        callable(getattr(item, name, None)) for name in ("generate_code", "declare_state_and_memory")
    )


def state_of(x: Any) -> State:
    """Describe a batch as ffcv's operations expect it; shapes are those of one sample."""
    import torch

    if is_tensor(x):
        return State(False, x.device, tuple(x.shape[1:]), x.dtype)
    if not isinstance(x, np.ndarray):
        raise OptionError(f"operations work on arrays and tensors, not on {type(x).__name__}")
    return State(True, torch.device("cpu"), x.shape[1:], x.dtype)


def allocate(query: Any, rows: int) -> Any:
    """Allocate what an operation declared, for a batch of `rows`: None, an array or tensor, or a tuple of them."""
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
    raise OptionError(f"{query!r} is not an AllocationQuery")


@dataclass(frozen=True)
class _Prepared:
    """What an operation declared for one form of its input, and its code.

    Attributes
    ----------
    form : tuple
        Of the input: JIT mode, device, shape of a sample, dtype.
    memory, shared : AllocationQuery, sequence of them, or None
        Memory for the result, and memory that the operation's other pipelines see as well.
    code, shared_code : callable
        Compiled if the operation asks for that.
    """

    form: tuple[Any, ...]
    memory: Any
    shared: Any
    code: Callable[..., Any]
    shared_code: Callable[..., Any] | None


class OperationStage:
    """Runs an operation written to ffcv's protocol.

    The operation declares its memory and is compiled when its first batch comes, for the form of that batch. numba's
    random generators are seeded for each batch from (seed, epoch, the batch's samples, the operation's random stream),
    so compiled operations that draw with ``np.random`` or ``random`` repeat their draws in every run.

    Parameters
    ----------
    operation : object
    field : str
        Field whose pipeline the operation is in.
    files : Files
    """

    def __init__(self, operation: Any, field: str, files: Files) -> None:
        self._operation = operation
        self._field = field
        self._files = files
        self._prepared: _Prepared | None = None
        self._stale = False
        self._lock = threading.Lock()

    def renew(self) -> None:
        """Let the operation declare its memory anew at the next batch, but keep its code; called for each epoch."""
        self._stale = True

    def _prepare(self, state: State, is_decoder: bool = False) -> _Prepared:
        """Return the declarations and the code for this form of input, made now unless they are known."""
        form = (state.jit_mode, str(state.device), tuple(state.shape), str(state.dtype))
        with self._lock:
            known = self._prepared
            if known is not None and known.form == form and not self._stale:
                return known
            self._stale = False
            operation = self._operation
            introduce(operation, self._files.fields[self._field], self._files.column(self._field))
            next_state, memory = operation.declare_state_and_memory(state)
            declare = getattr(operation, "declare_shared_memory", None)
            shared = None if declare is None else declare(state)
            if known is not None and known.form == form:
                self._prepared = replace(known, memory=memory, shared=shared)
                return self._prepared
            generate = getattr(operation, "generate_code_for_shared_state", None)
            code, shared_code = operation.generate_code(), None if generate is None else generate()
            if (next_state.jit_mode or is_decoder) and not getattr(code, "is_plain", False):
                code = _compiled(code)
                shared_code = None if shared_code is None else _compiled(shared_code)
            self._prepared = _Prepared(form, memory, shared, code, shared_code)
            return self._prepared

    def __call__(self, x: Any, batch: BatchInfo) -> Any:
        prepared = self._prepare(state_of(x))
        arguments = [x, allocate(prepared.memory, len(x))]
        if getattr(prepared.code, "with_indices", False):
            arguments.append(batch.ids)
        if prepared.shared_code is not None:
            arguments.append(self._shared_memory(prepared, len(x), batch))
        _seed_compiled(batch)
        return prepared.code(*arguments)

    def _shared_memory(self, prepared: _Prepared, rows: int, batch: BatchInfo) -> Any:
        """Return the operation's shared memory for this batch, which is filled once for all pipelines it is in."""
        assert prepared.shared_code is not None
        if _shared.batch is not batch.ids:
            _shared.batch, _shared.memory = batch.ids, {}
        key = id(self._operation)
        if key not in _shared.memory:
            _shared.memory[key] = allocate(prepared.shared, rows)
            _seed_compiled(batch)
            prepared.shared_code(_shared.memory[key])
        return _shared.memory[key]

    def decode(self, batch: BatchInfo) -> Any:
        """Run the operation as the decoder of its field."""
        import torch

        prepared = self._prepare(State(True, torch.device("cpu"), (), np.dtype(np.uint8)), is_decoder=True)
        memory = allocate(prepared.memory, len(batch.ids))
        arguments = [batch.ids, memory, self._files.column(self._field), self._storage()]
        if getattr(prepared.code, "with_indices", False):
            arguments.insert(2, batch.ids)
        if not getattr(prepared.code, "is_plain", False):
            _seed_compiled(batch)
        return prepared.code(*arguments)

    def _storage(self) -> Any:
        """Return ffcv's storage state: the file's bytes, and payload offsets (ascending) with their sizes."""
        [reader] = self._files.readers
        if reader.fields[self._field].pointer is None:
            none = np.empty(0, np.uint64)
            return reader.data, none, none
        offsets, sizes = reader.extents(self._field)
        order = np.argsort(offsets, kind="stable")
        return reader.data, offsets[order], sizes[order]


class _Shared(threading.local):
    """Shared memory of the batch that this thread is working on, by the operation's id."""

    def __init__(self) -> None:
        self.batch: npt.NDArray[np.int64] | None = None
        self.memory: dict[int, Any] = {}


_shared = _Shared()


def introduce(operation: Any, field: Any, column: npt.NDArray[Any]) -> None:
    """Tell an operation its field, the field's metadata column and how to read payloads, as ffcv does."""
    if hasattr(operation, "accept_field"):
        operation.accept_field(field)
        operation.accept_globals(column, _memory_reader)
    else:
        operation.field, operation.metadata, operation.memory_read = field, column, _memory_reader


def _seed(number: int) -> None:
    np.random.seed(number)  # noqa: NPY002
    random.seed(number)


def _seed_compiled(batch: BatchInfo) -> None:
    """Seed the random generators that compiled code uses in this thread."""
    seed = _seed if not Compiler.is_enabled else _compiled_seed()
    key = np.array([unsigned(batch.seed), batch.epoch, batch.stream], np.uint64)
    seed(zlib.crc32(batch.keys.tobytes(), zlib.crc32(key.tobytes())))


@cache
def _compiled_seed() -> Callable[..., Any]:
    return Compiler.compile(_seed)


def _compiled(code: Callable[..., Any]) -> Callable[..., Any]:
    compiled = Compiler.compile(code)
    if getattr(code, "with_indices", False):
        compiled.with_indices = True  # type: ignore[attr-defined]
    return compiled


def _read_memory(pointer: Any, storage: Any) -> Any:
    data, offsets, sizes = storage
    place = np.searchsorted(offsets, pointer)
    if place >= len(offsets) or offsets[place] != pointer:
        return data[:0]
    return data[pointer : pointer + sizes[place]]


_memory_reader = portable_in_both(_read_memory)
"""ffcv's ``memory_read(pointer, storage_state)``: it returns the payload that begins at a byte."""

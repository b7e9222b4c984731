"""ffcv's ``Pipeline``: a list of operations, divided into what is compiled and what is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ffprep.pipeline.allocation_query import Allocation
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.state import State

__all__ = ["Pipeline"]


class Pipeline:
    """Operations one after the other. Loaders make no use of it, nor do ffcv's; it shows what operations declare.

    Parameters
    ----------
    operations : sequence of Operation

    Attributes
    ----------
    operation_blocks : list of (bool, list of int)
        Runs of operations, by number, and whether they are compiled.
    compiled_ops : mapping of int to callable
        Code of each operation, not compiled yet.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        import torch

        self.operations = operations
        self.original_state = State(True, torch.device("cpu"), (), np.dtype("u1"))
        self.operation_blocks, _ = self.parse_pipeline()
        self.compiled_ops = self.compile_ops()

    def parse_pipeline(
        self, batch_size: int = 16
    ) -> tuple[list[tuple[bool, list[int]]], Mapping[int, Allocation | None]]:
        """Return the blocks and the memory that each operation declares; `batch_size` changes nothing."""
        state, blocks = self.original_state, list[tuple[bool, list[int]]]()
        memory: dict[int, Allocation | None] = {}
        for number, operation in enumerate(self.operations):
            state, memory[number] = operation.declare_state_and_memory(state)
            if not blocks or blocks[-1][0] != state.jit_mode:
                blocks.append((state.jit_mode, []))
            blocks[-1][1].append(number)
        return blocks, memory

    def compile_ops(self) -> Mapping[int, Callable[..., Any]]:
        """Return what each operation's ``generate_code`` returns, by number."""
        return {number: operation.generate_code() for number, operation in enumerate(self.operations)}

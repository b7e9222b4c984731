"""A device stream that is as late as it may be: memory used too early shows as wrong values."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ffprep.loader.engine import device as transfer
from ffprep.transforms.bases.transform import each


class Late:
    """A device stream that is as late as it may be."""

    made: list[Late]

    def __init__(self, device: str) -> None:
        self.device = device
        self.trainer = threading.current_thread()
        self.lock = threading.RLock()
        self.queued: list[Callable[[], None]] = []
        self.done = 0
        self.asked = 0
        self.memories: list[npt.NDArray[np.uint8]] = []
        self.strays = 0
        self.received: set[int] = set()
        self.submitted: list[Any] = []
        self.marked = threading.Condition()
        self.marks = 0
        Late.made.append(self)

    def host(self, size: int) -> npt.NDArray[np.uint8]:
        self.memories.append(np.full(size, 0x5A, np.uint8))
        return self.memories[-1]

    def enter(self) -> None:
        assert threading.current_thread() is not self.trainer

    def look(self, x: Any) -> torch.Tensor:
        """A tensor over the same bytes that keeps only what `host` returned alive, as an address would."""
        tensor = torch.as_tensor(x)
        for memory in self.memories:
            offset = tensor.data_ptr() - memory.ctypes.data
            if 0 <= offset < memory.size:
                assert tensor.is_contiguous()
                return torch.from_numpy(memory)[offset : offset + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        self.strays += 1
        return tensor

    def submit(self, x: Any, then: Callable[[Any], Any]) -> Any:
        assert threading.current_thread() is not self.trainer
        source = each(x, self.look)
        copy = each(source, lambda y: torch.full_like(y, 77))
        result = then(copy)
        self.submitted += transfer.tensors_of(copy)

        def run() -> None:
            for mine, given in zip(transfer.tensors_of(copy), transfer.tensors_of(source), strict=True):
                mine.copy_(given)
            for mine, given in zip(transfer.tensors_of(result), transfer.tensors_of(then(copy)), strict=True):
                if mine.data_ptr() != given.data_ptr():
                    mine.copy_(given)

        with self.lock:
            self.queued.append(run)
        return result

    def mark(self) -> int:
        with self.marked:
            self.marks += 1
            self.marked.notify_all()
        return len(self.queued)

    def reach(self, marks: int) -> None:
        with self.marked:
            assert self.marked.wait_for(lambda: self.marks >= marks, 60)

    def run_to(self, mark: int) -> None:
        with self.lock:
            while self.done < mark:
                self.queued[self.done]()
                self.queued[self.done] = _nothing
                self.done += 1

    def passed(self, mark: int) -> bool:
        self.asked += 1
        if self.asked % 5 == 4:
            self.run_to(mark)
        return self.done >= mark

    def wait(self, mark: int) -> None:
        assert threading.current_thread() is not self.trainer
        self.run_to(mark)

    def receive(self, mark: int, values: Any) -> None:
        assert threading.current_thread() is self.trainer
        self.run_to(mark)
        self.received |= {tensor.data_ptr() for tensor in transfer.tensors_of(values)}


def _nothing() -> None:
    """Take the place of work that is done, and of the memory it held."""

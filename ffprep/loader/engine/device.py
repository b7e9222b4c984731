"""Batches on their way to an accelerator: copies beside the training, and host memory that waits for them.

The stage thread submits each batch's copies, and what follows them on the device, to a stream of the loader's own, and
marks the place. The training thread's stream is told to wait for that mark, on the device; the thread itself waits for
nothing. Host memory goes back to its pool when the mark has passed, and not before. What the loader needs of an
accelerator is :class:`Side`, small enough to be played by a test.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.transforms.base import each
from ffprep.transforms.ops import as_tensor

IN_FLIGHT = 2
"""Batches whose copies may be under way before the stage thread waits for the oldest."""


class Side(Protocol):
    """A stream of one device beside the training, as the loader uses it."""

    def host(self, size: int) -> npt.NDArray[np.uint8]:
        """Return host memory that the device copies from directly, `size` bytes."""

    def enter(self) -> None:
        """Make the calling thread one that submits."""

    def submit(self, x: Any, then: Callable[[Any], Any]) -> Any:
        """Queue the copy of an array, a tensor or a named tuple of these, and `then`, a pure function of the copy.

        Returns what `then` returns: on the device, to be used in this order of work or after `receive`.
        """

    def mark(self) -> Any:
        """Return a mark behind everything that was submitted."""

    def passed(self, mark: Any) -> bool:
        """Say whether the device has got past a mark."""

    def wait(self, mark: Any) -> None:
        """Let the calling thread wait for a mark. Never called in the training thread."""

    def receive(self, mark: Any, values: Any) -> None:
        """Let the calling thread's stream wait for a mark, on the device, before it uses `values`."""


class CudaSide:
    """A side stream of a CUDA device."""

    def __init__(self, device: str) -> None:
        import torch

        if not torch.cuda.is_available():
            raise OptionError(f"ToDevice({device!r}): torch sees no CUDA device here")
        self._cuda: Any = torch.cuda
        index = torch.device(device).index
        # "cuda" is the device that is current here, in the training thread; in others it would be device 0.
        self.device = torch.device("cuda", torch.cuda.current_device() if index is None else index)
        self._stream = self._cuda.Stream(self.device)

    def host(self, size: int) -> npt.NDArray[np.uint8]:
        """Return page-locked memory."""
        import torch

        memory: npt.NDArray[np.uint8] = torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
        return memory

    def enter(self) -> None:
        """Choose the device for the calling thread."""
        self._cuda.set_device(self.device)

    def submit(self, x: Any, then: Callable[[Any], Any]) -> Any:
        """Copy and go on, on the side stream."""
        with self._cuda.stream(self._stream):
            return then(each(x, lambda y: as_tensor(y).to(self.device, non_blocking=True)))

    def mark(self) -> Any:
        """Record an event whose waiters sleep."""
        event = self._cuda.Event(blocking=True)
        event.record(self._stream)
        return event

    def passed(self, mark: Any) -> bool:
        """Ask the event."""
        return bool(mark.query())

    def wait(self, mark: Any) -> None:
        """Sleep until the event."""
        mark.synchronize()

    def receive(self, mark: Any, values: Any) -> None:
        """Order the current stream behind the event, and the allocator behind the current stream."""
        current = self._cuda.current_stream(self.device)
        current.wait_event(mark)
        for tensor in tensors_of(values):
            if tensor.device == self.device:
                tensor.record_stream(current)


class PlainSide:
    """Any other device: copies that are done when they return."""

    def __init__(self, device: str) -> None:
        self.device = device

    def host(self, size: int) -> npt.NDArray[np.uint8]:
        """Return ordinary memory."""
        return np.empty(size, np.uint8)

    def enter(self) -> None:
        """Do nothing."""

    def submit(self, x: Any, then: Callable[[Any], Any]) -> Any:
        """Copy, and go on."""
        return then(each(x, lambda y: as_tensor(y).to(self.device)))

    def mark(self) -> Any:
        """Return nothing: all is done."""
        return None

    def passed(self, mark: Any) -> bool:
        """Say yes."""
        return True

    def wait(self, mark: Any) -> None:
        """Do nothing."""

    def receive(self, mark: Any, values: Any) -> None:
        """Do nothing."""


SIDES: dict[str, Callable[[str], Side]] = {"cuda": CudaSide}
"""What serves a type of device, made in the training thread from the device's name; by default `PlainSide`."""


def open_side(device: str) -> Side:
    """Return what serves a device."""
    return SIDES.get(device.partition(":")[0], PlainSide)(device)


def tensors_of(values: Any) -> Iterator[Any]:
    """Go through the tensors in nested tuples, lists and dictionaries."""
    if hasattr(values, "untyped_storage"):
        yield values
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from tensors_of(value)
    elif isinstance(values, dict):
        for value in values.values():
            yield from tensors_of(value)


class Flights:
    """Keeps the host's side of batches until their copies are made. Used by the stage thread alone."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._flights: deque[tuple[Any, Any]] = deque()

    def add(self, mark: Any, kept: Any) -> None:
        """Keep what is copied before `mark`; let go of what has arrived; wait when too much is under way."""
        self._flights.append((mark, kept))
        while self._flights and (len(self._flights) > IN_FLIGHT or self._side.passed(self._flights[0][0])):
            self._side.wait(self._flights[0][0])
            self._flights.popleft()

    def land(self) -> None:
        """Wait for all of them."""
        while self._flights:
            self._side.wait(self._flights[0][0])
            self._flights.popleft()

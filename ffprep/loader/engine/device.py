"""Batches on their way to an accelerator: copies beside the training, and the host memory that they are made from.

The stage thread submits each batch's copies, and the steps that follow them on the device, to a stream of the loader's
own, and then sets a mark. The training thread does not wait: it tells its own stream to wait, on the device, until the
mark has been passed. The batch's host memory goes back to its pool when the mark has been passed, and not before.

`DeviceStream` is all that the loader needs of an accelerator, and small enough for a test to simulate one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.transforms.bases.transform import each
from ffprep.transforms.ops import as_tensor

IN_FLIGHT = 2
"""Batches whose copies may be pending before the stage thread waits for the oldest."""


class DeviceStream(Protocol):
    """A stream of work on one device, beside the one that trains."""

    def host(self, size: int) -> npt.NDArray[np.uint8]:
        """Return `size` bytes of host memory that the device copies from directly; the caller owns them."""

    def enter(self) -> None:
        """Prepare the calling thread for submitting work."""

    def submit(self, x: Any, then: Callable[[Any], Any]) -> Any:
        """Queue the copy of `x` to the device, followed by `then`, and return what `then` returns.

        The result may be used by work that is submitted later, or after `receive`. The caller keeps the memory of `x`
        until a mark that was set after this call has been passed.

        Parameters
        ----------
        x : ndarray, tensor, or named tuple of these
        then : callable
            A pure function of the copy.
        """

    def mark(self) -> Any:
        """Set a mark after everything that was submitted so far."""

    def passed(self, mark: Any) -> bool:
        """Return whether the device has passed a mark."""

    def wait(self, mark: Any) -> None:
        """Block the calling thread until the device has passed a mark. Never called in the training thread."""

    def receive(self, mark: Any, values: Any) -> None:
        """Make the calling thread's stream wait for a mark, on the device, before it uses `values`."""


class CudaStream:
    """A CUDA stream beside the one that trains."""

    def __init__(self, device: str) -> None:
        import torch

        if not torch.cuda.is_available():
            raise OptionError(
                f"ToDevice({device!r}): torch sees no CUDA device here; leave the device out, or look at nvidia-smi "
                "and torch.version.cuda"
            )
        self._cuda: Any = torch.cuda
        index, count = torch.device(device).index, torch.cuda.device_count()
        if index is not None and index >= count:
            raise OptionError(f"ToDevice({device!r}): torch sees {count} CUDA devices here, from cuda:0")
        # "cuda" means the current device of the training thread; in other threads it would mean device 0.
        self.device = torch.device("cuda", torch.cuda.current_device() if index is None else index)
        self._stream = self._cuda.Stream(self.device)

    def host(self, size: int) -> npt.NDArray[np.uint8]:
        """Return page-locked memory."""
        import torch

        memory: npt.NDArray[np.uint8] = torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
        return memory

    def enter(self) -> None:
        """Make the device the calling thread's current one."""
        self._cuda.set_device(self.device)

    def submit(self, x: Any, then: Callable[[Any], Any]) -> Any:
        """Queue the copy and `then` on this stream."""
        with self._cuda.stream(self._stream):
            return then(each(x, lambda y: as_tensor(y).to(self.device, non_blocking=True)))

    def mark(self) -> Any:
        """Record an event; threads that wait for it sleep instead of spinning."""
        event = self._cuda.Event(blocking=True)
        event.record(self._stream)
        return event

    def passed(self, mark: Any) -> bool:
        """Query the event."""
        return bool(mark.query())

    def wait(self, mark: Any) -> None:
        """Sleep until the event."""
        mark.synchronize()

    def receive(self, mark: Any, values: Any) -> None:
        """Let the current stream wait for the event, and tell the allocator that this stream uses the tensors."""
        current = self._cuda.current_stream(self.device)
        current.wait_event(mark)
        for tensor in tensors_of(values):
            if tensor.device == self.device:
                tensor.record_stream(current)


class BlockingStream:
    """Any other device: every call returns when its work is done."""

    def __init__(self, device: str) -> None:
        self.device = device

    def host(self, size: int) -> npt.NDArray[np.uint8]:
        """Return ordinary memory."""
        return np.empty(size, np.uint8)

    def enter(self) -> None:
        """Do nothing."""

    def submit(self, x: Any, then: Callable[[Any], Any]) -> Any:
        """Copy `x` and call `then`."""
        return then(each(x, lambda y: as_tensor(y).to(self.device)))

    def mark(self) -> Any:
        """Return None, as there is nothing to wait for."""
        return None

    def passed(self, mark: Any) -> bool:
        """Return True."""
        return True

    def wait(self, mark: Any) -> None:
        """Do nothing."""

    def receive(self, mark: Any, values: Any) -> None:
        """Do nothing."""


STREAMS: dict[str, Callable[[str], DeviceStream]] = {"cuda": CudaStream}
"""The kind of stream for each type of device, made from the device's name; `BlockingStream` for all others."""


def check_name(device: str) -> None:
    """Check that a device's name is one; whether there is such a device shows when an epoch begins.

    Raises
    ------
    OptionError
        Torch knows no such device.
    """
    if device.partition(":")[0] not in STREAMS:
        import torch

        try:
            torch.device(device)
        except RuntimeError:
            raise OptionError(f"device is {device!r}; give 'cpu', 'cuda', 'cuda:1' or a torch.device") from None


def open_stream(device: str) -> DeviceStream:
    """Return a new stream for a device, named as in torch. Call it in the training thread."""
    return STREAMS.get(device.partition(":")[0], BlockingStream)(device)


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


class PendingCopies:
    """Keeps batches' host memory alive until it has been copied. Used by the stage thread alone."""

    def __init__(self, stream: DeviceStream) -> None:
        self._stream = stream
        self._copies: deque[tuple[Any, Any]] = deque()

    def add(self, mark: Any, memory: Any) -> None:
        """Hold `memory` until `mark` has been passed.

        Also releases what has been copied by now, and waits for the oldest copies when more than `IN_FLIGHT` batches
        are pending.
        """
        self._copies.append((mark, memory))
        while self._copies and (len(self._copies) > IN_FLIGHT or self._stream.passed(self._copies[0][0])):
            self._release_oldest()

    def wait_for_all(self) -> None:
        """Wait until everything has been copied."""
        while self._copies:
            self._release_oldest()

    def _release_oldest(self) -> None:
        self._stream.wait(self._copies[0][0])
        self._copies.popleft()

"""The memory that a loader's batches are made in: ordinary, or page-locked for what goes to a device."""

from __future__ import annotations

from collections.abc import Sequence

from ffprep.errors import OptionError
from ffprep.loader.engine.buffers import BufferPool
from ffprep.loader.engine.device import DeviceStream, check_name, open_stream
from ffprep.loader.plan.outputs import Output

SPARE_PINNED = 8
"""Page-locked buffers kept besides those of `batches_ahead`.

One is being filled, one is being submitted, the copies of three are pending, and up to three of the previous epoch may
still be waiting for their copies.
"""


class BatchMemory:
    """Buffer pools of a loader, kept from epoch to epoch.

    Parameters
    ----------
    ahead : int
        Finished batches that are kept in store.
    label : str
        Name of the loader's files in messages.
    """

    def __init__(self, ahead: int, label: str) -> None:
        self._ahead = ahead
        self._label = label
        self._ordinary = BufferPool(ahead + 4)
        self._pinned: tuple[str, DeviceStream, BufferPool] | None = None

    def pools_for(self, outputs: Sequence[Output]) -> tuple[DeviceStream | None, list[BufferPool]]:
        """Return the stream to the device that outputs go to, and a buffer pool for each of their operations.

        The stream is None if all outputs stay on the host. Operations come in the order of the outputs.

        Raises
        ------
        OptionError
            The outputs go to more than one device.
        """
        targets = {step.device for output in outputs for step in output.steps if step.device is not None}
        natives = [(op, output.transfer is not None) for output in outputs for op in output.natives]
        self._ordinary.serve(sum(len(op.rows) for op, moves in natives if not moves))
        if not targets:
            return None, [self._ordinary for _ in natives]
        if len(targets) > 1:
            raise OptionError(f"{self._label}: the pipelines go to {' and '.join(sorted(targets))}; choose one device")
        [target] = targets
        if self._pinned is None or self._pinned[0] != target:
            stream = open_stream(target)
            self._pinned = (target, stream, BufferPool(self._ahead + SPARE_PINNED, stream.host, 1))
        _, stream, pinned = self._pinned
        pinned.serve(sum(len(op.rows) for op, moves in natives if moves))
        return stream, [pinned if moves else self._ordinary for _, moves in natives]

    @staticmethod
    def check(outputs: Sequence[Output]) -> None:
        """Check the names of the devices that outputs go to; raises `OptionError`."""
        for device in {step.device for output in outputs for step in output.steps if step.device is not None}:
            check_name(device)

    def close(self) -> None:
        """Free the memory that no batch uses."""
        self._ordinary.clear()
        self._pinned = None

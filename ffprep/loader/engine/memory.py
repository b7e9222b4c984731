"""The memory that a loader's batches are made in: ordinary, or page-locked where they go to a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ffprep.errors import OptionError
from ffprep.loader.engine.buffers import BufferPool
from ffprep.loader.plan.outputs import Output

if TYPE_CHECKING:
    from ffprep.loader.engine.device import Side

SPARE_PINNED = 8
"""Page-locked buffers beside those of `batches_ahead`: one being filled, one being submitted, three in flight, and
three of the epoch before that may not have landed yet."""


class Memory:
    """Buffers of a loader, kept from epoch to epoch.

    Parameters
    ----------
    ahead : int
        Finished batches in store.
    label : str
        What messages call the loader's files.
    """

    def __init__(self, ahead: int, label: str) -> None:
        self._ahead = ahead
        self._label = label
        self._buffers = BufferPool(ahead + 4)
        self._lane: tuple[str, Side, BufferPool] | None = None

    def of(self, outputs: Sequence[Output]) -> tuple[Side | None, list[BufferPool]]:
        """Return what serves the device that outputs go to, if any do, and for each operation its memory.

        Raises
        ------
        OptionError
            They go to several devices.
        """
        targets = {step.device for output in outputs for step in output.steps if step.device is not None}
        natives = [(op, output.transfer is not None) for output in outputs for op in output.natives]
        self._buffers.serve(sum(len(op.rows) for op, moves in natives if not moves))
        if not targets:
            return None, [self._buffers for _ in natives]
        if len(targets) > 1:
            raise OptionError(f"{self._label}: the pipelines go to {' and '.join(sorted(targets))}; choose one device")
        [target] = targets
        if self._lane is None or self._lane[0] != target:
            from ffprep.loader.engine.device import open_side

            side = open_side(target)
            self._lane = (target, side, BufferPool(self._ahead + SPARE_PINNED, side.host, 1))
        _, side, pinned = self._lane
        pinned.serve(sum(len(op.rows) for op, moves in natives if moves))
        return side, [pinned if moves else self._buffers for _, moves in natives]

    def close(self) -> None:
        """Give free memory back to the system."""
        self._buffers.clear()
        self._lane = None

"""Which epoch a loader is in, how far it has got, and which epoch it begins next."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, SupportsIndex

from ffprep.errors import OptionError


@dataclass
class EpochProgress:
    """How much of an epoch has been handed out. The epoch's iterator updates it; the loader reads it.

    Attributes
    ----------
    epoch : int
    first : int
        Position at which the epoch was begun.
    batches : int
        Batches that this rank has taken.
    exhausted : bool
        The caller has been told that the epoch is over.
    asked : bool
        A batch has been asked for. An iterator that is dropped before that does not count as an epoch begun: trainers
        make one just to look at it.
    latest : bool
        This is the epoch that was begun last, rather than an earlier one or a single batch.
    """

    epoch: int
    first: int
    batches: int = 0
    exhausted: bool = False
    asked: bool = False
    latest: bool = False


class EpochState:
    """The epoch that is running, if there is one, and the epoch to begin next.

    Attributes
    ----------
    epoch, first : int
        Epoch that the next iteration begins, and the position in it.
    over : bool
        A saved state was loaded that lies at the end of `epoch`. The next iteration then begins the epoch after it,
        unless `set_epoch` asks for this one by its number.
    progress : EpochProgress or None
        Progress of the epoch that was begun last.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.first = 0
        self.over = False
        self.progress: EpochProgress | None = None
        self._latest: Callable[[], Any] = lambda: None

    def settle(self) -> None:
        """Decide which epoch comes next, if that was left open; called when an iteration begins."""
        if self.over:
            self.go_to(self.epoch + 1)
        progress = self.progress
        if progress is not None and not progress.asked and self._latest() is None:
            self.epoch, self.first = progress.epoch, progress.first

    def begin(self, progress: EpochProgress, iterator: Any) -> None:
        """Record that the next epoch has begun; `iterator` runs it and is not kept alive."""
        if self.progress is not None:
            self.progress.latest = False
        self.progress, progress.latest = progress, True
        self._latest = weakref.ref(iterator)
        self.epoch += 1
        self.first = 0

    def go_to(self, epoch: int, first: int = 0, over: bool = False) -> None:
        """Let the next iteration begin this epoch at this position."""
        self.epoch, self.first, self.over, self.progress = epoch, first, over, None

    def confirm(self, epoch: int) -> bool:
        """Return whether the next iteration begins this epoch already; if so, it stays there even if that is over."""
        if epoch == self.epoch:
            self.over = False
        return epoch == self.epoch

    @property
    def running(self) -> EpochProgress | None:
        """Progress of the epoch that is running; None between epochs."""
        return None if self.progress is None or self.progress.exhausted else self.progress

    @property
    def ready(self) -> int:
        """Batches that the epoch that is running could hand out at once."""
        iterator = self._latest()
        return 0 if iterator is None else int(iterator.ready)

    @property
    def upcoming(self) -> int:
        """The epoch that the next iteration begins."""
        return self.epoch + self.over

    @property
    def current(self) -> int:
        """The epoch that is running, or else the one that the next iteration begins."""
        return self.upcoming if self.running is None else self.running.epoch


class StaysHere:
    """What has threads, and so can go to no other process."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise OptionError(
            f"{type(self).__name__} objects have threads and can be neither pickled nor copied; make a loader in each "
            "process from the path and the options, or give it a Dataset"
        )

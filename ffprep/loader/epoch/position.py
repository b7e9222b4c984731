"""Where a loader is in its epochs."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ffprep.loader.epoch.iterator import Progress


class Course:
    """The epoch that runs, if one does, and the one to begin next.

    Attributes
    ----------
    epoch, first : int
        Epoch that the next iteration begins, and the position in it.
    over : bool
        That position is the epoch's end, as a state was loaded that lies there: the epoch behind it is next, unless
        this one is asked for by name.
    progress : Progress or None
        How far the epoch begun last has been handed out.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.first = 0
        self.over = False
        self.progress: Progress | None = None
        self._latest: Callable[[], Any] = lambda: None

    def settle(self) -> None:
        """Decide which epoch is next where that was open."""
        if self.over:
            self.go_to(self.epoch + 1)
        progress = self.progress
        if progress is not None and not progress.asked and self._latest() is None:
            self.epoch, self.first = progress.epoch, progress.first

    def begun(self, progress: Progress, iterator: Any) -> None:
        """Take note that the next epoch was begun."""
        self.progress = progress
        self._latest = weakref.ref(iterator)
        self.epoch += 1
        self.first = 0

    def go_to(self, epoch: int, first: int = 0, over: bool = False) -> None:
        """Let the next iteration begin this epoch at this position."""
        self.epoch, self.first, self.over, self.progress = epoch, first, over, None

    def name(self, epoch: int) -> bool:
        """Take note that the next iteration is to begin this epoch; return whether it is the one that was next."""
        if epoch == self.epoch:
            self.over = False
        return epoch == self.epoch

    @property
    def running(self) -> Progress | None:
        """How far the epoch that runs has been handed out; None between epochs."""
        return None if self.progress is None or self.progress.exhausted else self.progress

    @property
    def upcoming(self) -> int:
        """The epoch that the next iteration begins."""
        return self.epoch + self.over

    @property
    def current(self) -> int:
        """The epoch that runs, or the next one if none does."""
        return self.upcoming if self.running is None else self.running.epoch

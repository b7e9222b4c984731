"""Where a limit on images or bytes ends a download: decided in index order, however the answers arrive."""

from __future__ import annotations

from ffprep.download.shards import Outcome
from ffprep.errors import FfprepError, OptionError


class LimitTracker:
    """Finds the last row, in index order, that fits within the limits.

    Outcomes may be added in any order; each is counted only once all rows before it are known.

    Parameters
    ----------
    limit : int or None
        Number of images to store.
    max_bytes : int or None
        Bytes that the stored images may take together.

    Attributes
    ----------
    last : int or None
        Number of the last row to keep; None until a limit has been reached.
    reached : bool
        Whether a limit has been reached.
    """

    def __init__(self, limit: int | None, max_bytes: int | None) -> None:
        if limit is not None and limit < 1:
            raise OptionError("limit must be at least 1")
        self._limit, self._max_bytes = limit, max_bytes
        self._pending: dict[int, tuple[list[int], dict[int, Outcome]]] = {}
        self._order: list[int] = []
        self._position = 0
        self._count = self._bytes = 0
        self._before: int | None = None
        self.last: int | None = None
        self.reached = False

    def expect(self, shard: int, rows: list[int], known: dict[int, Outcome]) -> None:
        """Register a shard's row numbers and the outcomes already known; shards must come in order."""
        self._order.append(shard)
        self._pending[shard] = (rows, dict(known))
        self._advance()

    def add(self, shard: int, outcome: Outcome) -> None:
        """Record the outcome of one row."""
        self._pending[shard][1][outcome.id] = outcome
        self._advance()

    def _advance(self) -> None:
        """Count outcomes in index order, up to the first row whose outcome is missing."""
        while self._order and not self.reached:
            rows, known = self._pending[self._order[0]]
            while self._position < len(rows) and (outcome := known.get(rows[self._position])) is not None:
                self._position += 1
                if self._completes(outcome):
                    return
            if self._position < len(rows):
                return
            del self._pending[self._order.pop(0)]
            self._position = 0

    def _completes(self, outcome: Outcome) -> bool:
        """Count one outcome; whether it reaches a limit."""
        if outcome.ok and self._max_bytes is not None and self._bytes + outcome.bytes > self._max_bytes:
            if self._before is None:
                raise FfprepError(f"row {outcome.id}: the very first image is larger than the byte limit; raise it")
            self.last = self._before
        self._count += outcome.ok
        self._bytes += outcome.bytes
        self._before = outcome.id
        if self._limit is not None and self._count >= self._limit and self.last is None:
            self.last = outcome.id
        if self.last is not None:
            self.reached = True
        return self.reached

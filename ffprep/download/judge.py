"""Where a limit cuts: decided in index order, whoever answers first."""

from __future__ import annotations

from ffprep.download.shards import Outcome
from ffprep.errors import FfprepError, OptionError


class Judge:
    """Finds, in index order, the last row that a limit takes in."""

    def __init__(self, limit: int | None, max_bytes: int | None) -> None:
        if limit is not None and limit < 1:
            raise OptionError("limit must be at least 1")
        self._limit, self._max_bytes = limit, max_bytes
        self._waiting: dict[int, tuple[list[int], dict[int, Outcome]]] = {}
        self._order: list[int] = []
        self._position = 0
        self._count = self._bytes = 0
        self._before: int | None = None
        self.last: int | None = None
        self.reached = False

    def expect(self, shard: int, rows: list[int], known: dict[int, Outcome]) -> None:
        """Announces a shard's rows; shards are announced in order."""
        self._order.append(shard)
        self._waiting[shard] = (rows, dict(known))
        self._advance()

    def add(self, shard: int, outcome: Outcome) -> None:
        """Takes in one outcome."""
        self._waiting[shard][1][outcome.id] = outcome
        self._advance()

    def _advance(self) -> None:
        while self._order and not self.reached:
            rows, known = self._waiting[self._order[0]]
            while self._position < len(rows) and (outcome := known.get(rows[self._position])) is not None:
                self._position += 1
                if self._completes(outcome):
                    return
            if self._position < len(rows):
                return
            del self._waiting[self._order.pop(0)]
            self._position = 0

    def _completes(self, outcome: Outcome) -> bool:
        if outcome.ok and self._max_bytes is not None and self._bytes + outcome.bytes > self._max_bytes:
            if self._before is None:
                raise FfprepError(f"row {outcome.id}: already the first image is larger than the byte limit; raise it")
            self.last = self._before
        self._count += outcome.ok
        self._bytes += outcome.bytes
        self._before = outcome.id
        if self._limit is not None and self._count >= self._limit and self.last is None:
            self.last = outcome.id
        if self.last is not None:
            self.reached = True
        return self.reached

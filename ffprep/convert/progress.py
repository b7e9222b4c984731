"""Showing progress: a bar on a terminal, and elsewhere a line from time to time."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, TextIO

from ffprep.common.formatting import duration_text, printable, size_text

_BAR_EVERY = 0.1  # seconds
_LINE_EVERY = 10.0
_JSON_EVERY = 1.0
_RATE_WINDOW = 15.0


class ProgressDisplay(Protocol):
    """Is told how far the work has got. All calls come from one thread."""

    def update(self, done: int, size: int, failed: int = 0) -> None:
        """``done`` samples with ``size`` bytes are done, and ``failed`` could not be."""

    def close(self) -> None:
        """The work has ended, successfully or not."""


class SilentProgress:
    """Shows nothing."""

    def update(self, done: int, size: int, failed: int = 0) -> None:
        """As in ``ProgressDisplay``."""

    def close(self) -> None:
        """As in ``ProgressDisplay``."""


class _Followed:
    """Has what shows progress.

    Parameters
    ----------
    label : str
        What is being done.
    total : int
        Samples in all.
    done : int
        Samples that an earlier run has done.
    out : text file
        Where to write; standard error by default.
    clock : callable
        Returns seconds that never go back.
    """

    def __init__(
        self,
        label: str,
        total: int,
        done: int = 0,
        *,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._total = total
        self._out = sys.stderr if out is None else out
        self._clock = clock
        self._before = done
        self._begun = clock()
        self._begin()

    def _begin(self) -> None:
        """Prepare for the first update."""


class JsonProgress(_Followed):
    """Writes a line of JSON a second, and a last one when the work has ended.

    Its keys are ``label``, ``done`` and ``total`` (samples), ``bytes``, ``failed``, ``seconds``, ``per_second`` and
    ``seconds_left`` (null as long as they are unknown), and ``ended``.
    """

    def _begin(self) -> None:
        self._next = self._begun
        self._state = (self._before, 0, 0)

    def update(self, done: int, size: int, failed: int = 0) -> None:
        self._state = (done, size, failed)
        if self._clock() >= self._next:
            self._write(ended=False)

    def close(self) -> None:
        self._write(ended=True)

    def _write(self, ended: bool) -> None:
        now = self._clock()
        self._next = now + _JSON_EVERY
        done, size, failed = self._state
        seconds = now - self._begun
        rate = (done - self._before) / seconds if seconds > 0 and done > self._before else None
        facts = {
            "label": self._label,
            "done": done,
            "total": self._total,
            "bytes": size,
            "failed": failed,
            "seconds": round(seconds, 3),
            "per_second": None if rate is None else round(rate, 3),
            "seconds_left": None if rate is None else round(max(0, self._total - done) / rate, 3),
            "ended": ended,
        }
        self._out.write(json.dumps(facts) + "\n")
        self._out.flush()


class ShownProgress(_Followed):
    """Shows the rate and the time left: as a bar that is redrawn on a terminal, otherwise as log lines."""

    def _begin(self) -> None:
        self._label = printable(self._label)
        self._out = getattr(self._out, "unfiltered", self._out)
        self._terminal = self._out.isatty()
        self._points: deque[tuple[float, int, int]] = deque([(self._begun, self._before, 0)])
        self._next = self._begun if self._terminal else self._begun + _LINE_EVERY
        self._drawn = False

    def update(self, done: int, size: int, failed: int = 0) -> None:
        now = self._clock()
        if now < self._next:
            return
        self._points.append((now, done, size))
        while len(self._points) > 2 and now - self._points[0][0] > _RATE_WINDOW:
            self._points.popleft()
        text = self._text(done) + (f", {failed:,} failed" if failed else "")
        if self._terminal:
            self._next = now + _BAR_EVERY
            width = shutil.get_terminal_size().columns
            self._out.write("\r" + self._bar(done, text, width - 1).ljust(width - 1))
            self._drawn = True
        else:
            self._next = now + _LINE_EVERY
            self._out.write(f"{self._label}: {text}\n")
        self._out.flush()

    def close(self) -> None:
        if self._drawn:
            self._out.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self._out.flush()

    def _text(self, done: int) -> str:
        (t0, n0, b0), (t1, n1, b1) = self._points[0], self._points[-1]
        share = 100 * done / self._total if self._total else 100.0
        text = f"{done:,} of {self._total:,} ({share:.1f} %)"
        if t1 > t0 and n1 > n0:
            rate = (n1 - n0) / (t1 - t0)
            left = max(0, self._total - done) / rate
            size = f" {size_text((b1 - b0) / (t1 - t0))}/s," if b1 > b0 else ""
            text += f", {rate:,.0f}/s,{size}" if rate >= 10 else f", {rate:.2g}/s,{size}"
            text += f" {duration_text(left)} left"
        return text

    def _bar(self, done: int, text: str, width: int) -> str:
        room = min(30, width - len(self._label) - len(text) - 5)
        if room < 5:
            return text[:width]
        filled = round(room * done / self._total) if self._total else room
        return f"{self._label} [{'#' * min(filled, room)}{' ' * (room - filled)}] {text}"

"""Reading ahead asks for windows in turn, and never for one that is over."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer
from ffprep.fields import NDArrayField
from ffprep.loader.engine import readahead
from ffprep.loader.engine.readahead import ReadAhead

PAGE = 1 << 21
PAGES = 6


@pytest.fixture(scope="module")
def large_beton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six full pages."""
    path = tmp_path_factory.mktemp("large") / "large.beton"
    fields = {"array": NDArrayField(np.dtype(np.uint8), (PAGE // 2,))}
    with Writer(path, fields, 2 * PAGES, page_size=PAGE) as writer:
        for i in range(2 * PAGES):
            writer.write([fields["array"].encode(np.full(PAGE // 2, i, np.uint8))])
    return path


class Reads:
    """Takes the place of the read: notes which page, and lets a test hold it up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages: list[int] = []
        self.changed = threading.Condition()
        self.allowed = 10**9
        monkeypatch.setattr(readahead, "_preadv", self)

    def __call__(self, descriptor: int, scratch: bytearray, offset: int) -> int:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.pages) < self.allowed, 60)
            if offset // PAGE not in self.pages:
                self.pages.append(offset // PAGE)
            self.changed.notify_all()
        return len(scratch)

    def wait(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.pages) >= count, 60)

    def allow(self, count: int) -> None:
        with self.changed:
            self.allowed = count
            self.changed.notify_all()


def begin(path: Path) -> ReadAhead:
    # six windows of a page: position i * 10 begins window i, which needs page i + 1
    edges = np.arange(0, 10 * PAGES + 1, 10)
    return ReadAhead([Reader(path)], edges, lambda start, stop: np.arange(start // 10, stop // 10) + 1)


def test_windows_are_read_one_ahead(large_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(monkeypatch)
    ahead = begin(large_beton)
    reads.wait(1)
    assert reads.pages == [1]
    for position in range(1, 60):
        ahead.published(position)
        reads.wait(min(PAGES, (position - 1) // 10 + 2))
        ahead.finished(position)
        assert len(reads.pages) <= position // 10 + 2
    ahead.close()
    ahead._thread.join(60)
    assert reads.pages == [1, 2, 3, 4, 5, 6]


def test_what_is_over_is_not_read(large_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(monkeypatch)
    reads.allowed = 1
    ahead = begin(large_beton)
    reads.wait(1)
    for position in range(1, 45):  # workers outrun the disk
        ahead.published(position)
        ahead.finished(position)
    reads.allow(10**9)
    reads.wait(2)
    ahead.close()
    ahead._thread.join(60)
    assert set(reads.pages) <= {1, 2, 5, 6} and not {3, 4} & set(reads.pages)


def test_closing_ends_the_reading(large_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(monkeypatch)
    reads.allowed = 1
    ahead = begin(large_beton)
    reads.wait(1)
    ahead.published(9)
    ahead.published(25)
    ahead.close()
    reads.allow(10**9)
    ahead._thread.join(60)
    assert not ahead._thread.is_alive() and set(reads.pages) <= {1, 2}


def test_a_page_that_another_rank_needs_is_not_dropped(large_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Reads(monkeypatch)
    dropped: list[int] = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda _, offset, size, advice: dropped.append(offset // PAGE) if size else None
    )
    leader, follower = begin(large_beton), begin(large_beton)
    for position in range(1, 31):
        leader.published(position)
        leader.finished(position)
    assert dropped == [3], "pages 1 and 2 are those of the follower's first windows"
    follower.published(11)
    follower.finished(10)
    assert dropped == [3, 1]
    follower.close()
    leader.close()
    assert sorted(dropped[2:]) == [2, 3, 4, 5]

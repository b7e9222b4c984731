"""Claims on pages: who lost one changes nothing, and what is waited for goes by a clock that nobody sets."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from range_server import Served
from remote_readers import same, states_of
from small_pages import SIZE as PAGE

from ffprep.beton import Reader
from ffprep.errors import OptionError
from ffprep.remote import Facts, folder_at, local_file
from ffprep.remote.states import ABSENT, PRESENT

MIDDLE = 140


def test_who_lost_a_claim_changes_nothing_when_it_is_done(url: str, cache: Path, server: Served, local: Path) -> None:
    """A process that was taken for ended, as after it was stopped for long, must not say that a page is absent."""
    with Reader(url) as reader, Reader(url) as other:
        lost, states = other.source, states_of(reader)
        assert lost is not None
        with lost.folder.locked():
            lost._claim(4, 0)
        lost._plan.end()
        assert same(reader, local, [MIDDLE]) and states.of(4) == PRESENT
        lost._finish(4, ABSENT, None)
        assert states.of(4) == PRESENT and same(reader, local, [MIDDLE])
    asked = [start for _, start, _ in server.ranges].count(4 * PAGE)
    assert asked == 1


def test_waiting_for_another_process_goes_by_a_clock_that_nobody_sets(
    url: str, cache: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, looks = np.array([4], np.int64), [0]
    with Reader(url) as reader, Reader(url) as other:
        assert reader.source is not None and other.source is not None
        with other.source.folder.locked():
            other.source._claim(4, 0)

        def look() -> None:
            looks[0] += 1
            if looks[0] == 3:
                other.source._finish(4, ABSENT, None)

        real, jumps = time.time, iter(range(0, 10**15, 10**9))
        monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
        reader.source.hold(page)
        reader.source.wait(page, look)
        assert looks[0] >= 3 and states_of(reader).of(4) == PRESENT


def test_an_object_of_another_size_has_other_pages(cache: Path) -> None:
    """Also in a store that names no version."""
    places = {
        local_file("memory://b/x.beton", folder_at(None), Facts(size, name)) for size in (1, 2) for name in ("", "a")
    }
    assert len(places) == 4


def test_a_folder_that_cannot_be_made_is_named(local: Path) -> None:
    with pytest.raises(OptionError, match="train.beton/cache: cannot keep pages of .*; name another"):
        folder_at(local / "cache")

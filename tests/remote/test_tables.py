"""Head and tables of remote files: what opening fetches, what stays, and cache folders of an earlier version."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from range_server import Served
from remote_readers import same
from small_pages import PART
from small_pages import SIZE as PAGE

from ffprep import Loader, OrderOption
from ffprep.beton import Reader
from ffprep.beton.sets import files_of, make_set
from ffprep.inspect.info import describe_set
from ffprep.presets import text_blocks
from ffprep.remote import folder_at
from ffprep.remote import store as stores
from ffprep.remote.plans import Plan
from ffprep.remote.states import ABSENT, CLAIMED, PRESENT, UNCHECKED, States, runs

EVERYWHERE = list(range(0, 240, 30))


def test_opening_fetches_the_beginning_and_the_end_alone(url: str, server: Served, cache: Path, local: Path) -> None:
    with Reader(url) as reader:
        assert reader.manifest is not None and reader.sample_name(7) == "s7"
        first, last = sorted(server.ranges, key=lambda one: one[1])
        assert first[1:] == (0, 4 * PART) and last[2] == local.stat().st_size
        assert last[2] - last[1] < 6 * PART
        fetched = sum(end - start for _, start, end in server.ranges)
        assert folder_at(None).used(exactly=True) == fetched < PAGE
        assert reader.path.stat().st_blocks * 512 <= fetched + PART
    server.ranges.clear()
    with Loader(url, 8, num_workers=1):
        assert not server.ranges


def test_tables_longer_than_the_beginning_come_in_one_more_range(
    url: str, server: Served, cache: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ffprep.beton.opening.remote_head.FIRST", 1)
    monkeypatch.setattr("ffprep.beton.opening.remote_head.LAST", 1)
    with Reader(url) as reader:
        assert reader.records.tobytes() == Reader(local).records.tobytes()
        assert len(server.ranges) <= 4 and sum(end - start for _, start, end in server.ranges) < PAGE


def test_tables_stay_when_their_pages_go(url: str, server: Served, cache: Path, local: Path) -> None:
    folder = folder_at(None)
    folder.set_limit(2 * PAGE)
    with Reader(local) as other, Reader(url) as reader:
        opened = len(server.ranges)
        for sample in (0, 60, 110, 170, 230, 0, 230):
            if (sample * 2080) // PAGE == (sample * 2080 + 12_000) // PAGE:
                assert same(reader, local, [sample])
            assert reader.records.tobytes() == other.records.tobytes()
            assert reader.table.tobytes() == other.table.tobytes()
            assert folder.used(exactly=True) <= 2 * PAGE >= reader.path.stat().st_blocks * 512
        assert all(end - start > 10 * PART for _, start, end in server.ranges[opened:]), "pages alone"


def test_a_page_that_comes_later_leaves_the_tables_in_it_alone(
    url: str, server: Served, cache: Path, local: Path
) -> None:
    """Its checksum does not cover them, and they were compared with their own."""
    with Reader(local) as other, Reader(url) as reader:
        changed = bytearray(local.read_bytes())
        changed[24 + 2 * 1041 : 8000] = bytes(8000 - 24 - 2 * 1041)
        server.put("/bucket/train.beton", bytes(changed), "one")
        assert reader.value("b", 0) == other.value("b", 0)
        assert reader.records.tobytes() == other.records.tobytes()
        assert reader.head.bounds.start > 7000


def test_payloads_beside_tables_are_compared_with_the_checksum_of_their_page(
    url: str, server: Served, cache: Path, local: Path
) -> None:
    """What came of them with the head was not."""
    data = bytearray(local.read_bytes())
    with Reader(local) as other:
        begin, size = (int(part[0]) for part in other.extents("b"))
        assert begin + size <= 4 * PART
        data[begin : begin + size] = bytes(size)
        server.put("/bucket/train.beton", bytes(data), "one")
        with Reader(url) as reader:
            server.put("/bucket/train.beton", local.read_bytes(), "one")
            assert reader.value("b", 0) == other.value("b", 0)


def test_files_of_a_set_are_opened_several_at_a_time(
    local: Path, server: Served, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"f{k}.beton" for k in range(6)]
    for name in names:
        (tmp_path / name).write_bytes(local.read_bytes())
        server.put(f"/set/{name}", local.read_bytes(), name)
    make_set(tmp_path / "all.set.json", [tmp_path / name for name in names])
    url = server.put("/set/all.set.json", (tmp_path / "all.set.json").read_bytes(), "set")
    once, asked, all_asked = stores.Store._hedged, [0], asyncio.Event()

    async def together(self: stores.Store, *arguments: Any) -> bytes:
        """Go on when all files have asked for both."""
        if self.url.endswith(".beton"):
            asked[0] += 1
            if asked[0] == 2 * len(names):
                all_asked.set()
            await all_asked.wait()
        return await once(self, *arguments)

    monkeypatch.setattr(stores.Store, "_hedged", together)
    waiting = stores.Patience(deadline=60.0, attempt=60.0)
    monkeypatch.setattr(stores.Patience, "of_environment", classmethod(lambda cls: waiting))
    with Loader(url, 8, num_workers=1, order=OrderOption.SEQUENTIAL) as loader:
        assert [reader.path.name for reader in loader.files.readers] == names
    assert len(server.ranges) == 2 * len(names) + 1
    assert describe_set(files_of(url))["samples"] == 6 * 240
    assert len(server.ranges) == 2 * len(names) + 1


def test_one_file_of_a_set_that_is_not_there(local: Path, server: Served, cache: Path) -> None:
    urls = [server.put(f"/set/{k}.beton", local.read_bytes(), str(k)) for k in range(4)]
    files = files_of(urls)
    for name in ("/set/1.beton", "/set/2.beton"):
        server.objects.pop(name)
    with pytest.raises(Exception, match="/set/1.beton: page 0 .*there is no such object"):
        Loader(files, 8, num_workers=1)
    assert not list(cache.glob("*/users/*"))


def test_folders_of_an_earlier_version_count_and_go_first(url: str, server: Served, cache: Path, local: Path) -> None:
    """They are not read, and nothing of theirs is waited for."""
    folder = folder_at(None)
    folder.set_limit(5 * PAGE)
    old = cache / "http+h+bucket+train.beton@0123456789abcdef.remote"
    (old / "users").mkdir(parents=True)
    (old / "train.beton").write_bytes(b"x" * 3 * PAGE)
    (old / "states").write_bytes(b"FFPPAGES".ljust(32 + 16 * 8, b"\1"))
    (cache / "used").write_bytes(b"\xff" * 8)
    assert folder.used(exactly=True) == 3 * PAGE
    with Reader(url) as reader:
        assert same(reader, local, [0]) and (old / "train.beton").exists()
        assert same(reader, local, EVERYWHERE) and not (old / "train.beton").exists()
        assert folder.used(exactly=True) <= 5 * PAGE


def test_what_an_earlier_version_uses_stays(url: str, cache: Path, local: Path) -> None:
    folder = folder_at(None)
    folder.set_limit(5 * PAGE)
    old = cache / "http+h+bucket+train.beton@0123456789abcdef.remote"
    old.mkdir(parents=True)
    (old / "train.beton").write_bytes(b"x" * 2 * PAGE)
    plan = Plan(old, 4)
    with Reader(url) as reader:
        assert same(reader, local, EVERYWHERE)
        assert folder.used(exactly=True) <= 5 * PAGE and (old / "train.beton").read_bytes() == b"x" * 2 * PAGE
    plan.end()


@pytest.mark.parametrize("magic", [b"FFPPAGES", b"FFPPAGE9"])
def test_states_of_another_version_count_as_none(
    magic: bytes, url: str, server: Served, cache: Path, local: Path
) -> None:
    with Reader(url) as reader:
        assert same(reader, local, EVERYWHERE)
        states = reader.path.parent / "states"
    states.write_bytes(magic + states.read_bytes()[8:])
    server.ranges.clear()
    with Reader(url) as reader:
        assert same(reader, local, EVERYWHERE)
    assert len(server.ranges) >= 8


def test_runs() -> None:
    flags = np.array([1, 1, 0, 0, 1, 0, 1], np.bool_)
    assert runs(flags) == [(0, 2), (4, 5), (6, 7)]
    assert runs(flags, 1) == [(0, 2), (4, 7)] and runs(flags, 2) == [(0, 7)] and runs(~flags & flags) == []


def test_bytes_of_pages_and_parts(tmp_path: Path) -> None:
    size = 3 * PAGE + 2 * PART + 100
    states = States.open(tmp_path, size)
    parts: Any = np.zeros(PAGE // PART, np.bool_)
    states.set(np.array([0]), PRESENT)
    for page in (0, 1, 3):
        parts[:3] = True
        states.set_parts(page, parts)
    assert states.part_bytes(np.arange(4)).tolist() == [3 * PART, 3 * PART, 0, 2 * PART + 100]
    assert states.bytes_used() == PAGE + 3 * PART + 2 * PART + 100
    kept = np.array([True, True, False, False])
    assert states.freed(np.arange(4), kept).tolist() == [PAGE - 3 * PART, 0, 0, 2 * PART + 100]
    assert states.removable().tolist() == [0, 1, 3]
    states.set(2, CLAIMED)
    assert states.bytes_used() == 2 * PAGE + 5 * PART + 100
    states.records["coming"][2] = PART
    assert states.bytes_used() == PAGE + 6 * PART + 100
    states.set(np.arange(4), UNCHECKED)
    assert states.bytes_used() == size
    states._after_start()
    assert set(states.of(np.arange(4)).tolist()) == {ABSENT} and states.bytes_used() == 0


def test_a_preset_asks_once_what_its_files_are(url: str, server: Served, cache: Path) -> None:
    """It looks at them before the loader does."""
    with text_blocks(url, 8, num_workers=1) as loader:
        assert loader.reader.num_samples == 240
    assert len(server.asked) == 3 and len(server.ranges) == 2

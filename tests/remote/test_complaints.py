"""What users of other loaders complain about, and what stores and disks do: which test shows that it does not happen.

===============================================  ======================================================================
speed falls once the cache is full               test_loading: a_small_cache_is_kept_and_pages_needed_last_go_first
removing what was used longest ago, over epochs  the same: fewer pages are fetched than that would fetch
deadlock where the limit is below what is read   a_limit_of_any_size_ends_the_epoch_or_refuses_it,
                                                 what_will_never_have_room_is_refused_at_once; test_loading:
                                                 a_cache_below_what_batches_need_is_refused_with_the_number
the only copy is removed                         files_on_local_disk_are_no_copies_to_remove
state is stale after a crash                     test_pages: the_claim_of_a_process_that_was_killed_is_taken_over,
                                                 pages_from_before_the_machine_started_are_compared_once_more
several nodes cannot resume                      nodes_with_caches_of_their_own_resume_as_others
files of before hang the loader                  test_hostile_caches; test_pages: damaged_states_count_as_none
one worker removes what another needs            nobody_removes_what_another_one_reads;
                                                 several_limits_and_readers_at_once; test_loading:
                                                 two_loaders_in_step_share_a_small_cache
one of two processes is killed                   test_loading: a_rank_killed_in_an_epoch_leaves_nothing_behind
the server is killed, stopped or restarted       a_server_that_is_killed_is_one_error_and_one_that_is_back_goes_on;
                                                 test_s3_server
slow, 503, Retry-After, wrong or cut bytes,      test_pages: a_passing_fault_does_no_harm,
wrong Content-Length or -Range, redirects,       a_lasting_fault_is_one_error_that_names_url_and_page,
no ranges, expired credentials (403)             an_expired_token_is_said_at_once; test_refusals: Retry-After
the object changes (ETag)                        test_pages: an_object_that_changes_is_noticed
no such host                                     a_host_that_has_no_address
the disk is full                                 a_full_disk_is_an_error_and_ends_no_process; test_pages
the folder is read-only, or removed              test_refusals
the clock jumps                                  the_clock_may_jump; test_claims: waiting_for_another_process
the limit is lowered                             a_limit_below_what_is_there_removes_pages
several limits                                   several_limits_and_readers_at_once
memory of requests                               no_more_requests_at_once_than_are_meant
all processes ask again at the same moment       test_refusals: pauses_are_drawn_and_grow
small reads cost whole pages; opening a set      test_tables
is one request after the other
===============================================  ======================================================================
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from range_server import Served
from remote_readers import same
from small_pages import SIZE as PAGE
from small_pages import environment

from ffprep import Loader, OrderOption
from ffprep.beton import Reader
from ffprep.common.files.holes import take_room
from ffprep.errors import FfprepError, OptionError
from ffprep.remote import RemoteError, folder_at
from ffprep.remote import store as stores
from ffprep.remote.staging import stage

OPTIONS: dict[str, Any] = {"num_workers": 2, "batches_ahead": 1, "seed": 3}
EVERYWHERE = list(range(0, 240, 30))


def numbers(batches: Any) -> list[int]:
    return [int(number) for _, some in batches for number in some.flatten().tolist()]


def on_disk(cache: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in cache.rglob("*.beton"))


@pytest.mark.parametrize("order", [OrderOption.RANDOM, OrderOption.SEQUENTIAL], ids=str)
def test_a_limit_of_any_size_ends_the_epoch_or_refuses_it(
    order: Any, url: str, cache: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From below a page on; what is refused is so at once, and names a limit that is enough."""
    monkeypatch.setattr(stores.Patience, "of_environment", classmethod(lambda cls: stores.Patience(deadline=1e6)))
    with Loader(local, 8, order=order, **OPTIONS) as loader:
        wanted = numbers(loader)
    outcomes = []
    for limit in (1, PAGE - 1, 2 * PAGE - 1, *(pages * PAGE for pages in range(2, 10))):
        try:
            with Loader(url, 8, order=order, cache_limit=limit, **OPTIONS) as loader:
                assert numbers(loader) == wanted
            outcomes.append(True)
            assert on_disk(cache) <= limit
        except FfprepError as error:
            assert "cache_limit" in str(error)
            outcomes.append(False)
    assert outcomes == sorted(outcomes) and outcomes[-1] and not any(outcomes[:4])


def test_what_will_never_have_room_is_refused_at_once(
    url: str, server: Served, local: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables of some files fit three pages; neither a value beside them nor more files do, and no wait helps."""
    monkeypatch.setattr(stores.Patience, "of_environment", classmethod(lambda cls: stores.Patience(deadline=1e6)))
    others = [server.put(f"/bucket/other{k}.beton", local.read_bytes(), f"other{k}") for k in range(9)]
    folder_at(None).set_limit(3 * PAGE)
    with Reader(url) as reader, ExitStack() as readers:
        with pytest.raises(RemoteError, match=r"other\d.beton: the tables .* give cache_limit=\d+ or more") as caught:
            for other in others:
                readers.enter_context(Reader(other))
        with pytest.raises(RemoteError, match=r"train.beton: the tables .* give cache_limit=\d+ or more"):
            reader.value("b", 60)
        enough = int(str(caught.value).partition("cache_limit=")[2].split()[0])
        folder_at(None).set_limit(enough + 2 * PAGE)
        readers.enter_context(Reader(str(caught.value).partition(": ")[0]))
        assert same(reader, local, EVERYWHERE)
        with pytest.raises(RemoteError, match="other8.beton: the tables .* give cache_limit="):
            Reader(others[8])  # pages that were read last may still be looked at


def test_files_on_local_disk_are_no_copies_to_remove(url: str, local: Path, cache: Path) -> None:
    with Loader(local, 8, cache_limit=2 * PAGE, cache=cache, **OPTIONS) as loader:
        list(loader)
    with pytest.raises(OptionError, match="is no URL"):
        stage(local)
    with Reader(url) as reader:
        folder_at(None).set_limit(4 * PAGE)
        assert same(reader, local, EVERYWHERE)
    assert local.stat().st_blocks * 512 >= local.stat().st_size
    assert not list(cache.glob("*local*"))


@pytest.mark.parametrize("order", [OrderOption.QUASI_RANDOM, OrderOption.RANDOM], ids=str)
def test_nodes_with_caches_of_their_own_resume_as_others(order: Any, url: str, server: Served, tmp_path: Path) -> None:
    """Two nodes stop in an epoch; three that never saw the file go on with the rest of it."""
    options = {**OPTIONS, "order": order, "window_pages": 2, "drop_last": False}
    before: list[int] = []
    for rank in range(2):
        with Loader(url, 4, rank=rank, world_size=2, cache=tmp_path / f"node{rank}", **options) as loader:
            batches = iter(loader)
            before += numbers(next(batches) for _ in range(12))
            state = loader.state_dict()
            batches.close()
    after: list[int] = []
    for rank in range(3):
        with Loader(url, 8, rank=rank, world_size=3, cache=tmp_path / f"other{rank}", **options) as loader:
            loader.load_state_dict(state)
            after += numbers(loader)
    assert len(before) == 96 and sorted(before + after) == list(range(240))


def test_a_server_that_is_killed_is_one_error_and_one_that_is_back_goes_on(
    url: str, server: Served, cache: Path, local: Path
) -> None:
    with Loader(url, 8, order=OrderOption.SEQUENTIAL, **OPTIONS) as loader:
        reached = threading.Event()

        def fault(request: Any) -> str | None:
            if request.start == 5 * PAGE:
                reached.set()
                return "503"
            return None

        server.fault = fault
        batches, found = iter(loader), []
        with pytest.raises(RemoteError, match=r"http://127.0.0.1:\d+/bucket/train.beton: page \d "):
            for batch in batches:
                found.append(batch)
                if reached.wait(30):
                    server.kill()
        assert len(found) < 30
        place = loader.reader.path
    with Reader(place) as reader:  # what was fetched is there without the store
        assert same(reader, local, [0, 20])


def test_an_expired_token_is_said_at_once(
    url: str, server: Served, cache: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request, and what the store says of it; with other credentials it goes on."""
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/train.beton", local.read_bytes())
    asked: list[int] = []
    with Reader("memory://bucket/train.beton") as reader:

        def expired(path: str, start: int, end: int) -> bytes:
            asked.append(start)
            raise PermissionError("The provided token has expired.")

        with monkeypatch.context() as patched:
            patched.setattr(type(memory), "cat_file", lambda self, *arguments: expired(*arguments))
            with pytest.raises(RemoteError, match=r"page 4 .*access is refused \(The provided token has expired.\)"):
                reader.value("b", 140)
        assert asked == [4 * PAGE]
        assert same(reader, local, [140])


def test_a_host_that_has_no_address(cache: Path) -> None:
    with pytest.raises(RemoteError, match="http://nowhere.invalid/train.beton: cannot be found .5 attempts"):
        Reader("http://nowhere.invalid/train.beton")
    assert not list(cache.glob("*.remote2"))


def test_the_room_of_what_is_mapped_for_writing_is_taken(url: str, cache: Path, tmp_path: Path) -> None:
    """Where the disk is full, writing to a hole of a mapped file would end the process (SIGBUS)."""
    with Reader(url) as reader:
        folder_at(None).used()
        users = list((reader.path.parent / "users").iterdir())
        for path in (reader.path.parent / "states", cache / "used2", *users):
            assert path.stat().st_blocks * 512 >= path.stat().st_size > 0
    with (tmp_path / "large").open("w+b") as file:
        take_room(file.fileno(), 1 << 20)
    assert (tmp_path / "large").stat().st_blocks * 512 >= 1 << 20


FULL = """
import os, sys
from pathlib import Path
from small_pages import use_small_pages
use_small_pages()
from ffprep.beton import Reader
from ffprep.errors import FfprepError
url, folder = sys.argv[1], Path(sys.argv[2])
for left in (0, 1, 2, 3, 5, 8, 16, 20, 40, 64, 100, 150):
    os.environ["FFPREP_CACHE"] = str(folder / f"cache{left}")
    (folder / f"cache{left}").mkdir()
    filler = folder / "filler"
    room = os.statvfs(folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail - left) * room.f_bsize)
    try:
        with Reader(url) as reader:
            for sample in range(0, 240, 30):
                reader.value("b", sample)
        print("read")
    except (FfprepError, OSError) as error:
        named = str(folder) in str(error) and ("No space left" in str(error) or "make room on its disk" in str(error))
        print("space" if named else repr(error))
    filler.unlink()
    import shutil
    shutil.rmtree(folder / f"cache{left}")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="takes a disk of its own")
def test_a_full_disk_is_an_error_and_ends_no_process(url: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        run = subprocess.run(
            [sys.executable, "-c", FULL, url, disk], env=environment(), capture_output=True, text=True, timeout=300
        )
    finally:
        subprocess.run(["umount", disk], check=True)
    assert run.returncode == 0, run.stderr
    found = run.stdout.split("\n")[:-1]
    assert found == sorted(found, reverse=True) and found[0] == "space" and found[-1] == "read" and len(found) == 12


def test_the_clock_may_jump(
    url: str, server: Served, cache: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting goes by a clock that nobody sets; which file was used last may be guessed wrong, and no more."""
    folder = folder_at(None)
    folder.set_limit(6 * PAGE)
    with Reader(server.put("/bucket/old.beton", local.read_bytes(), "old")) as reader:
        assert same(reader, local, EVERYWHERE)
        users = reader.path.parent / "users"
    os.utime(users, (2**33, 2**33))
    jumps = iter([0.0, 1e9, -1e9, 2e9] * 100_000)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    server.fault = lambda request: "503" if request.number % 3 == 0 else None
    with Loader(url, 8, order=OrderOption.SEQUENTIAL, **OPTIONS) as loader:
        assert len(numbers(loader)) == 240
        assert folder.used(exactly=True) <= 6 * PAGE


def test_a_limit_below_what_is_there_removes_pages(url: str, server: Served, cache: Path, local: Path) -> None:
    folder = folder_at(None)
    folder.set_limit(9 * PAGE)
    with Loader(local, 8, order=OrderOption.SEQUENTIAL, **OPTIONS) as loader:
        wanted = numbers(loader)
    with Loader(url, 8, order=OrderOption.SEQUENTIAL, **OPTIONS) as loader:
        assert numbers(loader) == wanted and folder.used(exactly=True) > 7 * PAGE
        folder.set_limit(6 * PAGE)
        assert folder.used(exactly=True) <= 6 * PAGE >= on_disk(cache)
        assert numbers(loader) == wanted
    assert on_disk(cache) <= 6 * PAGE
    with Loader(url, 8, order=OrderOption.SEQUENTIAL, cache_limit=9 * PAGE, **OPTIONS) as loader:
        batches = iter(loader)
        found = numbers(next(batches) for _ in range(10))
        folder.set_limit(6 * PAGE)  # while pages are held and on the way
        for batch in batches:
            found += numbers([batch])
        assert found == wanted
        folder.set_limit(6 * PAGE)
        assert folder.used(exactly=True) <= 6 * PAGE >= on_disk(cache)


def test_several_limits_and_readers_at_once(url: str, server: Served, cache: Path, local: Path) -> None:
    """The limit that was given last holds for all, and none removes what another one holds."""
    options = {**OPTIONS, "order": OrderOption.SEQUENTIAL}
    with Loader(local, 8, **options) as loader:
        wanted = numbers(loader)
    limits = [9 * PAGE, 20 * PAGE, 7 * PAGE]
    loaders = [Loader(url, 8, cache_limit=limit, **options) for limit in limits]
    folder = folder_at(None)
    assert folder.limit() == 7 * PAGE
    found: list[list[int]] = [[], [], []]
    for batches in zip(*loaders, strict=True):
        for mine, batch in zip(found, batches, strict=True):
            mine += numbers([batch])
        assert folder.used(exactly=True) <= 7 * PAGE
    assert found == [wanted] * 3
    for loader in loaders:
        loader.close()
    assert on_disk(cache) <= 7 * PAGE


def test_nobody_removes_what_another_one_reads(url: str, cache: Path, local: Path) -> None:
    """What was read last, and what a loader's batches under way need, as those who read it see it."""
    folder = folder_at(None)
    folder.set_limit(4 * PAGE)
    with Reader(local) as other, Reader(url) as first, Reader(url) as second:
        seen = first.payload("b", 5)
        held = np.array([3], np.int64)
        first.source.hold(held)
        first.source.wait(held)
        for _ in range(2):
            assert same(second, local, [0, 40, 70, 140, 180, 225])
            assert seen.tobytes() == other.payload("b", 5).tobytes()
            assert first.data[3 * PAGE : 4 * PAGE].tobytes() == other.data[3 * PAGE : 4 * PAGE].tobytes()
            assert folder.used(exactly=True) <= 4 * PAGE
        first.source.release(held)


def test_no_more_requests_at_once_than_are_meant(
    url: str, server: Served, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes a page of memory."""
    under_way, most = [0], [0]
    once = stores.Store._hedged

    async def counted(self: stores.Store, *arguments: Any) -> bytes:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        await asyncio.sleep(0)
        try:
            return await once(self, *arguments)
        finally:
            under_way[0] -= 1

    monkeypatch.setattr(stores.Store, "_hedged", counted)
    monkeypatch.setattr(stores, "SMALL", 0)
    monkeypatch.setattr(stores, "AT_ONCE", 2)
    monkeypatch.setattr(stores, "_semaphores", {})
    with Loader(url, 8, order=OrderOption.RANDOM, **OPTIONS) as loader:
        assert len(numbers(loader)) == 240
    assert most[0] == 2

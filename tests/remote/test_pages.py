"""Pages of remote files: what is fetched, what stays, and what happens when the store fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from range_server import Request, Served
from remote_readers import same, states_of
from small_pages import SIZE as PAGE
from small_pages import environment

from ffprep.beton import Reader
from ffprep.beton.merge import merge
from ffprep.beton.sets import files_of
from ffprep.beton.split import split
from ffprep.beton.verify import verify
from ffprep.common.files import locking
from ffprep.errors import OptionError
from ffprep.inspect.info import describe
from ffprep.remote import ChangedError, DamagedError, RemoteError, folder_at
from ffprep.remote import store as stores
from ffprep.remote.states import CLAIMED, PRESENT

MIDDLE = 140
"""A sample in the middle of the file, in a page that opening does not fetch."""


def test_only_what_is_read_is_fetched_and_only_once(url: str, server: Served, cache: Path, local: Path) -> None:
    with Reader(url) as reader:
        opened = len(server.ranges)
        assert opened <= 2 and all(end - start <= PAGE for _, start, end in server.ranges)
        assert same(reader, local, [MIDDLE, MIDDLE + 1]) and reader.sample_name(3) == "s3"
        assert len(server.ranges) == opened + 1
        assert reader.path.stat().st_size == local.stat().st_size
        assert reader.path.stat().st_blocks * 512 <= 4 * PAGE
    asked = len(server.ranges)
    with Reader(url) as again:
        assert same(again, local, [MIDDLE])
    assert len(server.ranges) == asked


def test_memory_store(local: Path, cache: Path) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe("/bucket/deep/train.beton", local.read_bytes())
    with Reader("memory://bucket/deep/train.beton") as reader:
        assert same(reader, local, [0, MIDDLE, 239])


@pytest.mark.parametrize(
    "fault", ["503", "short", "wrong", "drop", "hang", "later0", "slow", "cut", "long", "shifted", "moved"]
)
def test_a_passing_fault_does_no_harm(fault: str, url: str, server: Served, cache: Path, local: Path) -> None:
    server.fault = lambda request: fault if request.number in (0, 3) else None
    with Reader(url) as reader:
        assert same(reader, local, [MIDDLE])


def test_wrong_bytes_of_the_tables_are_fetched_again(url: str, server: Served, cache: Path, local: Path) -> None:
    server.fault = lambda request: "wrong" if request.number == 0 and request.start == 0 else None
    with Reader(url) as reader:
        assert same(reader, local, [0])
    server.fault = lambda request: "wrong"
    server.put("/bucket/train.beton", local.read_bytes(), "two")
    with pytest.raises(Exception, match="http://127.0.0.1"):
        Reader(url)
    server.fault = None
    with Reader(url) as reader:
        assert same(reader, local, [0])


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("503", "page 4 .*503"),
        ("short", "page 4 .*32,768 of 65,536 bytes came"),
        ("wrong", "page 4 .*checksum"),
        ("drop", "page 4 "),
        ("hang", "page 4 .*no answer in"),
        ("whole", "page 4 .*knows no ranges"),
        ("circle", "page 4 .*redirects without end"),
        ("slow", "page 4 .*no answer in"),
        ("cut", "page 4 "),
        ("long", "page 4 .*more than the 65,536 bytes"),
        ("shifted", "page 4 .*bytes from 262,145 on came instead"),
        ("silent", "page 4 .*does not say which bytes"),
        ("403", "page 4 .*cannot be read: the server answered 403"),
        ("later3600", "page 4 .*1 attempts.* 429 .*asks to wait for 3,600 s"),
    ],
)
def test_a_lasting_fault_is_one_error_that_names_url_and_page(
    fault: str, says: str, url: str, server: Served, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault in ("hang", "slow"):
        patience = stores.Patience(deadline=1.0)
        monkeypatch.setattr(stores.Patience, "of_environment", classmethod(lambda cls: patience))
    with Reader(url) as reader:
        server.fault = lambda request: fault
        with pytest.raises(RemoteError, match=f"http://127.0.0.1:.*train.beton: .*{says}"):
            reader.value("b", MIDDLE)
        server.fault = None
        assert len(reader.value("b", MIDDLE)) == 2080


def test_a_server_without_ranges_and_one_without_the_object_are_refused_at_once(
    url: str, server: Served, cache: Path
) -> None:
    with pytest.raises(RemoteError, match="there is no such object"):
        Reader(f"{server.url}/nowhere.beton")
    assert server.asked == ["/nowhere.beton"]


def test_a_slow_answer_is_hedged(
    url: str, server: Served, cache: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = stores.Patience(hedge=0.1, attempt=30.0, attempts=1)  # so that nothing but the second request helps
    monkeypatch.setattr(stores.Patience, "of_environment", classmethod(lambda cls: patience))
    with Reader(url) as reader:
        first = len(server.ranges)
        server.fault = lambda request: "hang" if request.number == first else None
        assert same(reader, local, [MIDDLE])
        assert len(server.ranges) >= first + 2


@pytest.mark.parametrize("ignores_match", [False, True])
def test_an_object_that_changes_is_noticed(
    ignores_match: bool, url: str, server: Served, cache: Path, local: Path
) -> None:
    server.ignores_match = ignores_match
    changed = bytearray(local.read_bytes())
    changed[PAGE : 7 * PAGE] = bytes(6 * PAGE)
    with Reader(url) as reader:
        server.put("/bucket/train.beton", bytes(changed), "two")
        with pytest.raises(ChangedError, match="changed while it was in use"):
            reader.value("b", MIDDLE)
        server.put("/bucket/train.beton", bytes(changed[:-PAGE]), "three")
        with pytest.raises(ChangedError, match="changed while it was in use"):
            reader.value("b", MIDDLE + 40)


def test_another_version_has_other_pages(url: str, server: Served, cache: Path, local: Path) -> None:
    with Reader(url) as reader:
        first = reader.path
    server.put("/bucket/train.beton", local.read_bytes(), "two")
    with Reader(url) as reader:
        assert reader.path != first and same(reader, local, [MIDDLE])


def test_verify_and_info_read_urls(url: str, server: Served, cache: Path, local: Path) -> None:
    [file] = files_of(url)
    found, expected = describe(file.path), describe(local)
    assert {**found, "path": ""} == {**expected, "path": ""}
    report = verify(file.path, deep=False)
    assert report.ok and report.checked == verify(local, deep=False).checked
    folder_at(None).set_limit(6 * PAGE)
    server.fault = lambda request: "wrong" if request.start == 4 * PAGE else None
    report = verify(file.path, deep=False)
    assert not report.ok and any(f"bytes {4 * PAGE} to {5 * PAGE - 1}" in str(one) for one in report.problems)


# -- sharing, crashes, restarts ------------------------------------------------------------------------


def test_the_claim_of_a_process_that_was_killed_is_taken_over(
    url: str, server: Served, cache: Path, local: Path
) -> None:
    asked = threading.Event()

    def fault(request: Request) -> str | None:
        if request.start == 4 * PAGE:
            asked.set()
            return "hang"
        return None

    server.fault = fault
    program = f"""
from small_pages import use_small_pages
use_small_pages()
from ffprep.beton import Reader
Reader({url!r}).value("b", {MIDDLE})
"""
    with Reader(url) as reader, subprocess.Popen([sys.executable, "-c", program], env=environment()) as process:
        try:
            assert asked.wait(120)
            claimed = np.flatnonzero(states_of(reader).records["state"] == CLAIMED).tolist()
        finally:
            process.kill()
        assert process.wait() == -signal.SIGKILL and claimed == [4]
        server.fault = None
        assert same(reader, local, [MIDDLE])
        assert states_of(reader).of(4) == PRESENT
        assert len(list((reader.path.parent / "users").iterdir())) == 2
    with Reader(url) as reader:  # what the killed one left goes when the file is opened again
        assert len(list((reader.path.parent / "users").iterdir())) == 1


def test_a_process_that_gives_no_sign_is_waited_for_in_vain(
    url: str, cache: Path, server: Served, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Reader(url) as reader, Reader(url) as other:
        states = states_of(reader)
        assert other.source is not None
        states.records["owner"][4] = other.source._plan.number  # a process that is there, and does nothing
        states.set(4, CLAIMED)
        patience = stores.Patience(deadline=0.1)
        monkeypatch.setattr(stores.Patience, "of_environment", classmethod(lambda cls: patience))
        with Reader(url) as third, pytest.raises(RemoteError, match="page 4 did not come: another process"):
            third.value("b", MIDDLE)


def test_pages_from_before_the_machine_started_are_compared_once_more(
    url: str, server: Served, cache: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Reader(url) as reader:
        assert same(reader, local, [MIDDLE, MIDDLE + 35])
        path = reader.path
    with path.open("r+b") as file:  # what a crash of the machine leaves of pages that were not on the disk yet
        file.seek(4 * PAGE)
        file.write(bytes(PAGE))
    monkeypatch.setattr("ffprep.remote.states.boot_of_machine", lambda: "another start")
    server.ranges.clear()
    with Reader(url) as reader:
        server.ranges.clear()
        assert same(reader, local, [MIDDLE + 35]) and not server.ranges
        assert same(reader, local, [MIDDLE])
        assert [start for _, start, _ in server.ranges] == [4 * PAGE]


@pytest.mark.parametrize("damage", [b"", b"garbage", bytes(400)])
def test_damaged_states_count_as_none(damage: bytes, url: str, server: Served, cache: Path, local: Path) -> None:
    with Reader(url) as reader:
        path = reader.path
    (path.parent / "states").write_bytes(damage)
    with Reader(url) as reader:
        assert same(reader, local, [0, MIDDLE])


def test_a_cut_file_begins_anew(url: str, server: Served, cache: Path, local: Path) -> None:
    with Reader(url) as reader:
        path = reader.path
    with path.open("r+b") as file:
        file.truncate(100)
    with Reader(url) as reader:
        assert same(reader, local, [0, MIDDLE])


def test_a_full_disk_is_named(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Reader(url) as reader:

        def full(*arguments: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("ffprep.remote.folder.os.pwrite", full)
        with pytest.raises(RemoteError, match="page 4 .* cannot be written to .*No space left on device; make room"):
            reader.value("b", MIDDLE)


def test_the_limit_is_kept_and_files_that_nobody_reads_go_first(
    url: str, server: Served, cache: Path, local: Path
) -> None:
    folder = folder_at(None)
    folder.set_limit(6 * PAGE)
    old = server.put("/bucket/old.beton", local.read_bytes(), "old")
    with Reader(old) as reader:
        assert same(reader, local, list(range(0, 240, 30)))
        assert folder.used(exactly=True) <= 6 * PAGE
        behind = reader.path
    with Reader(url) as reader:
        assert same(reader, local, list(range(0, 240, 30)))
        assert folder.used(exactly=True) <= 6 * PAGE and not behind.exists()
        taken = sum(file.stat().st_blocks * 512 for file in cache.rglob("*.beton"))
        assert taken <= 6 * PAGE
    with pytest.raises(OptionError, match="at least"):
        folder.set_limit(PAGE)


# -- places --------------------------------------------------------------------------------------------


def test_the_folder_says_what_it_keeps_and_no_secret(server: Served, local: Path, cache: Path) -> None:
    url = server.put("/a+b/train.beton", local.read_bytes(), "one") + "?signature=secret"
    with Reader(url) as reader:
        place = reader.path.parent
        assert place.name.endswith(".remote2") and "train.beton@" in place.name and "secret" not in place.name
        assert json.loads((place / "source.json").read_text())["url"] == url
        assert (place / "source.json").stat().st_mode & 0o077 == 0
        server.fault = lambda request: "503"
        with pytest.raises(RemoteError) as caught:
            reader.value("b", MIDDLE)
        assert "secret" not in str(caught.value)


def test_set_index_folder_and_pattern(local: Path, cache: Path, server: Served, tmp_path: Path) -> None:
    import fsspec

    from ffprep.beton.sets import make_set

    for name in ("a.beton", "b.beton"):
        (tmp_path / name).write_bytes(local.read_bytes())
    index = make_set(tmp_path / "all.set.json", [tmp_path / "a.beton", tmp_path / "b.beton"])
    memory = fsspec.filesystem("memory")
    for name in ("all.set.json", "a.beton", "b.beton"):
        memory.pipe(f"/set/{name}", (tmp_path / name).read_bytes())
        server.put(f"/set/{name}", (tmp_path / name).read_bytes(), name)
    for place in ("memory://set/all.set.json", "memory://set", f"{server.url}/set/all.set.json"):
        files = files_of(place)
        assert [file.member for file in files] == list(index.members)
        for file in files:
            with Reader(file) as reader:
                assert same(reader, local, [MIDDLE])
    assert len(files_of("memory://set/*.beton")) == 2
    asked = len(server.asked)
    assert len(files_of(f"{server.url}/set/all.set.json")) == 2
    assert len(server.asked) == asked + 1  # what the index is; its files are known by it
    with pytest.raises(OptionError, match="no .beton file is there"):
        files_of("memory://nothing/")
    with pytest.raises(OptionError, match="without file://"):
        files_of("file:///data/train.beton")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    from fsspec.registry import _registry

    monkeypatch.delitem(_registry, "s3", raising=False)  # there, if another test has read from S3
    monkeypatch.delitem(_registry, "gs", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(OptionError, match=r"pip install 'ffprep\[remote\]'"):
        stores.Store("s3://bucket/train.beton")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(OptionError, match="pip install gcsfs"):
        stores.Store("gs://bucket/train.beton")
    with pytest.raises(OptionError, match="knows no nonsense://"):
        stores.Store("nonsense://bucket/train.beton")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(OptionError, match=r"pip install 'ffprep\[remote\]'"):
        files_of("s3://bucket/train.beton")


def test_a_user_of_another_start_of_the_machine_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    here = locking.Holder.this_process()
    assert not here.ended()
    assert locking.Holder(here.host, here.boot, here.pid, "before").ended()
    assert issubclass(DamagedError, RemoteError)


def test_files_of_a_store_are_not_merged_or_split(url: str, cache: Path, tmp_path: Path, local: Path) -> None:
    """Their pages are holes in the cache's file until they are asked for."""
    with pytest.raises(OptionError, match="http://.*train.beton: files are copied from local disk only"):
        merge([local, url], tmp_path / "out.beton")
    with pytest.raises(OptionError, match="http://.*train.beton: files are copied from local disk only"):
        split(files_of(url), tmp_path / "out.set.json", 2)
    assert not list(tmp_path.glob("out*"))

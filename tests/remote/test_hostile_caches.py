"""Files of others in a cache folder, and servers that state what cannot be: an error or a fresh start, no wait."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from range_server import Served

from ffprep.beton import Reader
from ffprep.errors import FfprepError
from ffprep.remote import RemoteError, folder_at
from ffprep.remote.facts import LARGEST
from ffprep.remote.plans import Plan, Plans

GARBAGE: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\0" * 200),
    "deep JSON": lambda path: path.write_bytes(b"[" * 100_000),
    "a huge size": lambda path: path.write_bytes(b'{"url": "", "identity": "", "size": 1e400}'),
    "a negative size": lambda path: path.write_bytes(b'{"url": "", "identity": "", "size": -1}'),
}


def replace(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    GARBAGE[kind](path)


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("name", ["limit", "source.json", "states", "train.beton", "users/0000000000000001.plan"])
def test_files_of_others_in_a_cache(name: str, kind: str, url: str, cache: Path, local: Path) -> None:
    with Reader(url) as reader:
        path = reader.path
    replace((path.parent if name != "limit" else cache) / name, kind)
    if name == "source.json":
        with pytest.raises(FfprepError, match="is no folder of a remote file"):
            Reader(path)
    replaceable = not (name in ("source.json", "states", "train.beton") and kind in ("a pipe", "a folder"))
    if replaceable:
        with Reader(url) as reader, Reader(local) as other:
            assert reader.value("b", 140) == other.value("b", 140)
        assert folder_at(cache).limit() > 0
    else:
        with pytest.raises((FfprepError, OSError), match=name):
            Reader(url)


def test_a_limit_that_is_a_pipe_is_not_written_to(cache: Path, url: str) -> None:
    Reader(url).close()
    os.mkfifo(cache / "limit")
    with pytest.raises(FfprepError, match="limit: is a named pipe"):
        folder_at(cache).set_limit(1 << 30)


def test_garbage_among_plans_hides_no_other_plan(tmp_path: Path) -> None:
    """Else pages that somebody uses would be removed."""
    plan = Plan(tmp_path, 4)
    plan.held[2] = plan.kept[3] = 1
    plan.next[:] = 7
    plan.go_to(2**64 - 1)
    users = tmp_path / "users"
    for number, kind in enumerate(GARBAGE):
        replace(users / f"{number:016x}.plan", kind)
    other = plan.path.read_bytes()
    other = b"FFPPLAN9" + other[8:512] + bytes(16) + b"\1" * (len(other) - 528)
    (users / f"{99:016x}.plan").write_bytes(other)  # of a process that is there, in another form
    held, kept, away = Plans(tmp_path).needs(4)
    assert held.tolist() == [False, False, True, False] and kept.tolist() == [False] * 3 + [True]
    assert away.tolist() == [0] * 4
    left = {entry.name for entry in users.iterdir() if entry.is_file()}
    assert left == {plan.path.name, f"{99:016x}.plan"}
    plan.end()


@pytest.mark.parametrize("size", [LARGEST + 1, 10**30])
def test_a_size_that_no_object_has(
    size: int, server: Served, url: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ffprep.remote.http._range_of", lambda answer: (0, size))
    with pytest.raises(RemoteError, match="says that it has .* bytes"):
        Reader(url)
    assert not list(cache.glob("*.remote2"))


def test_a_limit_that_is_no_short_number(cache: Path, url: str) -> None:
    Reader(url).close()
    (cache / "limit").write_bytes(b"1000000000".rjust(100))
    assert folder_at(cache).limit() == 10**9
    (cache / "limit").write_bytes(b"1000000000".rjust(101))
    assert folder_at(cache).limit() != 10**9

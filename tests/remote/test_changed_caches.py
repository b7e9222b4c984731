"""Pages that changed on the disk after they came; processes that are forked with a file open, or interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from range_server import Request, Served
from small_pages import SIZE as PAGE
from small_pages import environment

from ffprep import Loader, OrderOption
from ffprep.beton import Reader
from ffprep.beton.checksums import open_checked
from ffprep.beton.sets import files_of, make_set
from ffprep.beton.verify import verify
from ffprep.errors import CorruptError, DecodeError
from ffprep.remote import RemoteError

OPTIONS: dict[str, Any] = {"num_workers": 2, "order": OrderOption.SEQUENTIAL, "check": "always", "drop_last": False}


def spoil(path: Path, pages: range = range(3, 6)) -> None:
    """Change bytes all over some pages on the disk."""
    data = bytearray(path.read_bytes())
    for place in range(pages.start * PAGE, pages.stop * PAGE, 500):
        data[place] ^= 255
    with path.open("r+b") as file:
        file.write(data)


def values(batches: Any) -> list[bytes]:
    return [bytes(row) for some, *_ in batches for row in some]


@pytest.mark.parametrize("on_error", ["raise", "skip", "replace"])
def test_a_loader_fetches_pages_anew_that_changed_on_the_disk(
    on_error: str, url: str, server: Served, cache: Path, local: Path
) -> None:
    with Loader(local, 32, **OPTIONS) as loader:
        wanted = values(loader)
    with Loader(url, 32, on_error=on_error, **OPTIONS) as loader:
        assert values(loader) == wanted
        path, asked = loader.reader.path, len(server.ranges)
        spoil(path)
        assert values(loader) == wanted and loader.errors.count == 0
        assert sorted(start for _, start, _ in server.ranges[asked:]) == [page * PAGE for page in (3, 4, 5)]
        assert path.read_bytes()[3 * PAGE : 6 * PAGE] == local.read_bytes()[3 * PAGE : 6 * PAGE]


def test_they_are_an_error_where_the_store_is_gone(url: str, server: Served, cache: Path) -> None:
    with Loader(url, 32, **OPTIONS) as loader:
        values(loader)
        spoil(loader.reader.path)
        server.objects.clear()
        with pytest.raises(RemoteError, match="page 3 .*there is no such object"):
            values(loader)


def test_what_the_store_has_wrong_itself_is_asked_for_no_more_often(
    url: str, server: Served, cache: Path, local: Path
) -> None:
    server.fault = lambda request: "wrong" if request.start == 4 * PAGE else None
    with pytest.warns(RuntimeWarning, match="left out"), Loader(url, 32, on_error="skip", **OPTIONS) as loader:
        first = len(values(loader))
        asked = len(server.ranges)
        assert 0 < first < 240 and len(values(loader)) == first and len(server.ranges) == asked


def test_values_read_one_by_one(url: str, server: Served, cache: Path, local: Path) -> None:
    with Reader(url) as reader:
        reader.sample(100)
        reader.sample(140)
    spoil(reader.path)
    with open_checked(files_of(url)[0].path) as reader, Reader(local) as other:
        assert reader.sample(140) == other.sample(140)
        reader.sample(100)
        server.objects.clear()
        spoil(reader.path, range(4, 5))
        assert reader.sample(100) == other.sample(100)  # of another page
        with pytest.raises((DecodeError, RemoteError)):
            [reader.sample(i) for i in range(130, 150)]


def test_verify_compares_with_what_the_store_has(url: str, cache: Path, local: Path) -> None:
    [file] = files_of(url)
    assert verify(file.path, deep=False).ok
    spoil(file.path)
    assert verify(file.path, deep=False).ok
    assert file.path.read_bytes()[3 * PAGE : 6 * PAGE] == local.read_bytes()[3 * PAGE : 6 * PAGE]


def test_an_index_that_changed_on_the_disk(server: Served, cache: Path, local: Path) -> None:
    make_set(local.parent / "train.set.json", [local])
    for name in (local.name, "train.set.json"):
        url = server.put(f"/bucket/{name}", (local.parent / name).read_bytes(), name)
    [file] = files_of(url)
    assert file.index is not None
    whole = file.index.read_bytes()
    file.index.write_bytes(whole.replace(b"samples", b"SAMPLES"))
    assert files_of(url) == [file] and file.index.read_bytes() == whole
    url = server.put("/bucket/train.set.json", whole[:-9], "cut")
    with pytest.raises(CorruptError, match=f"^{url}: is no index of a set.*; make it again"):
        files_of(url)


FORKED = """
import os
from small_pages import use_small_pages
use_small_pages()
from ffprep.beton import Reader
reader = Reader({url!r})
reader.sample(0)
plans = set(os.listdir(reader.path.parent / "users"))
child = os.fork()
if child == 0:
    status = 1
    try:
        status = 0 if reader.sample(140)["n"] == 140 else 2
        more = set(os.listdir(reader.path.parent / "users"))
        status = status if len(more) == 2 and more > plans else 3
        reader.close()
        del reader
    finally:
        os._exit(status)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(plans == set(os.listdir(reader.path.parent / "users")), reader.sample(100)["n"])
"""


def test_a_forked_process_fetches_by_itself_and_takes_nothing_from_the_other(url: str, cache: Path) -> None:
    """As DataLoader's workers are; with the other process's threads and plan it would wait for ever."""
    program = [sys.executable, "-c", FORKED.format(url=url)]
    found = subprocess.run(program, env=environment(), capture_output=True, text=True, timeout=60)
    assert found.stdout.split() == ["0", "True", "100"], found.stderr


def test_ctrl_c_while_pages_come_is_one_line(url: str, server: Served, cache: Path) -> None:
    """What was under way when the interpreter ends has nothing to say any more."""
    asked = threading.Event()

    def fault(request: Request) -> str | None:
        if request.start == 4 * PAGE:
            asked.set()
            return "hang"
        return None

    server.fault = fault
    start = "from small_pages import use_small_pages; use_small_pages(); from ffprep.cli import main; main()"
    program = [sys.executable, "-c", start, "stage", url]
    with subprocess.Popen(program, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert asked.wait(60)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 130 and said.splitlines()[-1:] == ["ffprep: interrupted"]
    assert "Traceback" not in said and "Task" not in said

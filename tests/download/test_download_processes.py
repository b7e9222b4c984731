"""The processes that fetch: same result for any number, shares that add up, and how each way of failing ends."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_server import LOCAL, Handler, contents, rows

from ffprep.download import fetch_worker, shards, worker_processes
from ffprep.download.downloader import DownloadProgress, download
from ffprep.download.settings import DownloadOptions
from ffprep.download.shards import manifest_path, tar_path
from ffprep.errors import FfprepError, OptionError, SourceError

MIXED = ["/ok/{}", "/status/404", "/ok/{}", "/html", "/png", "/reset"]


def mixed(base: str, count: int) -> list[Any]:
    return rows(base, [MIXED[i % len(MIXED)].format(i) for i in range(count)])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes that a test starts; afterwards none may be left."""
    found: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            found.append(self)

    monkeypatch.setattr(worker_processes.subprocess, "Popen", Recorded)  # type: ignore[attr-defined]
    before = _descriptors()
    yield found
    assert found
    assert all(process.returncode is not None for process in found)
    assert not _descriptors() - before


def _descriptors() -> set[str]:
    """Pipes and deleted files that are open here.

    What other tests left to the garbage collector may vanish at any time, so only new ones are a leak.
    """
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return set()
    names = set()
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):
            name = str(entry.readlink())
            if name.startswith("pipe:") or "(deleted)" in name:
                names.add(name)
    return names


@pytest.mark.parametrize("limit", [None, 11])
def test_any_number_of_processes_stores_the_same(
    server: str, tmp_path: Path, limit: int | None, started: list[subprocess.Popen[bytes]]
) -> None:
    for workers in (1, 2, 5):
        options = DownloadOptions(limit=limit, shard_size=7, connections=6, workers=workers, fetch=LOCAL)
        download(mixed(server, 40), tmp_path / str(workers), options)
    assert len(started) == 8
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "5")


@given(st.integers(1, 600), st.integers(1, 64), st.none() | st.integers(1, 40))
def test_shares_add_up(connections: int, per_host: int, workers: int | None) -> None:
    shares = worker_processes.worker_configs(
        DownloadOptions(connections=connections, per_host=per_host, workers=workers), 4
    )
    assert sum(share.connections for share in shares) == connections
    assert sum(share.per_host for share in shares) == per_host
    assert all(share.connections and share.per_host and share.threads for share in shares)
    assert workers is None or len(shares) <= workers


@pytest.mark.parametrize("wrong", [{"connections": 0}, {"per_host": 0}, {"workers": 0}])
def test_no_connections_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="at least 1"):
        download([], tmp_path, DownloadOptions(**wrong))  # type: ignore[arg-type]


def test_connections_are_held_to_the_files_a_process_may_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (128, 256))
    worker_processes.worker_configs(DownloadOptions(connections=384, workers=2), 4)
    with pytest.raises(OptionError, match=r"256 files only.*fewer connections or more workers"):
        worker_processes.worker_configs(DownloadOptions(connections=400, workers=2), 4)
    worker_processes.worker_configs(DownloadOptions(connections=400, workers=3), 4)


@pytest.mark.parametrize(("error", "most"), [(None, "all"), (ValueError, "of macOS"), (OSError, "of macOS")])
def test_a_process_takes_the_open_files_that_it_gets(
    error: type[Exception] | None, most: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def setrlimit(_what: int, limits: tuple[int, int]) -> None:
        if error is not None and limits[0] != fetch_worker.MACOS_OPEN_FILES:
            raise error("current limit exceeds maximum limit")
        taken.append(limits)

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    fetch_worker.allow_open_files()
    soft = resource.RLIM_INFINITY if most == "all" else fetch_worker.MACOS_OPEN_FILES
    assert taken == [(soft, resource.RLIM_INFINITY)]


def test_processes_may_have_more_connections_than_the_usual_files(server: str, tmp_path: Path) -> None:
    """80 fetches that the server answers when all have come, by a program that may open 64 files."""
    index = tmp_path / "index.tsv"
    index.write_text("".join(f"caption {i}\t{server}/together\n" for i in range(80)))
    program = (
        "import resource, sys; from ffprep.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "main(sys.argv[1:])"
    )
    command = ["download", "cc3m", "--index", str(index), "--out", str(tmp_path / "out"), "--allow-private"]
    command += ["--connections", "80", "--per-host", "80", "--workers", "1", "--retries", "0", "--quiet"]
    subprocess.run([sys.executable, "-c", program, *command], timeout=60, check=True)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["ok"] == 80


@pytest.mark.parametrize("when", [1, 9, 20])
def test_a_killed_process_ends_the_download_and_the_same_command_goes_on(
    server: str, tmp_path: Path, started: list[subprocess.Popen[bytes]], when: int
) -> None:
    options = DownloadOptions(shard_size=4, connections=4, workers=2, fetch=LOCAL)

    def kill(progress: DownloadProgress) -> None:
        if progress.done >= when:
            started[1].send_signal(signal.SIGKILL)

    with pytest.raises(FfprepError, match=r"killed by SIGKILL.*the same command goes on"):
        download(mixed(server, 60), tmp_path / "killed", options, on_progress=kill)
    assert not list((tmp_path / "killed").glob("*.partial"))
    assert not (tmp_path / "killed" / "manifest.jsonl").exists()
    download(mixed(server, 60), tmp_path / "killed", options)
    download(mixed(server, 60), tmp_path / "whole", options)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_by_the_process_that_meets_it(
    server: str, tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(shards.ShardBuffer, "file_of", lambda buffer, writer: full.fileno())
        with pytest.raises(OSError, match="No space left"):
            download(rows(server, ["/ok/1", "/ok/2"]), tmp_path / "out", DownloadOptions(connections=2, fetch=LOCAL))
    monkeypatch.undo()


def test_a_shard_that_cannot_be_written_ends_the_download(
    server: str, tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, number: int, buffer: shards.ShardBuffer) -> None:
        raise OSError(28, "No space left on device", str(tar_path(folder, number)))

    monkeypatch.setattr(shards, "write_shard", fail)
    options = DownloadOptions(shard_size=4, connections=4, workers=2, fetch=LOCAL)
    with pytest.raises(OSError, match=r"No space left.*\.tar"):
        download(mixed(server, 60), tmp_path / "out", options)


def test_an_exception_of_the_caller_leaves_no_process(
    server: str, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    def fail(progress: DownloadProgress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        download(
            rows(server, ["/ok/1", "/hang"]), tmp_path / "out", DownloadOptions(connections=4, fetch=LOCAL), False, fail
        )


def test_one_download_at_a_time_in_a_folder(server: str, tmp_path: Path) -> None:
    options = DownloadOptions(shard_size=2, connections=2, fetch=LOCAL)
    refused: list[str] = []

    def another(progress: DownloadProgress) -> None:
        with pytest.raises(OptionError, match="another process is writing") as error:
            download([], tmp_path / "out", options)
        refused.append(str(error.value))

    download(rows(server, ["/ok/1", "/ok/2"]), tmp_path / "out", options, on_progress=another)
    assert refused
    download(rows(server, ["/ok/1", "/ok/2"]), tmp_path / "out", options)


def test_a_program_that_cannot_start_says_how_it_ended(
    server: str, tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_processes, "_PROGRAM", "raise SystemExit(3)")
    with pytest.raises(FfprepError, match="exit status 3"):
        download(rows(server, ["/ok/1"]), tmp_path / "out", DownloadOptions(connections=1, fetch=LOCAL))


INTERRUPTED = """
import signal, sys
from pathlib import Path
from ffprep.cli import main
from ffprep.download import downloader

taken = downloader._Downloader._take

def take(self, *arguments):
    taken(self, *arguments)
    if self.done >= 12:
        signal.raise_signal(signal.SIGINT)

downloader._Downloader._take = take
signal.signal(signal.SIGINT, signal.default_int_handler)
main(sys.argv[1:])
"""


def test_interrupted_it_says_so_and_goes_on(server: str, tmp_path: Path) -> None:
    index = tmp_path / "index.tsv"
    index.write_text("".join(f"{row.caption}\t{row.url}\n" for row in mixed(server, 60)))
    command = ["download", "cc3m", "--index", str(index), "--shard-size", "4", "--connections", "4", "--allow-private"]
    command += ["--quiet", "--retries", "0"]
    there = [*command, "--out", str(tmp_path / "stopped")]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *there], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 130
    assert "interrupted after" in done.stderr and "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr
    for folder in ("stopped", "whole"):
        subprocess.run(
            [sys.executable, "-m", "ffprep", *command, "--out", str(tmp_path / folder)], timeout=60, check=True
        )
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_a_process_ends_with_the_one_that_orders(server: str, tmp_path: Path) -> None:
    """Killed, the downloading program cannot see to its processes; they find their pipe closed."""
    index = tmp_path / "index.tsv"
    index.write_text(f"a caption\t{server}/hang\n")
    program = (
        "import os, signal; from ffprep.download import worker_processes; from ffprep.cli import main\n"
        "give = worker_processes._WorkerProcess.give\n"
        "def killed(self, rows):\n"
        "    give(self, rows)\n"
        "    print(self._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "worker_processes._WorkerProcess.give = killed\n"
        f"main(['download', 'cc3m', '--index', {str(index)!r}, '--out', {str(tmp_path / 'out')!r}, '--allow-private'])"
    )
    # The processes inherit the standard output: it ends when the last of them has.
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout)


@pytest.mark.parametrize("damage", ["cut", "emptied", "another"])
def test_a_damaged_shard_is_named_when_it_is_read_again(server: str, tmp_path: Path, damage: str) -> None:
    options = DownloadOptions(limit=3, shard_size=8, connections=2, workers=1, fetch=LOCAL)
    download(rows(server, [f"/ok/{i}" for i in range(8)]), tmp_path, options)
    path, mark = tar_path(tmp_path, 0), manifest_path(tmp_path, 0)
    if damage == "another":
        mark.write_text(mark.read_text().replace('"bytes": ', '"bytes": 1'))
    else:
        path.write_bytes(path.read_bytes()[:700] if damage == "cut" else bytes(10240))
    with pytest.raises(SourceError, match=r"00000\.tar.*delete the shard"):
        download(rows(server, [f"/ok/{i}" for i in range(8)]), tmp_path, replace(options, limit=2))
    assert Handler.hits

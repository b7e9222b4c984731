"""Downloads by a Ray cluster give the folder that a local one gives: with limits, retries, nodes lost and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from local_server import LOCAL, Handler, contents, rows
from small_cluster import small_cluster

from ffprep.cli import main
from ffprep.download import shards
from ffprep.download.clusters.shards import (
    FOLDER,
    FetchJob,
    FetchPart,
    download_on_cluster,
    fetch_part,
    tasks_at_a_time,
)
from ffprep.download.downloader import DownloadProgress, download
from ffprep.download.settings import DownloadOptions
from ffprep.download.url_index import IndexRow
from ffprep.errors import FfprepError, OptionError

ray = pytest.importorskip("ray")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

OPTIONS = DownloadOptions(shard_size=4, connections=4, fetch=LOCAL)
PATHS = [f"/ok/{number}" if number % 4 else "/status/410" for number in range(30)]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with small_cluster(ray):
        yield


@pytest.mark.parametrize("bounds", [{}, {"limit": 9}, {"limit": 1}, {"limit": 100}, {"max_bytes": 4000}])
def test_the_folder_is_that_of_a_local_download(server: str, tmp_path: Path, bounds: dict[str, int]) -> None:
    options = replace(OPTIONS, **bounds)  # type: ignore[arg-type]
    seen: list[tuple[int, int]] = []

    def note(counts: DownloadProgress) -> None:
        seen.append((counts.done, counts.ok))

    local = download(rows(server, PATHS), tmp_path / "local", options)
    report = download_on_cluster(rows(server, PATHS), tmp_path / "ray", options, on_progress=note, expected=30)
    assert report == local
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert seen == sorted(seen) and seen[-1][1] >= report["ok"]


def test_failures_are_tried_again_and_the_rest_is_kept(server: str, tmp_path: Path) -> None:
    paths = [f"/once/503/{number}" if number in (1, 9) else f"/ok/{number}" for number in range(14)]
    options = replace(OPTIONS, fetch=replace(LOCAL, retries=0))
    first = download_on_cluster(rows(server, paths), tmp_path / "ray", options)
    assert (first["ok"], first["causes"]) == (12, {"http_503": 2})
    hits = sum(Handler.hits.values())
    assert download_on_cluster(rows(server, paths), tmp_path / "ray", options) == first
    assert sum(Handler.hits.values()) == hits
    again = download_on_cluster(rows(server, paths), tmp_path / "ray", options, retry_failed=True)
    assert again["ok"] == 14 and sum(Handler.hits.values()) == hits + 2
    download(rows(server, paths), tmp_path / "local", options)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_a_process_that_dies_costs_its_part_only(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    died = tmp_path / "died"

    def deadly(job: FetchJob, part: FetchPart) -> tuple[int, str]:
        found = fetch_part(job, part)
        if part.number == 2 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    monkeypatch.setattr("ffprep.download.clusters.shards.fetch_part", deadly)
    download_on_cluster(rows(server, PATHS), tmp_path / "ray", OPTIONS)
    assert died.exists()
    download(rows(server, PATHS), tmp_path / "local", OPTIONS)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_complete_shards_of_a_killed_download_are_kept(server: str, tmp_path: Path) -> None:
    """By either engine; of shards without an image it is not known whether the network failed."""
    download(rows(server, PATHS), tmp_path / "local", OPTIONS)
    for number, fetch in enumerate((download, download_on_cluster)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        shards.check_settings(folder, OPTIONS)
        own = folder / FOLDER / "0-aa"
        own.mkdir(parents=True)
        for place in (shards.tar_path, shards.manifest_path):
            place(own, 3).write_bytes(place(tmp_path / "local", 3).read_bytes())
        refused = [shards.Outcome(n, f"{server}{PATHS[n]}", f"caption {n}", "dns") for n in range(16, 20)]
        shards.tar_path(own, 4).touch()
        shards.write_lines(shards.manifest_path(own, 4), refused)
        Handler.hits.clear()
        fetch(rows(server, PATHS), folder, OPTIONS)
        asked = {path for path in PATHS if path in Handler.hits}
        assert asked == set(PATHS) - {f"/ok/{n}" for n in (13, 14, 15)}
        assert contents(folder) == contents(tmp_path / "local")


def test_a_network_that_answers_nothing_is_one_error(tmp_path: Path) -> None:
    dead = [IndexRow(number, f"http://no-such-host-{number}.invalid/x", "c") for number in range(6)]
    with pytest.raises(FfprepError, match="nothing could be reached: all 6 rows at 6 hosts failed"):
        download_on_cluster(dead, tmp_path / "ray", replace(OPTIONS, fetch=replace(LOCAL, retries=0)))
    assert [path.name for path in (tmp_path / "ray").iterdir()] == ["download.json"]


def test_a_task_is_small_and_rows_are_its_own_object(server: str, tmp_path: Path) -> None:
    from ffprep.common.workers.cluster import Tasks

    tasks = Tasks(ray, fetch_part, FetchJob(tmp_path, OPTIONS, False), None, large=True)
    part = FetchPart(0, rows(server, ["/ok/1"] * 16_000), [])
    assert len(ray.cloudpickle.dumps(part)) > 1 << 20
    assert len(ray.cloudpickle.dumps(tasks.arguments(part))) < 1 << 12


@pytest.mark.parametrize(
    ("options", "processors", "wanted"),
    [
        (DownloadOptions(), 4.0, (8, 32, 4)),
        (DownloadOptions(workers=3), 4.0, (3, 85, 10)),
        (DownloadOptions(), 1000.0, (32, 8, 1)),
        (DownloadOptions(connections=4), 8.0, (4, 1, 1)),
        (DownloadOptions(limit=7, max_bytes=9), 0.5, (1, 256, 32)),
    ],
)
def test_tasks_share_the_connections(options: DownloadOptions, processors: float, wanted: tuple[int, int, int]) -> None:
    most, own = tasks_at_a_time(options, processors)
    assert (most, own.connections, own.per_host) == wanted
    assert most * own.connections <= options.connections and most * own.per_host <= options.per_host
    assert (own.workers, own.limit, own.max_bytes) == (1, None, None)
    with pytest.raises(OptionError, match="at least 1"):
        tasks_at_a_time(replace(options, per_host=0), processors)


def test_the_command(server: str, tmp_path: Path) -> None:
    index = tmp_path / "index.tsv"
    index.write_text("".join(f"caption {n}\t{server}{path}\n" for n, path in enumerate(PATHS)))
    common = ["download", "cc3m", "--index", str(index), "--shard-size", "4", "--allow-private", "--quiet"]
    for engine in ("local", "ray"):
        done = CliRunner().invoke(main, [*common, "--out", str(tmp_path / engine), "--engine", engine])
        assert done.exit_code == 0, done.output
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert json.loads((tmp_path / "ray" / "report.json").read_text())["ok"] == 22


def test_a_dead_address_and_one_without_a_cluster(tmp_path: Path) -> None:
    index = tmp_path / "index.tsv"
    index.write_text("a caption\thttp://127.0.0.1:1/x\n")
    command = [sys.executable, "-m", "ffprep", "download", "cc3m", "--index", str(index), "--out", str(tmp_path / "o")]
    for options, wanted in (
        (["--engine", "ray", "--address", "127.0.0.1:1"], "the cluster at 127.0.0.1:1 does not answer"),
        (["--address", "auto"], "add --engine ray"),
    ):
        done: Any = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
        assert done.returncode in (1, 2) and wanted in done.stderr and len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "o").exists()

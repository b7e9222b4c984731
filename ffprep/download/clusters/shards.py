"""A download whose shards are fetched by the nodes of a Ray cluster.

A task fetches some consecutive shards into a folder of its own within the download's folder, as a download by itself
would. The command reads their manifests, so it counts towards limits and judges the network in the order of the index,
and gives the shards their names. It hands out the rows of a task as an object of the cluster: no node reads the index.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ffprep.common.files.replacing import TEMPORARY, sync_folder
from ffprep.common.workers.cluster import Places, Tasks, await_processors, connected
from ffprep.common.workers.cpus import usable_cpus
from ffprep.download import shards
from ffprep.download.downloader import (
    DownloadProgress,
    by_shard,
    drop_rows_after,
    fetch_rows,
    interrupted,
    known_outcomes,
    opened,
    write_report,
)
from ffprep.download.limit_tracker import LimitTracker
from ffprep.download.network_check import NetworkCheck
from ffprep.download.settings import DownloadOptions
from ffprep.download.shards import Outcome
from ffprep.download.url_index import IndexRow
from ffprep.errors import FfprepError, OptionError

FOLDER = f"ray{TEMPORARY}"
"""Where the tasks write, within the download's folder."""
MOST_SHARDS = 16
"""A task fetches so many shards, unless the index is small: then there are `FEWEST_TASKS` tasks."""
FEWEST_TASKS = 64
PROCESSORS = 0.5
"""How much of a processor a task takes, since it waits for slow servers at its end."""


@dataclass(frozen=True)
class FetchJob:
    """What the tasks of a download have in common.

    Attributes
    ----------
    out : Path
        The download's folder.
    options : DownloadOptions
        Those of one task.
    retry_failed : bool
    """

    out: Path
    options: DownloadOptions
    retry_failed: bool


@dataclass(frozen=True)
class FetchPart:
    """A task.

    Attributes
    ----------
    number : int
    rows : list of IndexRow
        All rows of its shards.
    again : list of int
        Shards that are complete, of which some rows are to be tried again.
    """

    number: int
    rows: list[IndexRow]
    again: list[int]


def download_on_cluster(
    rows: Iterable[IndexRow],
    folder: Path,
    options: DownloadOptions,
    retry_failed: bool = False,
    on_progress: Callable[[DownloadProgress], None] | None = None,
    *,
    address: str | None = None,
    expected: int = 0,
    restart: bool = False,
) -> dict[str, Any]:
    """Fetch images by the tasks of a cluster, into the same shards as `download`.

    Parameters
    ----------
    rows, folder, options, retry_failed, on_progress, restart
        As for `download`; but ``options.workers`` are tasks at a time, by default two for each processor that the
        cluster has at the beginning. They share the connections.
    address : str, optional
        As in `connected`.
    expected : int
        About how many rows there are, by which small indexes are divided among more tasks.

    Returns
    -------
    dict
        As from `download`.

    Raises
    ------
    FfprepError
        As from `download`; no cluster answers, or a node lacks something.
    """
    with connected(address, usable_cpus()) as ray, opened(folder, options, restart=restart):
        await_processors(ray)
        per_task = max(1, min(MOST_SHARDS, expected // options.shard_size // FEWEST_TASKS))
        running = _Download(folder.absolute(), options, retry_failed, on_progress, per_task)
        try:
            running.run(ray, iter(rows))
        except KeyboardInterrupt:
            raise interrupted(running.progress.done) from None
        return write_report(folder)


class _Download:
    """State of one download: the shards that were given to tasks, and those whose outcomes may be the network's."""

    def __init__(
        self,
        folder: Path,
        options: DownloadOptions,
        retry_failed: bool,
        on_progress: Callable[[DownloadProgress], None] | None,
        per_task: int,
    ) -> None:
        self._folder = folder
        self._staged = folder / FOLDER
        self._options = options
        self._retry_failed = retry_failed
        self._on_progress = on_progress
        self._per_task = per_task
        self._limits = LimitTracker(options.limit, options.max_bytes)
        self._network = NetworkCheck()
        self._missing: dict[int, dict[int, set[int]]] = {}
        self._complete: set[int] = set()
        self._held: list[tuple[Path, list[int]]] = []
        self.progress = DownloadProgress()

    def run(self, ray: Any, rows: Iterator[IndexRow]) -> None:
        """Have all parts fetched, or those up to a limit."""
        self._complete = set(shards.complete_shards(self._folder))
        fresh = not self._complete
        most, own = tasks_at_a_time(self._options, ray.cluster_resources().get("CPU", 1.0))
        token = self._folder / shards.SETTINGS
        places = Places(str(self._folder), token, token.read_text("utf-8"))
        self._staged.mkdir(exist_ok=True)
        try:
            job = FetchJob(self._folder, own, self._retry_failed)
            tasks = Tasks(ray, fetch_part, job, places, processors=PROCESSORS, large=True)
            tasks.check_nodes()
            results = tasks.results(self._parts(rows), _name, most)
            with contextlib.closing(results):
                for number, name in results:
                    self._take(number, self._staged / name)
                    if self._limits.reached:
                        break
            self._network.settle(fresh and not self._limits.reached)
        finally:
            if self._network.undecided:  # nothing of it may be recorded
                shards.remove_folder(self._staged)
            else:
                self._name_shards()
                shards.adopt(self._folder, self._staged)
        if self._limits.last is not None:
            drop_rows_after(self._folder, self._options, self._limits.last)

    def _parts(self, rows: Iterator[IndexRow]) -> Iterator[FetchPart]:
        """Cut the index into parts, leaving out shards that are complete."""
        number, part = 0, FetchPart(0, [], [])
        for shard, shard_rows in by_shard(rows, self._options.shard_size):
            known: dict[int, Outcome] = {}
            if shard in self._complete:
                known = known_outcomes(self._folder, shard, shard_rows, self._options, self._retry_failed)
            self._limits.expect(shard, [row.number for row in shard_rows], known)
            if self._limits.reached:
                return
            missing = {row.number for row in shard_rows} - known.keys()
            if not missing:
                continue
            self._missing.setdefault(number, {})[shard] = missing
            part.rows.extend(shard_rows)
            if shard in self._complete:
                part.again.append(shard)
            if len(self._missing[number]) == self._per_task:
                yield part
                number, part = number + 1, FetchPart(number + 1, [], [])
        if part.rows:
            yield part

    def _take(self, number: int, own: Path) -> None:
        """Count what a task fetched, and name its shards unless its outcomes may be the fault of the network."""
        missing = self._missing.pop(number)
        for shard, wanted in missing.items():
            for outcome in shards.read_lines(shards.manifest_path(own, shard)):
                if outcome.id not in wanted:
                    continue
                self._limits.add(shard, outcome)
                if outcome.ok or shard not in self._complete:
                    self._network.add(outcome.status, outcome.url)
                self.progress.done += 1
                self.progress.ok += outcome.ok
                self.progress.bytes += outcome.bytes
        self._held.append((own, list(missing)))
        if not self._network.undecided:
            self._name_shards()
        if self._on_progress is not None:
            self._on_progress(self.progress)

    def _name_shards(self) -> None:
        while self._held:
            own, found = self._held.pop()
            for shard in found:
                shards.move_shard(own, self._folder, shard)
            shutil.rmtree(own, ignore_errors=True)
            sync_folder(self._folder)


def _name(part: FetchPart) -> str:
    return f"rows {part.rows[0].number:,} to {part.rows[-1].number:,}"


def tasks_at_a_time(options: DownloadOptions, processors: float) -> tuple[int, DownloadOptions]:
    """Return how many tasks run at a time, and the options of each: together they keep to the connections asked for.

    Parameters
    ----------
    options : DownloadOptions
    processors : float
        Of the cluster.

    Raises
    ------
    OptionError
    """
    most = int(processors / PROCESSORS) if options.workers is None else options.workers
    most = min(most, options.connections, options.per_host)
    if most < 1:
        raise OptionError("workers, connections and per_host must be at least 1")
    connections, per_host = options.connections // most, options.per_host // most
    own = replace(
        options, workers=1, connections=connections, per_host=min(per_host, connections), limit=None, max_bytes=None
    )
    return most, own


def fetch_part(job: FetchJob, part: FetchPart) -> tuple[int, str]:
    """Fetch some shards, in a task, into a folder of its own; return the part's number and the folder's name.

    A task that runs twice, because its node lost its connection but lives on, has two folders.
    """
    own = job.out / FOLDER / f"{part.number}-{secrets.token_hex(8)}"
    own.mkdir()
    for number in part.again:
        for place in (shards.tar_path, shards.manifest_path):
            try:
                os.link(place(job.out, number), place(own, number))
            except OSError:
                shutil.copyfile(place(job.out, number), place(own, number))
    try:
        fetch_rows(part.rows, own, job.options, job.retry_failed)
    except FfprepError as error:
        raise FfprepError(f"node {socket.gethostname()}: {error}") from error
    return part.number, own.name

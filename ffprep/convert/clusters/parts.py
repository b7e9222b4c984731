"""A conversion whose parts are written by the nodes of a Ray cluster.

How many parts there are follows from the source alone, so nodes may come and go. They lie in a folder beside the file:
in ``X.beton.ray``, in a folder of a random name. It has another name after ``--restart``, so that what still runs for
an earlier command cannot write among them.

Nodes write payloads to their places in one file (`placed`), to which the command adds the tables (`assembling`). Where
samples share payloads, and with fields of a user's own, the parts are files as ``--part`` makes them, and the command
merges them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ffprep.beton.merge import merge
from ffprep.beton.parts import Part
from ffprep.beton.reader import Reader
from ffprep.beton.sections import field_summary
from ffprep.common.files.locking import LockedError, open_locked
from ffprep.common.files.outputs import check_output
from ffprep.common.workers.cluster import Places, Tasks, and_within, connected
from ffprep.common.workers.cpus import usable_cpus
from ffprep.common.workers.notices import drop as drop_notices
from ffprep.convert.clusters.assembling import Gathered, assemble, make_room
from ffprep.convert.clusters.jobs import PartJob, task_report
from ffprep.convert.clusters.placed import PartsInOrder, Task, lost, number_of, write_placed
from ffprep.convert.clusters.plans import PLAN, Plan, plan_in
from ffprep.convert.parts_folder import drop_left, folder_of, is_left, parts_folder
from ffprep.convert.progress import ProgressDisplay
from ffprep.convert.report import FAILURES_IN_A_ROW, ConversionReport
from ffprep.errors import ConversionError, OptionError
from ffprep.fields.base import custom_fields_of
from ffprep.sources.base import Source

SUFFIX = ".ray"
"""What the folder of parts adds to the file's name."""
ROUNDS = 3
"""How often parts are written again that a process which was lost and lives on wrote after all."""
LOCKED_SECONDS = 20.0
"""How long the process that wrote a part on a node that was lost may live on."""


class _SharedError(Exception):
    """Samples share payloads, which was not known before."""


def convert_on_cluster(
    convert: Callable[..., ConversionReport],
    write: Callable[..., None],
    source: Source,
    out: Path,
    total: int,
    identity: Mapping[str, Any],
    *,
    address: str | None,
    most: int | None,
    limit: int | None,
    restart: bool,
    overwrite: bool,
    on_error: str,
    inputs: Sequence[str | os.PathLike[str]],
    configuration: Mapping[str, Any] | None,
    progress: Callable[[str, int, int], ProgressDisplay],
) -> ConversionReport:
    """Convert a source by the tasks of a cluster.

    Parameters
    ----------
    convert : callable
        `ffprep.convert.conversion.convert`, which makes each part that is a file.
    write : callable
        `ffprep.convert.conversion.write_results`.
    source, out, address, limit, restart, overwrite, on_error, inputs, configuration, progress
        As in `convert`.
    total : int
        Samples to read.
    identity : mapping
        The file's ``manifest`` and ``page_size``.
    most : int, optional
        Tasks at a time.
    """
    begun = time.perf_counter()
    check_output(out, overwrite=overwrite)
    folder = folder_of(out, SUFFIX)
    partial = out.with_name(out.name + ".partial")
    if partial.exists() and not (folder / PLAN).exists() and not restart:
        raise OptionError(
            f"{partial}: an unfinished conversion by --engine local; go on with that, or --restart drops it and begins "
            "anew"
        )
    chosen = {**identity, "samples": total, "fields": field_summary(source.fields)}
    with (
        connected(address, most or usable_cpus()) as ray,
        parts_folder(out, chosen, restart=restart, suffix=SUFFIX),
    ):
        if restart:
            _drop_unfinished(partial)
        plan = plan_in(folder, source, total)
        options = {
            "limit": limit,
            "on_error": on_error,
            "page_size": identity["page_size"],
            "inputs": tuple(inputs),
            "configuration": configuration,
        }
        job = PartJob(convert, source, folder.absolute(), out.name, plan.parts, options, total)
        whole = Whole(ray, most, progress, out, identity["manifest"], restart=restart, overwrite=overwrite)
        try:
            state, reports = whole.made(_placed_in(job, plan, write))
        except _SharedError:
            shutil.rmtree(job.folder / plan.folder)
            plan = replace(plan, folder=secrets.token_hex(8), placed=False).write(folder)
            state, reports = whole.made(_placed_in(job, plan, write))
    converted = sum(report["converted"] for report in reports)
    workers = max(report["processors"] for report in reports)
    return ConversionReport(state, seconds=time.perf_counter() - begun, converted=converted, workers=workers)


def _drop_unfinished(partial: Path) -> None:
    """Drop what a conversion without a cluster left, and what a merge of parts left."""
    if partial.exists():
        descriptor, held = open_locked(partial)
        partial.unlink(missing_ok=True)
        partial.with_suffix(".journal").unlink(missing_ok=True)
        held.release()
        os.close(descriptor)


def _placed_in(job: PartJob, plan: Plan, write: Callable[..., None]) -> PartJob:
    """The job in the folder of a plan, which is there then."""
    inside = job.folder / plan.folder
    inside.mkdir(exist_ok=True)
    return replace(job, folder=inside, write=write if plan.placed else None)


class Whole:
    """Makes the file of a cluster's parts.

    Parameters
    ----------
    ray : module
    most, progress, out, restart, overwrite
        As in `convert_on_cluster`.
    manifest : mapping
        The file's.
    """

    def __init__(
        self,
        ray: Any,
        most: int | None,
        progress: Callable[[str, int, int], ProgressDisplay],
        out: Path,
        manifest: Mapping[str, Any],
        *,
        restart: bool,
        overwrite: bool,
    ) -> None:
        self._ray, self._most, self._progress, self._out = ray, most, progress, out
        self._manifest, self._restart, self._overwrite = manifest, restart, overwrite

    def made(self, job: PartJob) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Let the cluster write all parts, and make the file of them; return its report, and those of the parts."""
        if job.write is None:
            return self._merged(job)
        make_room(job)
        order = PartsInOrder(job)
        try:
            reports = _written(self._ray, job, self._most, self._progress, self._out.name, order)
            for _ in range(ROUNDS):
                gathered = Gathered(job)
                if not gathered.missing:
                    break
                _write_again(_tasks(self._ray, job), job, self._most, gathered.missing)
        finally:
            drop_notices(job.folder.name)
        if gathered.missing:
            raise lost(job, number_of(gathered.missing[0]))
        return assemble(job, gathered, self._out, self._manifest, job.options["configuration"]), reports

    def _merged(self, job: PartJob) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        reports = _written(self._ray, job, self._most, self._progress, self._out.name, None)
        custom = custom_fields_of(job.source.fields)
        merge(
            [job.path(number) for number in range(job.count)],
            self._out,
            custom_fields=custom,
            page_size=job.page_size,
            restart=self._restart,
            overwrite=self._overwrite,
        )
        with Reader(self._out, custom) as reader:
            return dict((reader.manifest or {}).get("report") or {}), reports


def refuse_parts(out: Path, *, restart: bool) -> None:
    """Refuse a file of which a cluster wrote parts already, for a conversion without it; or drop them.

    Raises
    ------
    OptionError
    """
    folder = folder_of(out, SUFFIX)
    if not _is_left(folder):
        return
    if not restart and (folder / PLAN).exists():
        raise OptionError(
            f"{folder}: parts of an unfinished conversion by --engine ray; go on with that, or --restart drops them "
            "and begins anew"
        )
    drop_left(folder)


def drop_parts(out: Path) -> None:
    """Remove the parts that a command which was killed at its very end left beside the finished file."""
    folder = folder_of(out, SUFFIX)
    if _is_left(folder) and not out.with_name(out.name + ".partial").exists():
        with contextlib.suppress(LockedError, OSError):  # another command makes the file anew
            drop_left(folder)


def _is_left(folder: Path) -> bool:
    return (folder / PLAN).exists() or is_left(folder)


def _tasks(ray: Any, job: PartJob) -> Tasks:
    plan = job.folder.parent / PLAN
    read = and_within(Path(path) for path in job.options["inputs"])
    places = Places(os.getcwd(), plan, plan.read_text("utf-8"), read)  # noqa: PTH109
    return Tasks(ray, write_part if job.write is None else write_placed, job, places)


def _name(job: PartJob, task: Task) -> str:
    samples = Part(number_of(task), job.count).samples(job.total)
    return f"{job.source.name}: samples {samples.start:,} to {samples.stop - 1:,}"


def _write_again(tasks: Tasks, job: PartJob, most: int | None, parts: Iterable[Task]) -> None:
    """Let the cluster write some parts again, to their places."""
    with contextlib.closing(tasks.results(parts, partial(_name, job), most)) as results:
        for _ in results:
            pass


def _written(
    ray: Any,
    job: PartJob,
    most: int | None,
    progress: Callable[[str, int, int], ProgressDisplay],
    label: str,
    order: PartsInOrder | None,
) -> list[dict[str, Any]]:
    """Let the cluster write all parts; return a report of each."""
    total = job.total
    reports: list[dict[str, Any]] = []
    refused = _RefusedInARow(job.source.name)
    done = {"read": 0, "bytes_in": 0, "refused": 0}

    try:
        with contextlib.ExitStack() as stack:
            shown = stack.enter_context(contextlib.closing(progress(label, total, 0)))
            tasks = _tasks(ray, job)
            tasks.check_nodes()
            results = tasks.results(range(job.count) if order is None else order.tasks(), partial(_name, job), most)
            for report in stack.enter_context(contextlib.closing(results)):
                if "shared" in report:
                    raise _SharedError
                if order is not None and not order.add(report):
                    continue
                reports.append({**report, "processors": tasks.processors})
                for key in done:
                    done[key] += report[key]
                shown.update(done["read"], done["bytes_in"], done["refused"])
                refused.add(report)
            if order is not None:
                _write_again(tasks, job, most, order.again())
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted after {done['read']:,} of {total:,} samples; the same command goes on from there"
        ) from None
    return reports


class _RefusedInARow:
    """Counts refused samples in a row from part to part: each part by itself counts its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: dict[int, dict[str, int]] = {}
        self._number = self._count = 0

    def add(self, report: dict[str, int]) -> None:
        """Take the report of a part into account; parts may come in any order.

        Raises
        ------
        ConversionError
            So many were refused in a row that the source is gone.
        """
        self._waiting[report["number"]] = report
        while (next_one := self._waiting.pop(self._number, None)) is not None:
            self._number += 1
            self._count += next_one["refused_first"]
            if self._count >= FAILURES_IN_A_ROW:
                raise ConversionError(
                    f"{self._name}: {self._count:,} samples in a row cannot be converted, up to one in part "
                    f"{next_one['number']:,}, so the source seems to be gone; --on-error raise says why"
                )
            if next_one["refused"] < next_one["read"]:
                self._count = next_one["refused_last"]


def write_part(job: PartJob, number: int) -> dict[str, int]:
    """Write a part, in a task; go on with what a process that was lost left of it.

    If that process lives on for long, as on a node that only lost its connection, the part is written under another
    name, and gets its own in the end: whichever comes last, the bytes are the same.
    """
    path, whole = job.path(number), job.folder / job.name
    until = time.monotonic() + LOCKED_SECONDS
    part = Part(number, job.count)
    while True:
        try:
            report = job.convert(job.source, whole, workers=1, part=part, **job.options)
            break
        except LockedError:
            if time.monotonic() < until:
                time.sleep(0.2)
                continue
        own = job.folder / secrets.token_hex(8)
        own.mkdir()
        report = job.convert(job.source, own / job.name, workers=1, part=part, **job.options)
        part.path(own / job.name).replace(path)
        break
    return task_report(number, report)

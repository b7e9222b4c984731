"""A conversion whose parts are written by the nodes of a Ray cluster, and then merged by the driver.

The parts are those of ``--part I/N``. How many there are follows from the source alone, so nodes may come and go. They
lie in a folder beside the file: in ``X.beton.ray``, in a folder of a random name. It has another name after
``--restart``, so that what still runs for an earlier command cannot write among them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffprep.beton.merge import merge
from ffprep.beton.parts import Part
from ffprep.beton.reader import Reader
from ffprep.beton.sections import canonical_json, field_summary
from ffprep.common.files.locking import LockedError
from ffprep.common.files.outputs import check_output
from ffprep.common.files.replacing import naming, write_file
from ffprep.common.workers.cluster import Places, Tasks, connected
from ffprep.common.workers.cpus import usable_cpus
from ffprep.convert.parts_folder import drop_left, folder_of, parts_folder
from ffprep.convert.progress import ProgressDisplay
from ffprep.convert.report import FAILURES_IN_A_ROW, ConversionReport
from ffprep.convert.units import WorkUnit, encode_unit
from ffprep.errors import ConversionError, OptionError
from ffprep.fields.base import CUSTOM_TYPE_ID
from ffprep.sources.base import Source

SUFFIX = ".ray"
"""What the folder of parts adds to the file's name."""
PART_BYTES = 1 << 27
FEWEST_PARTS, FEWEST_SAMPLES = 64, 64
"""Small data sets have so many parts, as long as each has so many samples."""
MOST_PARTS = 10_000
TRIED = 16
"""Samples that are encoded to learn how large they are."""
LOCKED_SECONDS = 20.0
"""How long the process that wrote a part on a node that was lost may live on."""

_PLAN = "parts.json"


@dataclass(frozen=True)
class PartJob:
    """What the tasks of a conversion have in common.

    Attributes
    ----------
    convert : callable
        `convert`.
    source : Source
    folder : Path
        Where the parts lie.
    name : str
        The whole's name.
    count : int
        Number of parts.
    options : dict
        Arguments of `convert` besides.
    """

    convert: Callable[..., ConversionReport]
    source: Source
    folder: Path
    name: str
    count: int
    options: Mapping[str, Any]

    def path(self, number: int) -> Path:
        """The file of a part."""
        return Part(number, self.count).path(self.folder / self.name)


def convert_on_cluster(
    convert: Callable[..., ConversionReport],
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
        `ffprep.convert.conversion.convert`, which makes each part.
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
    if partial.exists() and not (folder / _PLAN).exists() and not restart:
        raise OptionError(
            f"{partial}: an unfinished conversion by --engine local; go on with that, or --restart drops it and begins "
            "anew"
        )
    chosen = {**identity, "samples": total, "fields": field_summary(source.fields)}
    with (
        connected(address, most or usable_cpus()) as ray,
        parts_folder(out, chosen, restart=restart, suffix=SUFFIX),
    ):
        count, token = _plan(folder, source, total)
        inside = folder.absolute() / token
        inside.mkdir(exist_ok=True)
        options = {
            "limit": limit,
            "on_error": on_error,
            "page_size": identity["page_size"],
            "inputs": tuple(inputs),
            "configuration": configuration,
        }
        job = PartJob(convert, source, inside, out.name, count, options)
        reports = _written(ray, job, total, most, progress, out.name)
        merge(
            [job.path(number) for number in range(count)],
            out,
            custom_fields={
                name: type(field) for name, field in source.fields.items() if field.type_id == CUSTOM_TYPE_ID
            },
            page_size=identity["page_size"],
            restart=restart,
            overwrite=overwrite,
        )
    with Reader(out) as reader:
        state = dict((reader.manifest or {}).get("report") or {})
    converted = sum(report["converted"] for report in reports)
    workers = max(report["processors"] for report in reports)
    return ConversionReport(state, seconds=time.perf_counter() - begun, converted=converted, workers=workers)


def refuse_parts(out: Path, *, restart: bool) -> None:
    """Refuse a file of which a cluster wrote parts already, for a conversion without it; or drop them.

    Raises
    ------
    OptionError
    """
    folder = folder_of(out, SUFFIX)
    if not (folder / _PLAN).exists():
        return
    if not restart:
        raise OptionError(
            f"{folder}: parts of an unfinished conversion by --engine ray; go on with that, or --restart drops them "
            "and begins anew"
        )
    drop_left(folder)


def drop_parts(out: Path) -> None:
    """Remove the parts that a command which was killed at its very end left beside the finished file."""
    folder = folder_of(out, SUFFIX)
    if (folder / _PLAN).exists() and not out.with_name(out.name + ".partial").exists():
        with contextlib.suppress(LockedError, OSError):  # another command makes the file anew
            drop_left(folder)


def _plan(folder: Path, source: Source, total: int) -> tuple[int, str]:
    """The number of parts and the name of their folder: as an earlier run chose them, or chosen now."""
    path = folder / _PLAN
    try:
        with naming(path):
            found = json.loads(path.read_bytes())
        if not (1 <= found["parts"] <= MOST_PARTS and re.fullmatch("[0-9a-f]{16}", found["folder"])):
            raise ValueError
        return int(found["parts"]), found["folder"]
    except FileNotFoundError:
        plan = {"parts": number_of_parts(source, total), "folder": secrets.token_hex(8)}
        write_file(path, canonical_json(plan))
        return plan["parts"], plan["folder"]  # type: ignore[return-value]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise OptionError(f"{path}: is damaged; --restart drops what is done and begins anew") from None


def number_of_parts(source: Source, total: int) -> int:
    """Return how many parts a conversion is made in: it depends on the source alone, not on the cluster."""
    chosen = sorted({place * (total - 1) // max(1, TRIED - 1) for place in range(TRIED)})
    sizes = [
        sum(memoryview(value.payload).nbytes for value in result.encoded if value.payload is not None)
        for index in chosen
        for result in encode_unit(source, WorkUnit(index, index + 1))
    ]
    by_size = total * sum(sizes) // max(1, len(sizes)) // PART_BYTES
    return int(max(1, min(max(by_size, min(FEWEST_PARTS, total // FEWEST_SAMPLES)), MOST_PARTS, total)))


def _written(
    ray: Any,
    job: PartJob,
    total: int,
    most: int | None,
    progress: Callable[[str, int, int], ProgressDisplay],
    label: str,
) -> list[dict[str, int]]:
    """Let the cluster write all parts; return a report of each."""
    plan = job.folder.parent / _PLAN
    read = tuple(Path(path) for path in job.options["inputs"])
    places = Places(os.getcwd(), plan, plan.read_text("utf-8"), read)  # noqa: PTH109
    reports: list[dict[str, int]] = []
    refused = _RefusedInARow(job.source.name)
    done = {"read": 0, "bytes_in": 0, "refused": 0}

    def name(number: int) -> str:
        samples = Part(number, job.count).samples(total)
        return f"{job.source.name}: samples {samples.start:,} to {samples.stop - 1:,}"

    try:
        with contextlib.ExitStack() as stack:
            shown = stack.enter_context(contextlib.closing(progress(label, total, 0)))
            tasks = Tasks(ray, write_part, job, places)
            tasks.check_nodes()
            results = tasks.results(range(job.count), name, most)
            for report in stack.enter_context(contextlib.closing(results)):
                reports.append({**report, "processors": int(ray.cluster_resources().get("CPU", 1))})
                for key in done:
                    done[key] += report[key]
                shown.update(done["read"], done["bytes_in"], done["refused"])
                refused.add(report)
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
    facts = report.facts()
    first, last = report.refused_at_ends
    return {
        "number": number,
        "refused_first": first,
        "refused_last": last,
        "read": report.written + report.refused_count,
        "bytes_in": facts["bytes_in"],
        "refused": report.refused_count,
        "converted": report.converted,
    }

"""The tasks that write parts to their places in one file, and the order in which the command lets them."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.beton.parts import Part
from ffprep.common.workers.notices import find, leave
from ffprep.convert.clusters.jobs import PartJob, task_report
from ffprep.convert.clusters.placing import HeldPart, SharedValueError, mapped, own_name
from ffprep.convert.clusters.records import PartRecord, Place, read_record
from ffprep.convert.clusters.streaming import PlacedPayloads, place_part
from ffprep.convert.progress import SilentProgress
from ffprep.convert.report import ConversionReport
from ffprep.convert.resuming import check_unchanged, file_stamps
from ffprep.convert.units import by_threads, units_of
from ffprep.errors import ConversionError
from ffprep.sources.base import Selection

PATIENCE = 0.5
"""How long a task waits to be told where its part begins, as a share of the time that encoding it took.

That is about what it costs to write the part to a file of its own, to read it and to write it again.
"""
_STEP_SECONDS = 0.01

Task = int | tuple[int, Place]
"""The number of a part, alone or with the place where it has to begin."""


def number_of(task: Task) -> int:
    """The number of a task's part."""
    return task if isinstance(task, int) else task[0]


def write_placed(job: PartJob, task: Task) -> dict[str, Any]:
    """Encode a part and write it to its place, in a task; go on with what an earlier one left.

    A process that was lost but lives on may do the same at the same time: it writes the same bytes to the same places,
    or finds that the file has gone.

    Returns
    -------
    dict
        The report for the command; ``{"shared": number}`` if samples share payloads, of which this cannot be done.
    """
    number, begin = (task, None) if isinstance(task, int) else task
    record = read_record(job.record_path(number))
    if record is not None and begin is None:
        _check_unchanged(job, number, record)
    if record is not None and record.begin is not None:
        if begin not in (None, record.begin):
            raise changed(job, number)
        _announce(job, number, record.end)
        return _report(number, record)
    if record is not None and _has_payloads(job, number, record):
        begin = begin or _begin(job, number, 0.0)
        if begin is not None:
            with job.payloads_path(number).open("rb") as file:
                payloads = mapped(file.fileno())
            record = _place(job, number, record, payloads, begin)
        return _report(number, record)
    return _made(job, number, begin)


def _has_payloads(job: PartJob, number: int, record: PartRecord) -> bool:
    try:
        size = job.payloads_path(number).stat().st_size
    except OSError:
        return False
    return size == int(np.maximum(record.sizes, 1).sum())


def _made(job: PartJob, number: int, begin: Place | None) -> dict[str, Any]:
    samples = Part(number, job.count).samples(job.total)
    source = Selection(job.source, samples, {})

    def told() -> PlacedPayloads | None:
        known = begin or _begin(job, number, 0.0)
        return None if known is None else PlacedPayloads(job.whole, job.alignments, known, job.page_size)

    held = HeldPart(source.fields, job.page_size, own_name(job.folder), told)
    try:
        report = ConversionReport(workers=1)
        report.begin_part()
        if left_out := source.left_out:
            report.leave_out(left_out.causes, left_out.rows)
        stamps = file_stamps(map(Path, job.options["inputs"]))
        begun = time.monotonic()
        with contextlib.closing(by_threads(source, units_of(source, 0, len(samples)), 1)) as results:
            assert job.write is not None
            fields = list(source.fields)
            job.write(held, results, report, fields, job.options["on_error"], SilentProgress(), samples.start)
        record = held.record({"report": report.part_facts(), "inputs": stamps})
        if held.placed is not None:
            _announce(job, number, held.end())
            return {**_report(number, _kept(job, number, held.placed.finish(record))), "converted": report.converted}
        if begin is None:
            begin = _begin(job, number, PATIENCE * (time.monotonic() - begun))
        if begin is None or not held.in_memory:
            held.to_file().replace(job.payloads_path(number))
            record.write(job.record_path(number), own_name(job.folder))
        if begin is not None:
            record = _place(job, number, record, held.payloads(), begin)
    except SharedValueError:
        return {"shared": number}
    finally:
        held.close()
    return {**_report(number, record), "converted": report.converted}


def _begin(job: PartJob, number: int, patience: float) -> Place | None:
    """Where a part begins, if the task is told soon enough."""
    if number == 0:
        return job.first_place
    until = time.monotonic() + patience
    while (text := find(job.notice(number))) is None:
        if time.monotonic() >= until:
            return None
        time.sleep(_STEP_SECONDS)
    return Place.parse(text)


def _announce(job: PartJob, number: int, end: Place | None) -> None:
    """Tell the task of the next part where that begins.

    It may have been told already, by a task that was lost, and have written there.
    """
    if end is None:
        return
    told = find(job.notice(number + 1))
    if told not in (None, end.to_text()):
        raise changed(job, number)
    leave(job.notice(number + 1), end.to_text())


def _place(job: PartJob, number: int, record: PartRecord, payloads: memoryview, begin: Place) -> PartRecord:
    with contextlib.closing(PlacedPayloads(job.whole, job.alignments, begin, job.page_size)) as placed:
        _announce(job, number, placed.end_with(record.sizes))
        placed.add(payloads, record.sizes)
        return _kept(job, number, placed.finish(record))


def _kept(job: PartJob, number: int, record: PartRecord) -> PartRecord:
    record.write(job.record_path(number), own_name(job.folder))
    job.payloads_path(number).unlink(missing_ok=True)
    return record


def _check_unchanged(job: PartJob, number: int, record: PartRecord) -> None:
    samples = Part(number, job.count).samples(job.total)
    stamps = file_stamps(map(Path, job.options["inputs"]))
    source = Selection(job.source, samples, {})
    check_unchanged(source, job.record_path(number), record.notes, record.facts["inputs"], stamps, 1)


def _report(number: int, record: PartRecord) -> dict[str, Any]:
    report = ConversionReport(dict(record.facts["report"]))
    return {**task_report(number, report), "converted": 0, "begin": record.begin, "end": record.end}


class PartsInOrder:
    """Which tasks are to be done, so that every part comes to lie where the one before it ends.

    Parameters
    ----------
    job : PartJob
    """

    def __init__(self, job: PartJob) -> None:
        self._job = job
        self._waiting: dict[int, dict[str, Any]] = {}
        self._next = 0
        self._place = job.first_place
        self._again: deque[Task] = deque()

    def tasks(self) -> Iterator[Task]:
        """All parts, and those again that were not written to their places, as soon as these are known."""
        for number in range(self._job.count):
            yield from self.again()
            yield number

    def again(self) -> Iterator[Task]:
        """The parts that have to be written again, as far as that is known."""
        while self._again:
            yield self._again.popleft()

    def add(self, report: dict[str, Any]) -> bool:
        """Take the report of a task into account; parts may come in any order.

        Returns
        -------
        bool
            Whether it is the first of its part.

        Raises
        ------
        ConversionError
            The record of a part has gone, or its samples changed.
        """
        if report["number"] < self._next:
            return False
        self._waiting[report["number"]] = report
        while (found := self._waiting.pop(self._next, None)) is not None:
            begin, end = self._place, found["end"]
            if found["begin"] not in (None, begin):
                raise changed(self._job, self._next)
            if found["begin"] is None:
                record = read_record(self._job.record_path(self._next))
                if record is None:
                    raise lost(self._job, self._next)
                _, end = place_part(record.sizes, self._job.alignments, begin, self._job.page_size)
                self._again.append((self._next, begin))
            self._place = end
            self._next += 1
            leave(self._job.notice(self._next), end.to_text())
        return True


def lost(job: PartJob, number: int) -> ConversionError:
    """Say that a part has gone."""
    return ConversionError(
        f"{job.record_path(number)}: was written, and has gone or is damaged; the same command makes that part again"
    )


def changed(job: PartJob, number: int) -> ConversionError:
    """Say that a part before this one, or this one, had other sizes when it was first encoded.

    Then the wrong bytes of another part may have been written to, so that nothing in the file can be relied on.
    """
    samples = Part(number, job.count).samples(job.total)
    return ConversionError(
        f"{job.source.name}: samples up to {samples.stop - 1:,} changed while they were converted; --restart drops "
        "what is done and begins anew"
    )

"""Making a new file of those samples of a damaged one that are as they were written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton import sections
from ffprep.beton.damage.restored import opened
from ffprep.beton.merge import samples_of
from ffprep.beton.opening.check import bad_extents, bad_metadata
from ffprep.beton.reader import Reader
from ffprep.beton.verify import jpeg_problem
from ffprep.beton.verify.sums import blocks_of, blocks_that_fit, changed_samples, sums_of_fields
from ffprep.beton.writing.conditions import accept_finished, differs_from_finished
from ffprep.beton.writing.writer import Writer
from ffprep.common.files.outputs import check_output, refuse_inputs
from ffprep.common.formatting import one_line
from ffprep.common.workers.cpus import usable_cpus
from ffprep.errors import BetonError, CorruptError, DecodeError
from ffprep.fields import RGBImageField
from ffprep.fields.base import UNKNOWN_SIZE
from ffprep.fields.rgb_image import MODE_JPEG

SHOWN = 20
LISTED = 10000


@dataclass(frozen=True)
class Lost:
    """A sample that the new file does not have: its number and name in the damaged file, and what is wrong with it."""

    sample: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"sample {self.sample}{f' ({self.name})' if self.name else ''}: {self.reason}"


@dataclass
class RepairReport:
    """What `repair` did.

    Attributes
    ----------
    path, out : Path
        The damaged file and the new one.
    kept : int
        Samples of the new file.
    lost : list of Lost
    restored : list of str
        Tables that were damaged and taken from their copy.
    """

    path: Path
    out: Path
    kept: int = 0
    lost: list[Lost] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{one_line(self.out)}: {self.kept:,} samples of {one_line(self.path)}, {len(self.lost):,} lost"]
        lines += [f"  restored from its copy: {what}" for what in self.restored]
        lines += [f"  {one_line(one)}" for one in self.lost[:SHOWN]]
        return "\n".join(lines + ([f"  and {len(self.lost) - SHOWN:,} more"] if len(self.lost) > SHOWN else []))


def repair(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    custom_fields: Mapping[str, type[Any]] | None = None,
    workers: int | None = None,
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> RepairReport:
    """Write the undamaged samples of a file into a new one. The file itself is only read.

    The same call again goes on with what an interrupted one left, and accepts the finished file.

    Parameters
    ----------
    path, out : str or Path
    custom_fields : mapping of name to Field subclass, optional
        As in `Reader`.
    workers : int, optional
        Threads that look for damage; by default one for each processor.
    restart : bool
        Drop what an interrupted repair left, and begin anew.
    overwrite : bool
        Replace a file at `out`. Without it, the finished file of the same repair is accepted.
    progress : callable, optional
        Called with (samples written, samples).

    Raises
    ------
    OptionError
        `out` is the file itself, or another file is there.
    BetonError
        Nothing can be read from the file: its tables are damaged and it has no whole copy of them, or it was cut.
    """
    source, target = Path(path), Path(out)
    refuse_inputs([target], [source])
    report = RepairReport(source, target)
    reader = opened(source, dict(custom_fields or {}), report.restored)
    with ThreadPoolExecutor(workers or usable_cpus(), thread_name_prefix="ffprep-repair") as pool:
        reasons = _damage(reader, pool)
    try:
        names = reader.sample_names()
    except CorruptError:
        names, reader._names = None, (b"", np.empty(0, np.int64))
        report.restored.append("nothing for the samples' names, which are lost")
    report.lost = [Lost(n, names[n] if names else "", reasons[n]) for n in sorted(reasons)]
    kept = [n for n in range(len(reader)) if n not in reasons]
    report.kept = len(kept)
    manifest = _manifest(reader, report, kept)
    if target.exists() and not (overwrite or restart):
        check_output(target, overwrite=True)
        accept_finished(target, differs_from_finished(target, reader.fields, manifest, None))
        return report
    with Writer(
        target, reader.fields, len(kept), manifest=manifest, resume=True, restart=restart, overwrite=overwrite
    ) as writer:
        for name, sample in samples_of(reader, 0, 0, names, kept[writer.num_written :]):
            writer.write(sample, name)
            if progress is not None:
                progress(writer.num_written, len(kept))
    return report


def _manifest(reader: Reader, report: RepairReport, kept: list[int]) -> dict[str, Any]:
    try:
        found = dict(reader.manifest or {})
    except BetonError:
        found = {}
    for own in ("writer", "fields", "samples"):
        found.pop(own, None)
    source = found.get("source")
    blocks = source.get("blocks") if isinstance(source, dict) else None
    if isinstance(source, dict) and isinstance(blocks, dict):
        each, count = int(blocks["per_sample"]), int(blocks["count"])
        there = sum(min(each, count - n * each) for n in kept)
        found["source"] = {**source, "blocks": {**blocks, "count": there}}
    lost = [[one.sample, one.name, one.reason] for one in report.lost[:LISTED]]
    found["repaired"] = {"file": report.path.name, "lost": len(report.lost), "samples": lost}
    return found


# -- damage ------------------------------------------------------------------------------------------------


def _damage(reader: Reader, pool: Executor) -> dict[int, str]:
    """Return what is wrong with each damaged sample. Sets the extents of the fields to what can be used."""
    reasons: dict[int, str] = {}
    for name, kind in reader.fields.items():
        if kind.pointer is None:
            continue
        for sample, complaint in bad_metadata(reader.column(name), kind, reader.head.bounds):
            reasons.setdefault(sample, f"field {name!r} {complaint}")
        offset, size, missing = _extents(reader, name)
        for sample in np.flatnonzero(missing).tolist():
            reasons.setdefault(sample, f"field {name!r}: the allocation table has no size for it inside the file")
        reader._extents[name] = offset, size
    sums = sums_of_fields(reader)
    everything = np.arange(len(reader))
    for name, one in sums.items():
        for changed in changed_samples(reader, one, everything, pool):
            for sample in changed:
                reasons.setdefault(sample, f"field {name!r}: changed since the file was written: its checksum is wrong")
    if not sums:
        for sample, reason in (*_in_bad_blocks(reader, pool), *_not_decoding(reader, pool)):
            reasons.setdefault(sample, reason)
    return reasons


def _extents(reader: Reader, name: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Return offset and size of each payload of a field, 0 where these cannot be right, and where that is."""
    kind, column = reader.fields[name], reader.column(name)
    offset = np.array(column[kind.pointer] if kind.pointer else column, np.uint64)
    known = kind.payload_sizes(column)
    size = np.full(len(column), UNKNOWN_SIZE) if known is None else np.array(known, np.uint64)
    rows = reader.table[np.argsort(reader.table["ptr"], kind="stable")]
    place = np.minimum(np.searchsorted(rows["ptr"], offset), max(0, len(rows) - 1))
    asked = size == UNKNOWN_SIZE
    if asked.any() and len(rows):
        fits = rows["ptr"][place] == offset
        size[asked & fits] = rows["size"][place][asked & fits]
    missing = size == UNKNOWN_SIZE
    missing |= bad_extents(np.where(missing, 0, offset), np.where(missing, 0, size), reader.head.bounds)
    offset[missing], size[missing] = reader.head.bounds.start, 0
    return offset, size, missing


def _in_bad_blocks(reader: Reader, pool: Executor) -> Iterator[tuple[int, str]]:
    """Yield the samples with payloads in blocks that do not fit their checksum, of files that have no others."""
    block = reader.superblock
    content = None if block is None else reader.section(sections.CHECKSUMS)
    if block is None or content is None or len(content) != 8 * len(blocks_of(block)):
        return
    for start, end, good in blocks_that_fit(reader, blocks_of(block), np.frombuffer(content, "<u8").tolist(), pool):
        for name, (offset, size) in reader._extents.items() if not good else ():
            inside = (offset < np.uint64(end)) & (offset + size > np.uint64(start)) & (size > 0)
            for sample in np.flatnonzero(inside).tolist():
                yield sample, f"field {name!r} lies in bytes {start} to {end - 1}, whose checksum is wrong"


def _not_decoding(reader: Reader, pool: Executor) -> Iterator[tuple[int, str]]:
    """Yield the samples with values that do not decode, of files without checksums of single values."""

    def problem(name: str, sample: int) -> str | None:
        kind, record = reader.fields[name], reader.column(name)[sample]
        payload = reader.payload(name, sample)
        if isinstance(kind, RGBImageField) and int(record["mode"]) == MODE_JPEG:
            return jpeg_problem(payload, int(record["width"]), int(record["height"]))
        try:
            kind.decode(record, payload)
        except (DecodeError, ValueError) as error:
            return str(error)
        return None

    for name in reader._extents:
        samples = range(len(reader))
        for sample, complaint in zip(samples, pool.map(problem, [name] * len(reader), samples), strict=True):
            if complaint:
                yield sample, f"field {name!r}: {complaint}"

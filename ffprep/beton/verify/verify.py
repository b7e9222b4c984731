"""Verifying a file: whether it is as it was written, and whether every sample decodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton import layout, sections
from ffprep.beton.checksums import PayloadSums
from ffprep.beton.opening.check import MissingAllocation, bad_allocations, bad_metadata, table_sizes
from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import SeekIndex
from ffprep.beton.verify.indexes import index_beside, wrong_indexes
from ffprep.beton.verify.sums import blocks_of, blocks_that_fit, changed_samples, sums_of_fields
from ffprep.common.formatting import one_line
from ffprep.common.workers.cpus import usable_cpus
from ffprep.errors import BetonError, DecodeError, JpegError
from ffprep.fields import JSONField, RGBImageField
from ffprep.fields.rgb_image import MODE_JPEG
from ffprep.jpeg import decode_planes, read_header
from ffprep.remote import DamagedError

MAX_PROBLEMS = 1000
_CHUNK = 256


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a file.

    Attributes
    ----------
    message : str
        What is wrong, with the byte if it is known.
    sample : int or None
        The sample it concerns; None when it concerns the whole file.
    name : str
        What the sample is called in its source, if the file says so.
    """

    message: str
    sample: int | None = None
    name: str = ""

    def __str__(self) -> str:
        if self.sample is None:
            return self.message
        return f"sample {self.sample}{f' ({self.name})' if self.name else ''}: {self.message}"


@dataclass
class VerifyReport:
    """What `verify` found.

    Attributes
    ----------
    path : Path
    problems : list of Problem
        At most `MAX_PROBLEMS`.
    complete : bool
        Whether `problems` lists all of them.
    samples : int
        Samples in the file.
    checked : dict of str to int
        How much was checked: ``bytes`` covered by checksums, ``rows`` of the allocation table, ``images`` decoded,
        ``documents`` parsed.
    has_checksums : bool
        Whether the file has checksums; files of stock ffcv have none.
    """

    path: Path
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True
    samples: int = 0
    checked: dict[str, int] = field(default_factory=dict)
    has_checksums: bool = False

    @property
    def ok(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        looked = ", ".join(f"{count:,} {what}" for what, count in self.checked.items())
        if self.ok:
            return f"{one_line(self.path)}: {self.samples:,} samples, no problem found ({looked})"
        count = f"{len(self.problems)}{'' if self.complete else ' or more'} problem{'s' * (len(self.problems) != 1)}"
        where = f" in {self.samples:,} samples ({looked})" if looked else "; nothing else could be looked at"
        lines = [f"{one_line(self.path)}: {count}{where}"]
        return "\n".join([*lines, *(f"  {one_line(problem)}" for problem in self.problems)])


class _Full(Exception):
    """The list of problems is full."""


def verify(
    path: str | os.PathLike[str],
    deep: bool = True,
    *,
    custom_fields: Mapping[str, type[Any]] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Check the structure and checksums of a file and, if `deep`, that every image and document decodes.

    Parameters
    ----------
    path : str or Path
    deep : bool
        Decode every JPEG completely and compare its size with what the file says; parse every JSON document.
    custom_fields : mapping of name to Field subclass, optional
        As in `Reader`.
    workers : int, optional
        Threads that decode; by default one for each processor.
    progress : callable, optional
        Called from time to time during the deep part, with (payloads checked, payloads).

    Raises
    ------
    OSError
        The file cannot be opened. Problems inside it do not raise but are in the report.
    """
    report = VerifyReport(Path(path))
    try:
        reader = Reader(path, custom_fields, check=False)
    except BetonError as error:
        report.problems.append(Problem(str(error)))
        return report
    report.samples = reader.num_samples
    if reader.source is not None:  # what it has on the disk may have changed there
        reader.source.doubt(np.arange(reader.source.count, dtype=np.int64))
    with ThreadPoolExecutor(workers or usable_cpus(), thread_name_prefix="ffprep-verify") as pool:
        check = _Check(reader, report, pool)
        try:
            check.tables()
            index = check.seek_index()
            check.checksums(index)
            if deep:
                check.payloads(index, progress)
        except _Full:
            report.complete = False
            pool.shutdown(wait=False, cancel_futures=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return report


class _Check:
    """One verification, part by part."""

    def __init__(self, reader: Reader, report: VerifyReport, pool: Executor) -> None:
        self.reader = reader
        self.report = report
        self.pool = pool
        self.extents: dict[str, tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]] = {}
        try:
            self.named = reader.sample_names() is not None
        except BetonError as error:
            self.named = False
            self.problem(str(error))

    def problem(self, message: str, sample: int | None = None) -> None:
        if len(self.report.problems) >= MAX_PROBLEMS:
            raise _Full
        name = self.reader.sample_name(sample) if self.named and sample is not None else ""
        self.report.problems.append(Problem(message, sample, name))

    # -- tables ----------------------------------------------------------------------------------------

    def tables(self) -> None:
        """Check every row of both tables, and the tables against each other."""
        bounds = self.reader.head.bounds
        self.report.checked["rows"] = len(self.reader.table)
        sound = True
        for row, complaint in bad_allocations(self.reader.table, bounds):
            byte = bounds.end + row * layout.ALLOCATION.itemsize
            sound = False
            self.problem(f"byte {byte}: row {row} of the allocation table: {complaint}")
        pointed = [name for name in self.reader.fields if self._has_payload(name)]
        for rank, name in enumerate(pointed):
            bad = 0
            for sample, complaint in bad_metadata(self.reader.column(name), self.reader.fields[name], bounds):
                bad += 1
                self.problem(f"field {name!r} {complaint}", sample)
            if not bad and sound:
                self._compare_sizes(name, rank, len(pointed))

    def _has_payload(self, name: str) -> bool:
        return isinstance(getattr(self.reader.fields[name], "pointer", None), str)

    def _compare_sizes(self, name: str, rank: int, per_sample: int) -> None:
        try:
            offset, size = self.extents[name] = self.reader.extents(name)
        except BetonError as error:
            self.problem(str(error))
            return
        try:
            listed = table_sizes(self.reader.table, offset, rank, per_sample)
        except MissingAllocation as error:
            what = "two sizes" if error.ambiguous else "no row"
            self.problem(f"field {name!r}: the allocation table has {what} for byte {error.offset}", error.sample)
            return
        # An empty value of stock ffcv shares its offset with the next payload, so its row may be that one.
        for sample in np.flatnonzero((listed != size) & (size > 0)):
            self.problem(
                f"field {name!r}: {size[sample]} bytes by its metadata, {listed[sample]} by the allocation table",
                int(sample),
            )

    # -- checksums -------------------------------------------------------------------------------------

    def checksums(self, index: SeekIndex | None) -> None:
        """Compare the file with all its checksums, or with those in its index."""
        block = self.reader.superblock
        if block is None:
            self.reader.seek_index = index
            for name, sums in sums_of_fields(self.reader).items():
                self.report.has_checksums = True
                self._count("bytes", int(sums.size.sum()))
                self._changed(name, sums, np.arange(len(self.reader)))
            return
        self.report.has_checksums = True
        data = self.reader.data
        head_end = layout.superblock_offset(self.reader.head.bounds.start)
        self._compare(data[:head_end], block.head_checksum, "header, fields or sample records")
        self._compare(data[self.reader.head.bounds.end :], block.table_checksum, "allocation table")
        for entry in block.sections:
            content = self.reader.beside(entry.offset, entry.offset + entry.size)
            self._compare(content, entry.checksum, f"section {entry.name!r}")
        if any(entry.name == sections.TABLES for entry in block.sections):
            own = block.pack()
            table = self.reader.head.bounds.end
            if self.reader.beside(table - len(own), table).tobytes() != own:
                self.problem("the copy of the superblock before the allocation table is damaged")
        self._blocks(block)

    def _compare(self, content: npt.NDArray[np.uint8], checksum: int, what: str) -> None:
        self._count("bytes", len(content))
        if xxhash.xxh3_64_intdigest(content.data) != checksum:
            self.problem(f"the {what} changed since the file was written: the checksum is wrong")

    def _count(self, what: str, amount: int) -> None:
        self.report.checked[what] = self.report.checked.get(what, 0) + amount

    def _blocks(self, block: layout.Superblock) -> None:
        count = layout.num_blocks(block.data_start, block.data_end)
        try:
            content = self.reader.section(sections.CHECKSUMS)
        except BetonError:
            return
        if content is None or len(content) != 8 * count:
            self.problem("the checksums of the payloads are missing or not as many as there are blocks")
            return
        expected = np.frombuffer(content, "<u8").tolist()
        for start, end, good in blocks_that_fit(self.reader, blocks_of(block), expected, self.pool):
            self._count("bytes", end - start)
            if not good:
                self._bad_block(start, end)

    def _bad_block(self, start: int, end: int) -> None:
        """Say which samples have payloads in a block, and which of these changed, if the file can tell."""
        message = f"bytes {start} to {end - 1} changed since the file was written: the checksum is wrong"
        inside = {
            name: np.flatnonzero((offset < np.uint64(end)) & (offset + size > np.uint64(start)) & (size > 0))
            for name, (offset, size) in self.extents.items()
        }
        touched = [sample for samples in inside.values() for sample in samples.tolist()]
        if touched:
            message += f"; samples {min(touched)} to {max(touched)} have payloads there"
        self.problem(message)
        for name, sums in sums_of_fields(self.reader).items() if touched else ():
            self._changed(name, sums, inside.get(name, np.empty(0, np.int64)))

    def _changed(self, name: str, sums: PayloadSums, samples: npt.NDArray[np.int64]) -> None:
        for changed in changed_samples(self.reader, sums, samples, self.pool):
            for sample in changed:
                self.problem(f"field {name!r}: changed since the file was written: its checksum is wrong", sample)

    # -- payloads --------------------------------------------------------------------------------------

    def payloads(self, index: SeekIndex | None, progress: Callable[[int, int], None] | None) -> None:
        """Decode every image, parse every document, each payload once, and build every seek index again."""
        jobs = [(name, samples) for name in self.extents if len(samples := self._to_decode(name))]
        total, done = sum(len(samples) for _, samples in jobs) + (0 if index is None else len(index)), 0
        for name, samples in jobs:
            chunks = [samples[first : first + _CHUNK] for first in range(0, len(samples), _CHUNK)]
            what = "documents" if isinstance(self.reader.fields[name], JSONField) else "images"
            for chunk, found in zip(chunks, self.pool.map(self._decode, [name] * len(chunks), chunks), strict=True):
                for sample, message in found:
                    self.problem(message, sample)
                self._count(what, len(chunk))
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
        for complaint in wrong_indexes(index, self.reader, self.pool) if index is not None else ():
            if complaint:
                self.problem(complaint)
            self._count("indexes", 1)
            done += 1
            if progress is not None:
                progress(done, total)

    def _to_decode(self, name: str) -> npt.NDArray[np.int64]:
        """Return one sample for each distinct payload that has something to decode."""
        kind = self.reader.fields[name]
        offset, _ = self.extents[name]
        if isinstance(kind, RGBImageField):
            column = self.reader.column(name)
            chosen = np.flatnonzero(column["mode"] == MODE_JPEG)
            sizes = column["width"][chosen].astype(np.uint64) << np.uint64(16) | column["height"][chosen]
            keys = np.stack([offset[chosen], sizes], 1)
            return np.sort(chosen[np.unique(keys, axis=0, return_index=True)[1]])
        if isinstance(kind, JSONField):
            return np.sort(np.unique(offset, return_index=True)[1])
        return np.empty(0, np.int64)

    def _decode(self, name: str, samples: npt.NDArray[np.int64]) -> list[tuple[int, str]]:
        return list(self._decode_each(name, samples))

    def _decode_each(self, name: str, samples: npt.NDArray[np.int64]) -> Iterator[tuple[int, str]]:
        kind = self.reader.fields[name]
        column = self.reader.column(name)
        for sample in samples.tolist():
            try:
                payload = self.reader.payload(name, sample)
                if isinstance(kind, RGBImageField):
                    width, height = int(column["width"][sample]), int(column["height"][sample])
                    complaint = jpeg_problem(payload, width, height)
                    if complaint:
                        yield sample, f"field {name!r}: {complaint}"
                else:
                    kind.decode(column[sample], payload)
            except (DecodeError, DamagedError) as error:
                yield sample, f"field {name!r}: {error}"

    # -- the index beside the file ---------------------------------------------------------------------

    def seek_index(self) -> SeekIndex | None:
        """Open the seek index beside the file, if there is one."""
        index, complaint = index_beside(self.reader)
        if complaint:
            self.problem(complaint)
        elif index is not None:
            self._count("bytes of index", len(index.data))
        return index


def jpeg_problem(data: npt.NDArray[np.uint8], width: int, height: int) -> str | None:
    """Decode all of a JPEG that should have this size, and say what is wrong with it, or None."""
    try:
        header = read_header(data)
        if (header.width, header.height) != (width, height):
            return f"the JPEG is {header.width}x{header.height}, the file says {width}x{height}"
        decode_planes(data)
    except JpegError as error:
        return str(error)
    return None

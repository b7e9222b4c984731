"""Making the seek index of a file: threads decode every JPEG once, in the order of the file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton.reader import Reader
from ffprep.beton.sections import PAYLOAD_SUMS
from ffprep.beton.seek_index import MAGIC, SeekIndex, beside, jpeg_payloads, write_index
from ffprep.common.files.replacing import naming
from ffprep.common.formatting import duration_text, one_line, size_text
from ffprep.common.workers.cpus import usable_cpus
from ffprep.common.workers.ordered import ordered_map, threads
from ffprep.errors import IndexMismatchError, JpegError, OptionError
from ffprep.jpeg import build_index
from ffprep.jpeg.index import interval_of
from ffprep.jpeg.status import Status

UNIT = 64
SHOWN = 5


@dataclass
class IndexReport:
    """What indexing a file did with its JPEGs.

    Attributes
    ----------
    path, index : Path
        The file, and its index.
    jpegs : int
        Number of distinct JPEGs.
    indexed, restarts, other : int
        How many got an index; have restart markers and need none; and cannot have one, because they are progressive or
        have several scans.
    damaged : list of str
        One line for each that does not decode.
    jpeg_bytes, index_bytes : int
        Bytes of the JPEGs, and of the index file, 0 if none was written.
    seconds : float
    kept : bool
        Whether there was an index that fits already.
    sums : int
        How many checksums of payloads the index records: none for a file with checksums of its own.
    """

    path: Path
    index: Path
    jpegs: int = 0
    indexed: int = 0
    restarts: int = 0
    other: int = 0
    damaged: list[str] = field(default_factory=list)
    jpeg_bytes: int = 0
    index_bytes: int = 0
    seconds: float = 0.0
    kept: bool = False
    sums: int = 0

    def __str__(self) -> str:
        if self.kept:
            return f"{one_line(self.index)}: belongs to {one_line(self.path)} and is complete"
        if not self.jpegs and self.sums:
            size = size_text(self.index_bytes)
            return f"{one_line(self.index)}: checksums of {self.sums:,} payloads, {size}; there are no JPEGs to index"
        if not self.jpegs:
            return f"{one_line(self.path)}: holds no JPEGs, so there is nothing to index"
        lines = []
        if self.index_bytes:
            share = 100 * self.index_bytes / max(1, self.jpeg_bytes)
            rate = self.jpegs / self.seconds if self.seconds else 0.0
            each = self.index_bytes / self.jpegs
            lines.append(
                f"{one_line(self.index)}: {self.indexed:,} of {self.jpegs:,} JPEGs, {size_text(self.index_bytes)} "
                f"({each:,.0f} bytes a JPEG, {share:.2f} %), {duration_text(self.seconds)}, {rate:,.0f}/s"
            )
        else:
            lines.append(
                f"{one_line(self.path)}: no index written, since none of its {self.jpegs:,} JPEGs would have one"
            )
        if self.sums:
            lines.append(f"  checksums of {self.sums:,} payloads, since the file has none")
        if self.restarts:
            lines.append(f"  {self.restarts:,} have restart markers and need none")
        if self.other:
            lines.append(f"  {self.other:,} are progressive or of several scans, and are decoded whole")
        if self.damaged:
            lines.append(f"  {len(self.damaged):,} do not decode:")
            lines += [f"    {one_line(line)}" for line in self.damaged[:SHOWN]]
        return "\n".join(lines)


def make_index(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    workers: int | None = None,
    interval: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> IndexReport:
    """Make the seek index of a ``.beton`` file.

    The file itself is only read. The index appears when it is complete; its bytes depend only on the file and
    `interval`. An existing index that fits the file is kept. One that does not is replaced with `overwrite` only.

    Parameters
    ----------
    path : str or Path
    out : str or Path, optional
        By default beside the file, where loaders look for it: ``X.beton.index``.
    workers : int, optional
        Threads; by default one for each processor.
    interval : int, optional
        MCUs between the places where decoding can begin; by default 16, or 8 with subsampled colour.
    overwrite : bool
        Make the index again even if there is one that fits.
    progress : callable, optional
        Called with (JPEGs done, JPEGs in all).

    Raises
    ------
    OptionError
        An option is out of range, the folder cannot be written to, or another index or file is there.
    BetonError
        The file cannot be used.
    ConversionError
        The index cannot be written.
    """
    target = Path(out) if out is not None else beside(path)
    if interval is not None and interval < 1:
        raise OptionError(f"seek index interval {interval} is below 1 MCU")
    started = time.monotonic()
    with Reader(path) as reader:
        report = IndexReport(Path(path), target)
        if target.exists():
            try:
                found = SeekIndex(target, reader)
                if not overwrite:
                    _check_interval(found, interval)
                    return IndexReport(Path(path), target, jpegs=len(found), kept=True)
            except IndexMismatchError as error:
                if not is_index(target):
                    raise OptionError(f"{target}: exists and is no seek index; give another place") from error
                if not overwrite:
                    raise OptionError(f"{error}; --overwrite replaces it") from error
        offsets, sizes = jpeg_payloads(reader)
        report.jpegs, report.jpeg_bytes = len(offsets), int(sizes.sum(dtype=np.uint64))
        made = _built(reader, offsets, sizes, interval, workers or usable_cpus())
        sums = sums_to_store(reader, workers or usable_cpus())
        report.sums = len(sums)
        report.index_bytes = write_index(target, reader, offsets, _counted(made, report, progress), sums)
        if not report.index_bytes:
            target.unlink(missing_ok=True)
    report.seconds = time.monotonic() - started
    return report


def _check_interval(found: SeekIndex, interval: int | None) -> None:
    """Refuse an index that was made with another interval than the one asked for."""
    filled = np.flatnonzero(found.bytes_each)
    made = interval_of(found.of(int(filled[0]))) if len(filled) else interval
    if interval not in (None, made):
        raise OptionError(f"{found.path}: was made with --interval {made}, not {interval}; --overwrite replaces it")


def sums_to_store(reader: Reader, workers: int) -> npt.NDArray[np.uint64]:
    """Return the xxh3-64 of each row's payload, in the order of the allocation table; none if the file has them."""
    if reader.section(PAYLOAD_SUMS) is not None:
        return np.empty(0, np.uint64)
    start, size = reader.table["ptr"].astype(np.int64), reader.table["size"].astype(np.int64)

    def digests(first: int) -> list[int]:
        rows = slice(first, first + UNIT)
        pairs = zip(start[rows].tolist(), size[rows].tolist(), strict=True)
        return [xxhash.xxh3_64_intdigest(reader.data[begin : begin + count].data) for begin, count in pairs]

    units = ordered_map(threads(digests, workers, name="ffprep-index"), range(0, len(start), UNIT), 2 * workers + 1)
    return np.fromiter((digest for unit in units for digest in unit), np.uint64, len(start))


def is_index(path: Path) -> bool:
    """Whether a file is a seek index of any version, or an empty file."""
    if not path.is_file():
        return False
    with naming(path), path.open("rb") as file:
        head = file.read(len(MAGIC))
    return not head or head == MAGIC


@dataclass(frozen=True)
class _Made:
    index: bytes = b""
    status: int = Status.OK
    message: str = ""


def _counted(
    made: Iterator[_Made], report: IndexReport, progress: Callable[[int, int], None] | None
) -> Iterator[bytes]:
    for number, result in enumerate(made, 1):
        if result.index:
            report.indexed += 1
        elif result.status == Status.OK:
            report.restarts += 1
        elif result.status == Status.NOT_SEQUENTIAL:
            report.other += 1
        else:
            report.damaged.append(result.message)
        if progress is not None:
            progress(number, report.jpegs)
        yield result.index


def _built(
    reader: Reader,
    offsets: npt.NDArray[np.uint64],
    sizes: npt.NDArray[np.uint64],
    interval: int | None,
    workers: int,
) -> Iterator[_Made]:
    """Build indexes in threads, outside the interpreter's lock, and yield them in order."""

    def build(first: int) -> list[_Made]:
        made = []
        for start, size in zip(
            offsets[first : first + UNIT].tolist(), sizes[first : first + UNIT].tolist(), strict=True
        ):
            try:
                made.append(_Made(build_index(reader.data[start : start + size], interval, f"byte {start}")))
            except JpegError as error:
                made.append(_Made(b"", error.status, str(error)))
        return made

    units = range(0, len(offsets), UNIT)
    for made in ordered_map(threads(build, workers, name="ffprep-index"), units, ahead=2 * workers + 1):
        yield from made

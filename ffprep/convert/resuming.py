"""Going on with a conversion, after a look at whether the source and the file are what they were.

Of each sample read there is a note in the journal: a stamp (size and time of the sample's own file, where it has one)
and a digest of what it was encoded to. Archives and tables are recorded as a whole, by size and time.
"""

from __future__ import annotations

import contextlib
import os
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.parts import LISTED
from ffprep.beton.reader import Reader
from ffprep.beton.sections import clean_name
from ffprep.beton.writing.conditions import accept_finished, differs_from_finished
from ffprep.common.workers.ordered import ordered_map, threads
from ffprep.convert.report import ConversionReport
from ffprep.convert.units import UNIT, SampleResult, WorkUnit, by_threads, stamp_of, units_of
from ffprep.errors import BetonError, OptionError
from ffprep.fields import Encoded, Field
from ffprep.fields.base import custom_fields_of
from ffprep.sources.base import Source

NOTE = np.dtype([("stamp", "<u8"), ("digest", "<u8")])
_NOTE = struct.Struct("<QQ")
COMPARED = 1000
"""Samples with another time that are read again, at most."""

SPREAD = 32
"""Samples that are read again in any case, besides those of the first and of the last unit."""

_ARCHIVES = (".tar", ".zip", ".parquet", ".arrow", ".tgz", ".gz", ".xz", ".zst")
_MOST_FILES = 20_000
_STAMPED = 4096  # samples whose stamps one thread takes at a time


def note_of(result: SampleResult) -> bytes:
    """The note about a sample that was read."""
    return _NOTE.pack(result.stamp, result.digest)


def file_stamps(inputs: Iterable[Path]) -> dict[str, list[int]]:
    """Size in bytes and time in nanoseconds of files that a source reads, and of archives in its folders.

    Files of single samples in folders are not among them; `stamp_of` is about these.
    """
    stamps: dict[str, list[int]] = {}
    for number, path in enumerate(inputs):
        for name, found in _stats(path):
            if len(stamps) < _MOST_FILES:
                stamps[f"{number}/{name}"] = [found.st_size, found.st_mtime_ns]
    return stamps


def _stats(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    with contextlib.suppress(OSError):
        if not path.is_dir():
            yield path.name, path.stat()
            return
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.endswith(_ARCHIVES) and entry.is_file():
                    yield entry.name, entry.stat()


def check_unchanged(
    source: Source,
    partial: Path,
    notes: bytes | bytearray,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    workers: int,
) -> None:
    """Refuse to go on with a source that changed since its first samples were read.

    All samples whose file has another size or time are read again, but at most `COMPARED` of them, spread evenly. So
    are the samples of the first and the last unit, and some between. Those that give other bytes are refused.

    Parameters
    ----------
    source : Source
    partial : Path
        The unfinished file, for messages.
    notes : bytes
        The notes about all samples read.
    before, now : mapping
        What `file_stamps` gave when the conversion began, and now.
    workers : int
        Threads.

    Raises
    ------
    OptionError
        The source changed.

    Warns
    -----
    RuntimeWarning
        Files have other times, and what was compared of them is the same.
    """
    table = np.frombuffer(bytes(notes), NOTE)
    anew = "--restart drops what is done and begins anew"
    touched = []
    for name, (size, time) in before.items():
        found = now.get(name)
        if found is not None and found[0] != size:
            raise OptionError(
                f"{partial}: its source changed: {name.partition('/')[2]} had {size:,} bytes and has {found[0]:,}; "
                f"{anew}"
            )
        if found is not None and found[1] != time:
            touched.append(name.partition("/")[2])
    chosen, changed = _chosen(source, table, bool(touched), workers)
    for index, result in _encoded_again(source, chosen, len(table), workers):
        if result.digest != table["digest"][index]:
            why = f" ({result.refusal})" if result.refusal is not None else ""
            raise OptionError(
                f"{partial}: its source changed: {result.name} (sample {index:,}) is not what it was when it was "
                f"read{why}; {anew}"
            )
    if touched or changed > len(chosen):
        what = (
            f"{changed:,} of the files read"
            if changed
            else f"{touched[0]}" + f" and {len(touched) - 1} more" * (len(touched) > 1)
        )
        warnings.warn(
            f"{partial}: another time than at the beginning: {what}; the {len(chosen):,} samples compared are the "
            f"same, so the conversion goes on ({anew})",
            RuntimeWarning,
            stacklevel=3,
        )


def _chosen(source: Source, table: npt.NDArray[Any], touched: bool, workers: int) -> tuple[npt.NDArray[np.int64], int]:
    """The samples to read again, and the number of those whose own file has another size or time."""
    count = len(table)
    ends = [*range(min(UNIT, count)), *range(max(0, count - UNIT), count)]
    if hasattr(source, "stream"):
        return np.unique(ends), 0
    stamps = _stamps(source, count, workers)
    changed = np.flatnonzero(stamps != table["stamp"])
    suspects = np.arange(count) if touched else changed
    return np.unique(np.concatenate([ends, _spread(np.arange(count), SPREAD), _spread(suspects, COMPARED)])), len(
        changed
    )


def _spread(indices: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, most).astype(np.int64)]


def _stamps(source: Source, count: int, workers: int) -> npt.NDArray[np.uint64]:
    if not hasattr(source, "stamp"):
        return np.zeros(count, np.uint64)

    def take(start: int) -> list[int]:
        return [stamp_of(source, index) for index in range(start, min(start + _STAMPED, count))]

    found: list[int] = []
    # More threads than processors, since what takes time here is the answer of a file server.
    for some in ordered_map(threads(take, 4 * workers, name="ffprep-stamp"), range(0, count, _STAMPED), 8 * workers):
        found += some
    return np.array(found, np.uint64)


def _encoded_again(
    source: Source, indices: npt.NDArray[np.int64], count: int, workers: int
) -> Iterator[tuple[int, SampleResult]]:
    """Read and encode some of the first `count` samples; of a stream, a unit at the beginning and one at the end."""
    if hasattr(source, "stream"):
        units = [unit for start in (0, max(0, count - UNIT)) for unit in islice(units_of(source, start, count), 1)]
    else:
        runs = groupby(enumerate(indices.tolist()), lambda pair: (pair[1] - pair[0], pair[0] // UNIT))
        bounds = [[index for _, index in run] for _, run in runs]
        units = [WorkUnit(run[0], run[-1] + 1) for run in bounds]
    with contextlib.closing(by_threads(source, iter(units), workers)) as results:
        for unit, found in zip(units, results, strict=True):
            yield from zip(range(unit.start, unit.stop), found, strict=False)


def finished_report(
    source: Source, path: Path, manifest: Mapping[str, Any], total: int, page_size: int | None, workers: int
) -> ConversionReport:
    """The report in a finished file, after checks that the conversion at hand would make that same file.

    Manifests are compared, and some samples: the first and last ones, and some between.

    Parameters
    ----------
    source : Source
    path : Path
        The finished file.
    manifest, page_size
        As the conversion gives them to ``Writer``.
    total : int
        Samples to convert.
    workers : int
        Threads.

    Raises
    ------
    OptionError
        The file is another one.
    ConversionError
        Its name cannot be forced to the disk.
    """
    found = differs_from_finished(path, source.fields, manifest, page_size)
    state: dict[str, Any] = {}
    if not found:
        with Reader(path, custom_fields_of(source.fields)) as reader:
            state = dict((reader.manifest or {}).get("report") or {})
            found = _content_differences(source, reader, state, total, workers)
    accept_finished(path, found)
    return ConversionReport(state, workers=workers, found=True)


def _content_differences(
    source: Source, reader: Reader, state: Mapping[str, Any], total: int, workers: int
) -> list[str]:
    refused = int(state.get("refused_count", 0))
    stream = hasattr(source, "stream")
    if not stream and len(reader) + refused != total:
        return [f"samples: was {len(reader) + refused:,}, is {total:,}"]
    chosen = np.arange(min(UNIT, total))
    if not stream and refused < LISTED:
        ends = np.arange(max(0, total - UNIT), total)
        chosen = np.unique(np.concatenate([chosen, ends, _spread(np.arange(total), SPREAD)]))
    gone = {entry["sample"] for entry in state.get("refused", [])}
    shift = _shifts(source, chosen, gone)
    for index, result in _encoded_again(source, chosen, UNIT if stream else total, workers):
        row = index - shift(index)
        if result.refusal is not None:
            if result.name in gone:
                continue
            return [f"{result.name}: {result.refusal}"]
        if row >= len(reader) or not _same(reader, row, result, source.fields):
            return [f"{result.name} is another sample {row:,}"]
    return []


def _shifts(source: Source, chosen: npt.NDArray[np.int64], gone: set[str]) -> Callable[[int], int]:
    """How many samples before each chosen one were refused."""
    if not gone:
        return lambda index: 0
    last = int(chosen[-1]) if len(chosen) else -1
    before = np.cumsum([source.sample_name(index) in gone for index in range(last + 1)])
    return lambda index: int(before[index])


def _same(reader: Reader, row: int, result: SampleResult, fields: Mapping[str, Field]) -> bool:
    if reader.sample_name(row) != clean_name(result.name).decode("utf-8"):
        return False
    return all(
        _same_value(reader, row, name, field, value)
        for (name, field), value in zip(fields.items(), result.encoded, strict=True)
    )


def _same_value(reader: Reader, row: int, name: str, field: Field, value: Encoded) -> bool:
    kind = field.metadata_type
    stored = np.array(reader.column(name)[row], kind)
    encoded = np.array(value.metadata if kind.names else value.metadata[0], kind)
    if field.pointer is None:
        return stored.tobytes() == encoded.tobytes()
    place = field.pointer or ...  # some records are their pointer alone
    stored[place] = encoded[place] = 0
    try:
        payload = reader.payload(name, row).tobytes()
    except BetonError:
        return False
    return stored.tobytes() == encoded.tobytes() and payload == bytes(value.payload or b"")

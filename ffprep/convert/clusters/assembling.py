"""The file of which nodes have written the payloads: its tables, checksums and manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep._version import __version__
from ffprep.beton import layout, sections
from ffprep.beton.layout import BLOCK_SIZE
from ffprep.beton.parts import added_reports
from ffprep.beton.writing.columns import RecordPacker
from ffprep.beton.writing.finalise import finalise, sync_named
from ffprep.beton.writing.unfinished import UnfinishedFile
from ffprep.convert.clusters.jobs import PartJob
from ffprep.convert.clusters.placed import Task, changed, lost
from ffprep.convert.clusters.records import PartRecord, read_record
from ffprep.convert.clusters.streaming import place_part

Numbers = npt.NDArray[np.int64]


class Gathered:
    """The records of all parts, and where their payloads have to lie.

    Parameters
    ----------
    job : PartJob

    Attributes
    ----------
    records : list of PartRecord
    offsets : list of ndarray of int64, shape (samples, fields)
    end : Place
    missing : list of (int, Place)
        The parts whose payloads lie elsewhere, and where they should begin.

    Raises
    ------
    ConversionError
        A record is not there, or its part changed.
    """

    def __init__(self, job: PartJob) -> None:
        self.records: list[PartRecord] = []
        self.offsets: list[Numbers] = []
        self.missing: list[Task] = []
        self.end = job.first_place
        for number in range(job.count):
            record = read_record(job.record_path(number))
            if record is None:
                raise lost(job, number)
            begin = self.end
            offsets, self.end = place_part(record.sizes, job.alignments, begin, job.page_size)
            if record.begin is None:
                self.missing.append((number, begin))
            elif (record.begin, record.end) != (begin, self.end):
                raise changed(job, number)
            self.records.append(record)
            self.offsets.append(offsets)


def assemble(
    job: PartJob, gathered: Gathered, out: Path, manifest: Mapping[str, Any], configuration: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Finish the file whose payloads are written, as ``Writer`` would have.

    Parameters
    ----------
    job : PartJob
    gathered : Gathered
        With nothing missing.
    out : Path
        The file to make.
    manifest : mapping
        As ``Writer`` gets it.
    configuration : mapping, optional
        As in ``convert``.

    Returns
    -------
    dict
        The report in the file.

    Raises
    ------
    ConversionError
        The disk is full, or fails.
    """
    packer, records = RecordPacker(job.source.fields), gathered.records
    count = sum(len(record.sizes) for record in records)
    data_start, data_end = job.first_place.cursor, gathered.end.cursor
    records_start = layout.records_start(len(packer.columns))
    report = added_reports([record.facts["report"] for record in records])
    whole = {
        "writer": {"name": "ffprep", "version": __version__},
        "fields": sections.field_summary(job.source.fields),
        **manifest,
        "samples": count,
        "report": report,
        **({} if configuration is None else {"configuration": configuration}),
    }

    def header(table: int) -> bytes:
        facts = (layout.VERSION, len(packer.columns), gathered.end.page_size, count, table)
        return layout.Header(*facts).pack()

    sink = UnfinishedFile(job.whole, data_start)
    try:
        sink.truncate(data_end)
        sink.zero(0, data_start)
        sink.write_at(0, header(0) + packer.descriptors)
        position = records_start
        for part in _filled(job, gathered):
            sink.write_at(position, part)
            position += len(part)
        _write_edges(sink, records)
        sink.hasher.position = data_end
        contents = {
            sections.MANIFEST: sections.canonical_json(whole),
            sections.CHECKSUMS: np.array(_digests(sink, records, data_start, data_end), "<u8").tobytes(),
            sections.PAYLOAD_SUMS: b"".join(np.asarray(record.sums, "<u8").tobytes() for record in records),
        }
        if names := sections.pack_names(record.names for record in records):
            contents[sections.NAMES] = names
        finalise(sink, out, contents, _allocations(gathered), header, records_start + count * packer.size, data_start)
    finally:
        sink.close()
    sync_named(out)
    return report


def _filled(job: PartJob, gathered: Gathered) -> list[bytes]:
    """The samples' records, with the offsets of their payloads."""
    fields = list(job.source.fields.values())
    kind = layout.record_type(field.metadata_type for field in fields)
    pointed = [number for number, field in enumerate(fields) if field.pointer is not None]
    found = []
    for record, offsets in zip(gathered.records, gathered.offsets, strict=True):
        filled: npt.NDArray[Any] = np.frombuffer(bytearray(record.records), kind)
        for place, number in enumerate(pointed):
            column = filled[f"f{number}"]
            if pointer := fields[number].pointer:
                column[pointer] = offsets[:, place]
            else:
                column[:] = offsets[:, place]
        found.append(filled.tobytes())
    return found


def _allocations(gathered: Gathered) -> list[bytes]:
    """The allocation table, part by part."""
    found, first = [], 0
    for record, offsets in zip(gathered.records, gathered.offsets, strict=True):
        count, fields = offsets.shape
        numbers = np.repeat(np.arange(first, first + count), fields)
        rows = np.stack([numbers, offsets.reshape(-1), record.sizes.reshape(-1)], 1)
        found.append(np.ascontiguousarray(rows, "<u8").tobytes())
        first += count
    return found


def _write_edges(sink: UnfinishedFile, records: Sequence[PartRecord]) -> None:
    """Write what nodes left, because they would have shared a page of memory with the part before or after."""
    for record in records:
        assert record.begin is not None and record.end is not None
        sink.write_at(record.begin.cursor, record.head)
        sink.write_at(record.end.cursor - len(record.tail), record.tail)


def _digests(sink: UnfinishedFile, records: Sequence[PartRecord], start: int, end: int) -> list[int]:
    """The checksums of all blocks; those that are not all of one part are read."""
    known = {number: digest for record in records for number, digest in record.blocks.items()}
    return [
        known[number]
        if number in known
        else sink.checksum(max(start, number * BLOCK_SIZE), min(end, (number + 1) * BLOCK_SIZE))
        for number in range(start // BLOCK_SIZE, -(-end // BLOCK_SIZE) if end > start else start // BLOCK_SIZE)
    ]


def make_room(job: PartJob) -> None:
    """Make the file to which nodes write, unless it is there."""
    descriptor = os.open(job.whole, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.close(descriptor)

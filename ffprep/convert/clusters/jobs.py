"""What the tasks of a conversion by a cluster have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffprep.beton import layout
from ffprep.beton.parts import Part
from ffprep.beton.writing.columns import RecordPacker
from ffprep.convert.clusters.records import Place
from ffprep.convert.report import ConversionReport
from ffprep.sources.base import Source


@dataclass(frozen=True)
class PartJob:
    """What the tasks of a conversion have in common.

    Attributes
    ----------
    convert : callable
        `ffprep.convert.conversion.convert`.
    source : Source
    folder : Path
        Where the parts lie.
    name : str
        The whole's name.
    count : int
        Number of parts.
    options : dict
        Arguments of `convert` besides.
    total : int
        Samples to read.
    write : callable, optional
        `ffprep.convert.conversion.write_results`, with which tasks write payloads to their places; without it, they
        write files that are merged.
    """

    convert: Callable[..., ConversionReport]
    source: Source
    folder: Path
    name: str
    count: int
    options: Mapping[str, Any]
    total: int = 0
    write: Callable[..., None] | None = None

    def path(self, number: int) -> Path:
        """The file of a part."""
        return Part(number, self.count).path(self.folder / self.name)

    def record_path(self, number: int) -> Path:
        """The record of a part whose payloads lie elsewhere."""
        return self.folder / f"{number:05d}.part"

    def payloads_path(self, number: int) -> Path:
        """The payloads of a part that have no place yet."""
        return self.folder / f"{number:05d}.payloads"

    @property
    def whole(self) -> Path:
        """The unfinished file of all parts."""
        return self.folder / "whole"

    @property
    def page_size(self) -> int | None:
        """As in ``Writer``."""
        found: int | None = self.options.get("page_size")
        return found

    @property
    def first_place(self) -> Place:
        """Where the first part begins."""
        packer = RecordPacker(self.source.fields)
        records_end = layout.records_start(len(packer.columns)) + self.total * packer.size
        return Place(layout.data_start(records_end), self.page_size or layout.DEFAULT_PAGE_SIZE)

    @property
    def alignments(self) -> list[int]:
        """Of the fields that have payloads."""
        return [field.alignment for field in self.source.fields.values() if field.pointer is not None]

    def notice(self, number: int) -> str:
        """The key of the notice that says where a part begins."""
        return f"{self.folder.name}/{number}"


def task_report(number: int, report: ConversionReport) -> dict[str, Any]:
    """What the command is told of a part that a task has made, or found to be there.

    Parameters
    ----------
    number : int
        The part's number.
    report : ConversionReport

    Returns
    -------
    dict
    """
    first, last = report.refused_at_ends
    return {
        "number": number,
        "refused_first": first,
        "refused_last": last,
        "read": report.written + report.refused_count,
        "bytes_in": report.state["bytes_in"],
        "refused": report.refused_count,
        "converted": report.converted,
    }

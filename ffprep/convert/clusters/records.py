"""What a file says of a part whose payloads lie elsewhere: tables, checksums, and where it begins and ends."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton.sections import canonical_json
from ffprep.common.files.replacing import naming

_MAGIC = b"FFPPART1"
_DIGEST = 16
_LENGTH = 8


@dataclass(frozen=True)
class Place:
    """Where a part begins or ends in the file that all parts make.

    Attributes
    ----------
    cursor : int
        First free byte.
    page_size : int
        Which may have grown for what is before it.
    """

    cursor: int
    page_size: int

    def to_text(self) -> str:
        """As `parse` reads it."""
        return f"{self.cursor} {self.page_size}"

    @classmethod
    def parse(cls, text: str | bytes) -> Place:
        """Read what `to_text` returned; raises a `ValueError` if it is something else."""
        cursor, page_size = map(int, text.split())
        return cls(cursor, page_size)


@dataclass(frozen=True)
class PartRecord:
    """What there is to know of a part.

    Attributes
    ----------
    facts : dict
        JSON values: the report of the part, and the sizes and times of the source's files.
    sizes : ndarray of int64, shape (samples, fields with payloads)
        Bytes of the payloads.
    sums : ndarray of uint64, shape (samples x fields with payloads,)
        The xxh3-64 of each.
    records : bytes
        The samples' records, with 0 where the payloads' offsets go.
    names : bytes
        The samples' names, as lines.
    notes : bytes
        Of each sample that was read, as `ffprep.convert.resuming.note_of` makes them.
    begin, end : Place, optional
        Where the payloads lie in the file of all parts; None while they lie in a file of their own.
    blocks : dict of int to int
        The xxh3-64 of blocks of that file which are all of this part, by number.
    head, tail : bytes
        The first and the last bytes of the payloads, which are not written there yet.
    """

    facts: dict[str, Any]
    sizes: npt.NDArray[np.int64]
    sums: npt.NDArray[np.uint64]
    records: bytes
    names: bytes
    notes: bytes
    begin: Place | None = None
    end: Place | None = None
    blocks: Mapping[int, int] = field(default_factory=dict)
    head: bytes = b""
    tail: bytes = b""

    def pack(self) -> bytes:
        """The record as the bytes of a file."""
        contents = [
            np.asarray(self.sizes, "<i8").tobytes(),
            np.asarray(self.sums, "<u8").tobytes(),
            self.records,
            self.names,
            self.notes,
            np.array([[number, digest] for number, digest in self.blocks.items()], "<u8").tobytes(),
            self.head,
            self.tail,
        ]
        facts = {
            "facts": self.facts,
            "shape": list(self.sizes.shape),
            "places": [None if place is None else place.to_text() for place in (self.begin, self.end)],
            "lengths": [len(content) for content in contents],
        }
        text = canonical_json(facts)
        body = len(text).to_bytes(_LENGTH, "little") + text + b"".join(contents)
        return _MAGIC + xxhash.xxh3_128_digest(body) + body

    @classmethod
    def unpack(cls, data: bytes) -> PartRecord:
        """Read what `pack` returned.

        Raises
        ------
        ValueError
            It is something else.
        """
        body = memoryview(data)[len(_MAGIC) + _DIGEST :]
        if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : len(_MAGIC) + _DIGEST] != xxhash.xxh3_128_digest(body):
            raise ValueError("no record of a part")
        position = _LENGTH + int.from_bytes(body[:_LENGTH], "little")
        facts = json.loads(bytes(body[_LENGTH:position]))
        contents = []
        for length in facts["lengths"]:
            contents.append(bytes(body[position : position + length]))
            position += length
        sizes, sums, records, names, notes, blocks, head, tail = contents
        begin, end = (None if text is None else Place.parse(text) for text in facts["places"])
        return cls(
            facts["facts"],
            np.frombuffer(sizes, "<i8").reshape(facts["shape"]),
            np.frombuffer(sums, "<u8"),
            records,
            names,
            notes,
            begin,
            end,
            dict(np.frombuffer(blocks, "<u8").reshape(-1, 2).tolist()),
            head,
            tail,
        )

    def write(self, path: Path, own: Path) -> None:
        """Write the record to a file, which has its name only when it is whole.

        Parameters
        ----------
        path : Path
        own : Path
            The name that it has before, used by no other process.
        """
        with naming(own):
            with own.open("wb") as file:
                file.write(self.pack())
                file.flush()
                os.fsync(file.fileno())
            own.replace(path)


def read_record(path: Path) -> PartRecord | None:
    """Read the record of a part; None if there is none, or if it is damaged."""
    try:
        return PartRecord.unpack(path.read_bytes())
    except (OSError, ValueError):
        return None

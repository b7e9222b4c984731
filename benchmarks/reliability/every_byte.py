"""Changes every byte of a small file, and cuts it at every length: what verify, a loader and the reader say.

    python benchmarks/reliability/every_byte.py [--bits 1]

Prints how many changes were found by each, how many change nothing that is ever read, and ends with status 1 if a
change loaded other values without an error, or a cut file was read.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ffprep import Loader
from ffprep.beton import Reader, Writer, layout
from ffprep.beton.verify import verify
from ffprep.errors import BetonError, DecodeError, TruncatedError
from ffprep.fields import BytesField, Field, IntField, NDArrayField
from ffprep.fields.decoders import BytesDecoder, IntDecoder, NDArrayDecoder

FIELDS: dict[str, Field] = {"text": BytesField(), "array": NDArrayField(np.dtype("<i4"), (3,)), "label": IntField()}
PIPELINES = {"text": [BytesDecoder()], "array": [NDArrayDecoder()], "label": [IntDecoder()]}
COUNT = 5


def write(path: Path) -> None:
    with Writer(path, FIELDS, COUNT) as writer:
        for n in range(COUNT):
            values = [b"text" * (n % 3), np.arange(3, dtype="<i4") * n, 7 * n]
            writer.write(
                [field.encode(value) for field, value in zip(FIELDS.values(), values, strict=True)], f"{n}.txt"
            )


def epoch(path: Path) -> str:
    with Loader(path, COUNT, 1, pipelines=PIPELINES) as loader:
        return repr([[np.asarray(part).tolist() for part in batch] for batch in loader])


def meaningful(content: bytes) -> np.ndarray:
    """Flag the bytes that belong to a part of the file; the others are never read."""
    header = layout.Header.unpack(content)
    records = layout.record_type(field.metadata_type for field in FIELDS.values()).itemsize
    place = layout.superblock_offset(layout.records_start(header.num_fields) + header.num_samples * records)
    block = layout.Superblock.unpack(content[place:])
    assert block is not None
    own = layout.superblock_size(len(block.sections))
    parts = [(0, place + own), (block.data_start, block.data_end), (header.alloc_table_ptr - own, len(content))]
    parts += [(section.offset, section.offset + section.size) for section in block.sections]
    flags = np.zeros(len(content), np.bool_)
    for begin, end in parts:
        flags[begin:end] = True
    return flags


@dataclass(frozen=True)
class Change:
    """What became of a changed byte: found by verify, refused by a loader, and what is wrong with that."""

    found: bool
    refused: bool
    problem: str = ""


class Subject:
    """A small file, and what is said about it after changes.

    Parameters
    ----------
    path : Path
        Where to write it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        write(path)
        self.content, self.good = path.read_bytes(), epoch(path)
        self.flags = meaningful(self.content)

    def changed(self, at: int, bit: int) -> Change:
        """Change one bit. It has to be found if the byte means anything, and must never load other values."""
        changed = bytearray(self.content)
        changed[at] ^= 1 << bit
        self.path.write_bytes(changed)
        found, loaded, problem = not verify(self.path).ok, None, ""
        try:
            loaded = epoch(self.path)
        except (BetonError, DecodeError) as error:
            if self.path.name not in str(error) or "\n" in str(error):
                problem = f"byte {at}: no clear error: {error}"
        if loaded not in (None, self.good) or found != self.flags[at]:
            problem = f"byte {at}: found {found}, meaningful {self.flags[at]}, same {loaded == self.good}"
        return Change(found, loaded is None, problem)

    def cut(self, length: int) -> str:
        """Cut the file; returns what is wrong with what is said about it."""
        self.path.write_bytes(self.content[:length])
        try:
            Reader(self.path)
        except TruncatedError:
            return ""
        except BetonError as error:
            return f"cut to {length} bytes: {type(error).__name__}: {error}"
        return f"cut to {length} bytes: it was read"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, default=1, help="Bits of each byte that are changed, one at a time.")
    bits = parser.parse_args().bits
    counts: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(Path(folder) / "x.beton")
        for at in range(len(subject.content)):
            for bit in range(bits):
                change = subject.changed(at, (at + bit) % 8)
                counts["changes"] += 1
                counts["found by verify"] += change.found
                counts["refused by the loader"] += change.refused
                counts["in bytes that are never read"] += not subject.flags[at]
                wrong += [change.problem] if change.problem else []
        for length in range(len(subject.content)):
            problem = subject.cut(length)
            counts["cuts"] += 1
            counts["cuts that are a TruncatedError"] += not problem
            wrong += [problem] if problem else []
    for what, count in counts.items():
        print(f"{count:8,} {what}")
    print("\n".join(wrong[:20]))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

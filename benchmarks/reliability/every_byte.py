"""Changes every byte of a small file, and cuts it at every length: what verify, a loader and the reader say.

    python benchmarks/reliability/every_byte.py [--bits 1] [--only images]

There are two files: one of texts and arrays, and one of images, tokens and numbers with a seek index beside it, whose
bytes are changed as well. Prints how many changes were found by each, how many change nothing that is ever read, and
ends with status 1 if a change loaded other values without an error, or a cut file was read.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ffprep import Loader
from ffprep.beton import Reader, Writer, layout
from ffprep.beton.seek_index import beside
from ffprep.beton.verify import verify
from ffprep.convert.indexing import make_index
from ffprep.errors import BetonError, DecodeError, TruncatedError
from ffprep.fields import BytesField, Field, IntField, NDArrayField, RGBImageField
from ffprep.fields.decoders import (
    BytesDecoder,
    CenterCropRGBImageDecoder,
    IntDecoder,
    NDArrayDecoder,
    TokensDecoder,
)

TEXTS: dict[str, Field] = {"text": BytesField(), "array": NDArrayField(np.dtype("<i4"), (3,)), "label": IntField()}
IMAGES: dict[str, Field] = {
    "image": RGBImageField(jpeg="keep"),
    "tokens": NDArrayField(np.dtype("<u2"), (5,)),
    "label": IntField(),
}
PIPELINES: dict[str, list[Any]] = {
    "text": [BytesDecoder()],
    "array": [NDArrayDecoder()],
    "label": [IntDecoder()],
    "image": [CenterCropRGBImageDecoder((8, 8), 0.5)],
    "tokens": [TokensDecoder(np.int64)],
}
COUNT = 5


def values(n: int) -> dict[str, Any]:
    """The values of a sample, for all fields."""
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(n).integers(0, 256, (24, 24, 3), np.uint8)).save(out, "JPEG", quality=10)
    return {
        "text": b"text" * (n % 3),
        "array": np.arange(3, dtype="<i4") * n,
        "label": 7 * n,
        "image": out.getvalue(),
        "tokens": np.arange(5, dtype="<u2") * 1000 * n,
    }


def write(path: Path, fields: dict[str, Field]) -> None:
    """Write a file, and an index if there are images."""
    with Writer(path, fields, COUNT) as writer:
        for n in range(COUNT):
            writer.write([field.encode(values(n)[name]) for name, field in fields.items()], f"{n}.txt")
    if "image" in fields:
        make_index(path, workers=1)


def epoch(path: Path, fields: dict[str, Field]) -> str:
    """What a loader gives."""
    with Loader(path, COUNT, 1, pipelines={name: PIPELINES[name] for name in fields}) as loader:
        return repr([[np.asarray(part).tolist() for part in batch] for batch in loader])


def meaningful(content: bytes, fields: dict[str, Field]) -> np.ndarray:
    """Flag the bytes that belong to a part of the file; the others are never read."""
    header = layout.Header.unpack(content)
    records = layout.record_type(field.metadata_type for field in fields.values()).itemsize
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
    fields : dict of str to Field
        What it holds.
    """

    def __init__(self, path: Path, fields: dict[str, Field]) -> None:
        self.path, self.fields = path, fields
        write(path, fields)
        self.content, self.good = path.read_bytes(), epoch(path, fields)
        self.flags = meaningful(self.content, fields)

    def index_changed(self, index: Path, content: bytes, at: int) -> Change:
        """Change one bit of the index, beside the whole file: the same values, or an error that names a file."""
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        index.write_bytes(changed)
        found, loaded, problem = not verify(self.path).ok, None, ""
        try:
            loaded = epoch(self.path, self.fields)
        except (BetonError, DecodeError) as error:
            if self.path.name not in str(error) or "\n" in str(error):
                problem = f"index, byte {at}: no clear error: {error}"
        if loaded not in (None, self.good):
            problem = f"index, byte {at}: other values, found {found}"
        return Change(found, loaded is None, problem)

    def changed(self, at: int, bit: int) -> Change:
        """Change one bit. It has to be found if the byte means anything, and must never load other values."""
        changed = bytearray(self.content)
        changed[at] ^= 1 << bit
        self.path.write_bytes(changed)
        found, loaded, problem = not verify(self.path).ok, None, ""
        try:
            loaded = epoch(self.path, self.fields)
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


def sweep(subject: Subject, bits: int, counts: Counter[str]) -> list[str]:
    """Change and cut a file everywhere; returns what is wrong."""
    wrong = []
    index = beside(subject.path)
    if index.exists():
        content = index.read_bytes()
        for at in range(len(content)):
            change = subject.index_changed(index, content, at)
            counts["changes of the index"] += 1
            counts["of these found by verify"] += change.found
            counts["of these refused by the loader"] += change.refused
            wrong += [change.problem] if change.problem else []
        index.write_bytes(content)
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
    return wrong


def main() -> int:
    """Sweep over both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bits", type=int, default=1, help="Bits of each byte that are changed, one at a time.")
    kinds = {"texts": TEXTS, "images": IMAGES}
    parser.add_argument("--only", nargs="+", choices=kinds, default=list(kinds))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # an index that is damaged is not used, with a warning
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.only:
            counts: Counter[str] = Counter()
            wrong += sweep(Subject(Path(folder) / f"{kind}.beton", kinds[kind]), options.bits, counts)
            print(kind)
            for what, count in counts.items():
                print(f"{count:8,} {what}")
    print("\n".join(wrong[:20]))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

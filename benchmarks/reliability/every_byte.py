"""Changes every byte of a small file, and cuts it at every length: what verify, a loader and the reader say.

    python benchmarks/reliability/every_byte.py [--bits 1]

Prints how many changes were found by each, how many change nothing that is ever read, and ends with status 1 if a
change loaded other values without an error, or a cut file was read.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

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


def outcome(path: Path) -> Any:
    try:
        return epoch(path)
    except (BetonError, DecodeError):
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, default=1, help="Bits of each byte that are changed, one at a time.")
    bits = parser.parse_args().bits
    counts: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.beton"
        write(path)
        content, good = path.read_bytes(), epoch(path)
        flags = meaningful(content)
        for at in range(len(content)):
            for bit in range(bits):
                changed = bytearray(content)
                changed[at] ^= 1 << ((at + bit) % 8)
                path.write_bytes(changed)
                found, loaded = not verify(path).ok, outcome(path)
                counts["changes"] += 1
                counts["found by verify"] += found
                counts["refused by the loader"] += loaded is None
                counts["in bytes that are never read"] += not flags[at]
                if loaded not in (None, good) or found != flags[at]:
                    wrong.append(f"byte {at}: found {found}, meaningful {flags[at]}, same {loaded == good}")
        for length in range(len(content)):
            path.write_bytes(content[:length])
            counts["cuts"] += 1
            try:
                Reader(path)
            except TruncatedError:
                counts["cuts that are a TruncatedError"] += 1
    for what, count in counts.items():
        print(f"{count:8,} {what}")
    print("\n".join(wrong[:20]))
    return 1 if wrong or counts["cuts"] != counts["cuts that are a TruncatedError"] else 0


if __name__ == "__main__":
    raise SystemExit(main())

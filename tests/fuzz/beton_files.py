"""Structure-aware damage to ``.beton`` files: any table may say anything, and its checksum is then made right again."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ffprep.beton import Writer, layout
from ffprep.fields import BytesField, Field, FloatField, IntField, JSONField, NDArrayField, RGBImageField

FIELDS: dict[str, Field] = {
    "image": RGBImageField(write_mode="jpg"),
    "label": IntField(),
    "raw": RGBImageField(),
    "text": BytesField(),
    "array": NDArrayField("<i4", (2, 3)),
    "facts": JSONField(),
    "score": FloatField(),
}
COUNT = 5
EDGES = (
    0,
    1,
    2,
    7,
    255,
    4096,
    1 << 16,
    1 << 21,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    1 << 62,
    (1 << 63) - 1,
    (1 << 64) - 1,
)

Place = tuple[int, int]
"""Offset and size of a number in a file."""


def write_good(path: Path) -> bytes:
    """Write a file with a value of every kind and return its bytes."""
    rng = np.random.default_rng(0)
    with Writer(path, FIELDS, COUNT, manifest={"source": "fuzz"}) as writer:
        for n in range(COUNT):
            pixels = np.repeat(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8), 5 + n, axis=0).repeat(6, axis=1)
            array = np.arange(6, dtype="<i4").reshape(2, 3) * n
            values = [pixels, n, pixels[: n + 1], b"t" * (n % 3), array, {"n": [n]}, n / 2]
            encoded = [field.encode(value) for field, value in zip(FIELDS.values(), values, strict=True)]
            writer.write(encoded, f"{n}.jpg")
    return path.read_bytes()


class Damage:
    """Ways to damage one file.

    Parameters
    ----------
    good : bytes
        What `write_good` wrote.
    """

    def __init__(self, good: bytes) -> None:
        self.good = good
        header = layout.Header.unpack(good)
        record = layout.record_type(field.metadata_type for field in FIELDS.values())
        start = layout.records_start(len(FIELDS))
        self.records_end = start + COUNT * record.itemsize
        self.table = header.alloc_table_ptr
        self.block_at = layout.superblock_offset(self.records_end)
        block = layout.Superblock.unpack(good[self.block_at :])
        assert block is not None
        self.block = block
        head: list[Place] = [(0, 2), (2, 2), (4, 4), (8, 8), (16, 8)]
        descriptors = [(layout.records_start(n), 1) for n in range(len(FIELDS))]
        arguments = layout.records_start(4) + 17  # of the array field: its shape, then its dtype
        arrays = [(arguments + 8 * n, 8) for n in (0, 1, 2, 32)]
        self.numbers: list[list[Place]] = [head, descriptors, arrays, self._members(record, start)]
        self.numbers.append([(at, 8) for at in range(self.table, len(good) - 7, 8)])
        self.ways: list[tuple[int, Callable[[random.Random, bytearray], None]]] = [
            (10, self._number),
            (4, self._bytes),
            (3, self._copied_number),
            (2, self._superblock),
            (3, self._section),
            (3, self._payload),
            (1, self._dtype),
            (1, self._length),
        ]

    @staticmethod
    def _members(record: np.dtype[Any], start: int) -> list[Place]:
        places = []
        for name in record.names or ():
            assert record.fields is not None
            kind, offset = record.fields[name][:2]
            inner = [(kind.fields[m][1], kind.fields[m][0].itemsize) for m in kind.names] if kind.names else None
            for at, size in inner or [(0, kind.itemsize)]:
                places += [(start + n * record.itemsize + offset + at, min(size, 8)) for n in range(COUNT)]
        return places

    def draw(self, rng: random.Random) -> bytes:
        """Return a damaged file."""
        content = bytearray(self.good)
        weights = [weight for weight, _ in self.ways]
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
            rng.choices(self.ways, weights)[0][1](rng, content)
        if rng.random() < 0.7:
            self._seal(content)
        return bytes(content)

    def _seal(self, content: bytearray) -> None:
        """Make the checksums right again, of whatever is there now."""
        at = self.block_at
        if len(content) < self.table or content[at : at + 8] != layout.SUPERBLOCK_MAGIC:
            return
        sections = tuple(
            layout.Section(s.name, s.offset, s.size, xxhash.xxh3_64_intdigest(content[s.offset : s.offset + s.size]))
            for s in self.block.sections
        )
        block = layout.Superblock(
            len(content),
            (len(content) - self.table) // layout.ALLOCATION.itemsize,
            self.block.data_start,
            self.block.data_end,
            xxhash.xxh3_64_intdigest(content[:at]),
            xxhash.xxh3_64_intdigest(content[self.table :]),
            sections,
        ).pack()
        content[at : at + len(block)] = block

    # -- the ways; each changes the file a little -------------------------------------------------------

    def _put(self, rng: random.Random, content: bytearray, place: Place, value: int | None = None) -> None:
        at, size = place
        if at + size > len(content):
            return
        old = int.from_bytes(content[at : at + size], "little")
        near = (old - 1, old + 1, old + 8, old - 8, old * 2, old ^ (1 << rng.randrange(8 * size)), len(content))
        if value is None:
            value = rng.choice((rng.choice(EDGES), rng.choice(near), rng.getrandbits(8 * size)))
        content[at : at + size] = (value % (1 << (8 * size))).to_bytes(size, "little")

    def _number(self, rng: random.Random, content: bytearray) -> None:
        self._put(rng, content, rng.choice(rng.choice(self.numbers)))

    def _copied_number(self, rng: random.Random, content: bytearray) -> None:
        """Give a number the value that another one has, such as a pointer that of another sample."""
        group = rng.choice(self.numbers)
        at, size = rng.choice(group)
        self._put(rng, content, rng.choice(group), int.from_bytes(content[at : at + size], "little"))

    def _bytes(self, rng: random.Random, content: bytearray) -> None:
        for _ in range(rng.randrange(1, 9)):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)

    def _superblock(self, rng: random.Random, content: bytearray) -> None:
        """Let the superblock say something else, under a right checksum."""
        numbers = {**vars(self.block)}
        for name in rng.sample(["file_size", "num_allocations", "data_start", "data_end"], rng.randrange(3)):
            numbers[name] = rng.choice((rng.choice(EDGES), numbers[name] + rng.choice((-1, 1, 24))))
        sections = list(self.block.sections)
        for _ in range(rng.randrange(3)):
            n = rng.randrange(len(sections))
            old = vars(sections[n])
            change: dict[str, Any] = {"name": rng.choice(["manifest", "names", "page_xxh3", "payload_xxh3", "tables"])}
            change |= {"offset": rng.choice((*EDGES, old["offset"])), "size": rng.choice((*EDGES, old["size"]))}
            sections[n] = layout.Section(**{**old, **dict(rng.sample(list(change.items()), 2))})
        numbers = {name: value % (1 << 64) if isinstance(value, int) else value for name, value in numbers.items()}
        packed = layout.Superblock(**{**numbers, "sections": tuple(sections)}).pack()
        content[self.block_at : self.block_at + len(packed)] = packed

    def _section(self, rng: random.Random, content: bytearray) -> None:
        """Give a section other content that fits into its place or runs over what follows."""
        section = rng.choice(self.block.sections)
        lines = b"".join(bytes([rng.randrange(256)]) + b"\n" for _ in range(COUNT))
        other = rng.choice(
            (
                b"[" * rng.randrange(1, 3000),
                b'{"a":' * rng.randrange(1, 700),
                json.dumps(
                    {"source": "\x1b[31m" * rng.randrange(9), "options": rng.choice([None, [], {"a": 1}])}
                ).encode(),
                b"9" * rng.randrange(1, 6000),
                zlib.compress(bytes(rng.randrange(1, 300_000))),
                zlib.compress(lines),
                bytes(rng.randrange(256) for _ in range(section.size)),
                struct.pack("<IIQ", rng.choice(EDGES) % (1 << 32), rng.choice(EDGES) % (1 << 32), 0),
            )
        )
        piece = other[: max(section.size, 16)]
        content[section.offset : section.offset + len(piece)] = piece

    def _payload(self, rng: random.Random, content: bytearray) -> None:
        """Damage what is stored of a sample: JPEGs, JSON, arrays."""
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(self.block.data_start, self.block.data_end)
            if at < len(content):
                content[at] = rng.choice((0, 0xFF, 0xC4, 0xDA, ord("["), rng.randrange(256)))

    def _dtype(self, rng: random.Random, content: bytearray) -> None:
        texts = (
            '[["", "|O"]]',
            '[["", "<f8"]]',
            '[["", "<i4", [1000]]]',
            '[["", "|V8"]]',
            "[" * 300,
            '[["", "<S9"]]',
            "null",
        )
        raw = rng.choice(texts).encode()
        at = layout.records_start(4) + 17 + 256
        content[at : at + 8 + len(raw)] = struct.pack("<Q", len(raw)) + raw

    def _length(self, rng: random.Random, content: bytearray) -> None:
        if rng.random() < 0.6:
            del content[rng.randrange(len(content) + 1) :]
        elif rng.random() < 0.5:
            content += bytes(24 * rng.randrange(1, 5))
        else:
            at, size = rng.randrange(len(content) + 1), rng.randrange(1, 5000)
            del content[at : at + size]


__all__ = ["COUNT", "FIELDS", "Damage", "write_good"]

"""Reads a structure array from a MATLAB level 5 MAT-file, in which ImageNet's ``meta.mat`` has its synsets.

Only what this needs is supported: real numeric arrays, character arrays, structure arrays and compressed elements.
Every length is checked; nesting and size are limited.

Format: MATLAB MAT-File Format, chapter 1, "Level 5 MAT-File Format".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

from ffprep.errors import SourceError

_MATRIX, _COMPRESSED = 14, 15
_STRUCT_CLASS, _CHAR_CLASS = 2, 4
_NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_LARGEST = 256 << 20  # bytes after decompression; meta.mat has about 1.5 MB


def read_struct_array(data: bytes, name: str, label: str) -> list[dict[str, Any]]:
    """The records of the structure array ``name``.

    Character arrays become strings, numeric arrays of one element numbers, larger ones tuples of numbers, and anything
    else None.

    Raises
    ------
    SourceError
        When the bytes are not a MAT-file of level 5, are damaged, or contain no such array.
    """
    if len(data) < 136 or data[126:128] not in (b"IM", b"MI"):
        raise SourceError(f"{label}: not a MATLAB level 5 file")
    order = "<" if data[126:128] == b"IM" else ">"
    parser = _Parser(order, label)
    for kind, body in parser.elements(data[128:]):
        if kind == _COMPRESSED:
            inner = parser.inflate(body)
            kind, body = next(parser.elements(inner), (0, b""))
        if kind == _MATRIX:
            found, value = parser.matrix(body, 0)
            if found == name and isinstance(value, list):
                return value
    raise SourceError(f"{label}: holds no structure array called {name!r}")


class _Parser:
    def __init__(self, order: str, label: str) -> None:
        self.order = order
        self.label = label

    def bad(self, what: str) -> SourceError:
        return SourceError(f"{self.label}: damaged MATLAB file: {what}")

    def inflate(self, body: bytes) -> bytes:
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(body, _LARGEST)
        except zlib.error as error:
            raise self.bad(f"{error}") from None
        if stream.unconsumed_tail:
            raise self.bad("an element is too large")
        return data

    def elements(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Kind and body of each data element: an 8-byte tag and a body padded to 8 bytes, or 4 bytes of both."""
        at = 0
        while at + 8 <= len(data):
            (word, size) = struct.unpack_from(self.order + "II", data, at)
            if word >> 16:
                size, kind = word >> 16, word & 0xFFFF
                if size > 4:
                    raise self.bad(f"a small element of {size} bytes")
                yield kind, data[at + 4 : at + 4 + size]
                at += 8
                continue
            if at + 8 + size > len(data):
                raise self.bad("an element extends beyond the end of the file")
            yield word, data[at + 8 : at + 8 + size]
            at += 8 + size if word == _COMPRESSED else 8 + -(-size // 8) * 8

    def numbers(self, kind: int, body: bytes) -> tuple[Any, ...]:
        code = _NUMBERS.get(kind)
        if code is None:
            raise self.bad(f"unknown data type {kind}")
        width = struct.calcsize(code)
        return struct.unpack(f"{self.order}{len(body) // width}{code}", body[: len(body) // width * width])

    def matrix(self, body: bytes, depth: int) -> tuple[str, Any]:
        """The name and the value of an array."""
        if not body:
            return "", ()
        if depth > 4:
            raise self.bad("structures nested too deep")
        parts = self.elements(body)
        try:
            flags = self.numbers(*next(parts))
            shape = self.numbers(*next(parts))
            name = next(parts)[1].decode("latin-1")
            if not flags or len(shape) < 2 or min(shape) < 0:
                raise self.bad("an array without class or shape")
            count = 1
            for extent in shape:
                count *= extent
            if count > _LARGEST:
                raise self.bad("an array is too large")
            array_class = flags[0] & 0xFF
            if array_class == _STRUCT_CLASS:
                return name, self.records(parts, count, depth)
            if array_class == _CHAR_CLASS:
                kind, text = next(parts, (16, b""))
                return name, self.text(kind, text)
            if 6 <= array_class <= 15:
                values = self.numbers(*next(parts, (1, b"")))
                return name, values[0] if len(values) == 1 else values
        except StopIteration:
            raise self.bad("an array ends early") from None
        return name, None

    def records(self, parts: Iterator[tuple[int, bytes]], count: int, depth: int) -> list[dict[str, Any]]:
        width = self.numbers(*next(parts))
        table = next(parts)[1]
        if not width or width[0] < 1:
            raise self.bad("a structure without field names")
        fields = [table[i : i + width[0]].split(b"\0")[0].decode("latin-1") for i in range(0, len(table), width[0])]
        if not fields:
            return []
        result = []
        for _ in range(count):
            record = {}
            for field in fields:
                kind, body = next(parts)
                record[field] = self.matrix(body, depth + 1)[1] if kind == _MATRIX else None
            result.append(record)
        return result

    def text(self, kind: int, body: bytes) -> str:
        codec = _TEXTS.get(kind)
        if codec is None:
            raise self.bad(f"unknown text type {kind}")
        if codec in ("utf-16", "utf-32"):
            codec += "-le" if self.order == "<" else "-be"
        return body.decode(codec, "replace")

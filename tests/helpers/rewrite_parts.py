"""A JPEG stream taken apart, to check what the rewriter made of it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ffprep.jpeg import coefficients, read_header


@dataclass
class Parts:
    """A stream taken apart."""

    segments: list[tuple[int, bytes]] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)
    tail: bytes = b""

    def bodies(self, marker: int) -> list[bytes]:
        return [body for found, body in self.segments if found == marker]

    @property
    def interval(self) -> int:
        return int.from_bytes(self.bodies(0xDD)[-1], "big") if self.bodies(0xDD) else 0

    @property
    def tables(self) -> dict[int, tuple[list[int], bytes]]:
        """DHT class and number -> counts and symbols."""
        found = {}
        for body in self.bodies(0xC4):
            while body:
                counts = list(body[1:17])
                found[body[0]] = (counts, body[17 : 17 + sum(counts)])
                body = body[17 + sum(counts) :]
        return found


def take_apart(data: bytes) -> Parts:
    """Markers up to the end of the first scan."""
    parts, at = Parts(), 2
    assert data[:2] == b"\xff\xd8"
    while True:
        assert data[at] == 0xFF
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        parts.segments.append((marker, data[at + 4 : at + 2 + length]))
        at += 2 + length
        if marker == 0xDA:
            break
    while True:
        at = data.index(b"\xff", at)
        code = data[at + 1]
        if 0xD0 <= code <= 0xD7:
            parts.restarts.append(code - 0xD0)
        elif code != 0:
            parts.tail = data[at:]
            return parts
        at += 2


def check_structure(data: bytes, interval: int) -> Parts:
    """One interleaved sequential scan, the restart markers it should have, tables as T.81 wants them."""
    parts, header = take_apart(data), read_header(data)
    assert header.single_scan and parts.tail == b"\xff\xd9"
    assert [m for m, _ in parts.segments if 0xC0 <= m <= 0xC2] == [header.sof]
    mcus = header.mcus[0] * header.mcus[1]
    expected = interval if 0 < interval < mcus else 0
    assert parts.interval == header.restart_interval == expected
    count = (mcus - 1) // expected if expected else 0
    assert parts.restarts == [i % 8 for i in range(count)]
    for number, (counts, symbols) in parts.tables.items():
        room = (1 << 16) - sum(n << (15 - i) for i, n in enumerate(counts))
        assert room > 0, "the code of all ones is in use, or there are too many"
        assert len(set(symbols)) == len(symbols) and len(counts) == 16
        assert number >> 4 or max(symbols) <= 11
    assert len(parts.tables) <= 4 or header.sof == 0xC1
    return parts


def pixels(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def check_equal(before: bytes, after: bytes) -> None:
    for a, b in zip(coefficients(before), coefficients(after), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(pixels(before), pixels(after))

"""Marker segments at the edges of T.81: accepted up to them, refused a step beyond, and never read past the end."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import ffprep.jpeg
from ffprep.jpeg import Status
from ffprep.jpeg.rewrite import Note

NATIVE = Path(ffprep.jpeg.__file__).parent / "native"
FLAGS = ["-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
OK, BAD_MARKER, TRUNCATED = Status.OK, Status.BAD_MARKER, Status.TRUNCATED_HEADER
BAD_HUFFMAN, BAD_QUANT = Status.BAD_HUFFMAN_TABLE, Status.BAD_QUANT_TABLE
GRAY, YCC, RGB, CMYK = 1, 2, 3, 4
Parse = Callable[[list[bytes]], list[list[int]]]


def segment(marker: int, payload: bytes) -> bytes:
    """A marker segment (B.1.1.4)."""
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload


def dht(counts: dict[int, int], *, symbols: int | None = None, kind: int = 0, number: int = 0) -> bytes:
    """A Huffman table with the given number of codes of each length, and as many symbols unless told otherwise."""
    total = sum(counts.values()) if symbols is None else symbols
    lengths = bytes(counts.get(n, 0) for n in range(1, 17))
    return bytes((kind << 4 | number,)) + lengths + bytes(i % 256 for i in range(total))


def dqt(*, wide: int = 0, number: int = 0, values: int = 64, value: int = 1) -> bytes:
    """A quantisation table."""
    return bytes((wide << 4 | number,)) + value.to_bytes(2 if wide else 1, "big") * values


def sof(
    components: list[tuple[int, int, int]] | None = None,
    *,
    size: tuple[int, int] = (8, 8),
    precision: int = 8,
    quant: int = 0,
    count: int | None = None,
) -> bytes:
    """A frame header's parameters; components are (identifier, h, v)."""
    components = [(1, 1, 1)] if components is None else components
    head = bytes((precision,)) + size[1].to_bytes(2, "big") + size[0].to_bytes(2, "big")
    body = b"".join(bytes((i, h << 4 | v, quant)) for i, h, v in components)
    return head + bytes((len(components) if count is None else count,)) + body


def sos(ids: list[int] | None = None, *, tables: int = 0, band: tuple[int, int, int] = (0, 63, 0)) -> bytes:
    """A scan header's parameters; band is Ss, Se, Ah and Al."""
    ids = [1] if ids is None else ids
    return bytes((len(ids),)) + b"".join(bytes((i, tables)) for i in ids) + bytes(band)


TABLES = segment(0xDB, dqt()) + segment(0xC4, dht({1: 1}) + dht({1: 1}, kind=1))


def stream(
    before: bytes = b"",
    *,
    tables: bytes = TABLES,
    frame: bytes | None = None,
    scan: bytes | None = None,
    marker: int = 0xC0,
    data: bytes = b"\x00",
) -> bytes:
    """A whole header: `before` right after SOI, then tables, frame and scan headers, and one byte of data."""
    frame = segment(marker, sof()) if frame is None else frame
    return b"\xff\xd8" + before + tables + frame + (segment(0xDA, sos()) if scan is None else scan) + data


def with_dht(payload: bytes) -> bytes:
    """A stream with one more DHT segment."""
    return stream(segment(0xC4, payload))


def exif(entries: list[tuple[int, int, int, int]], *, order: str = "II", cut: int = 0, at: int = 8) -> bytes:
    """An APP1 payload; entries are (tag, type, count, value). `cut` bytes are missing at its end."""
    endian = "little" if order == "II" else "big"
    body = order.encode() + (42).to_bytes(2, endian) + at.to_bytes(4, endian) + len(entries).to_bytes(2, endian)
    for tag, kind, count, value in entries:
        width = 4 if kind == 4 else 2
        body += tag.to_bytes(2, endian) + kind.to_bytes(2, endian) + count.to_bytes(4, endian)
        body += value.to_bytes(width, endian) + bytes(4 - width)
    return b"Exif\0\0" + body[: len(body) - cut]


THREE = [(1, 1, 1), (2, 1, 1), (3, 1, 1)]
LADDER = dict.fromkeys(range(1, 16), 1)  # leaves two codes of 16 bits


def coloured(before: bytes, ids: tuple[int, int, int] = (1, 2, 3)) -> bytes:
    """Three components with these identifiers."""
    frame = segment(0xC0, sof([(i, 1, 1) for i in ids]))
    return stream(before, frame=frame, scan=segment(0xDA, sos(list(ids))))


def sampled(components: list[tuple[int, int, int]]) -> bytes:
    """An interleaved scan of these components."""
    return stream(frame=segment(0xC0, sof(components)), scan=segment(0xDA, sos([c[0] for c in components])))


def banded(ss: int, se: int, approximation: int, ids: list[int] | None = None) -> bytes:
    """A progressive stream whose first scan sends this band."""
    frame = segment(0xC2, sof(THREE if ids and len(ids) > 1 else None))
    return stream(frame=frame, scan=segment(0xDA, sos(ids, band=(ss, se, approximation))))


JFIF, ADOBE = b"JFIF\0\1" + bytes(8), b"Adobe" + bytes(6)
STATUSES: dict[str, tuple[bytes, Status]] = {
    "plain": (stream(), OK),
    # DHT: B.2.4.2, C.2
    "DHT of 16 bytes": (with_dht(dht({1: 1})[:16]), BAD_HUFFMAN),
    "DHT of 17 bytes": (with_dht(dht({})), OK),
    "DHT class 2": (with_dht(dht({1: 1}, kind=2)), BAD_HUFFMAN),
    "DHT number 3": (with_dht(dht({1: 1}, number=3)), OK),
    "DHT number 4": (with_dht(dht({1: 1}, number=4)), BAD_HUFFMAN),
    "DHT two tables": (with_dht(dht({1: 1}, number=2) + dht({2: 3}, number=3)), OK),
    "DHT a symbol short": (with_dht(dht({1: 1, 2: 1}, symbols=1)), BAD_HUFFMAN),
    "DHT 256 symbols": (with_dht(dht({15: 2, 16: 254})), OK),
    "DHT 257 symbols": (with_dht(dht({15: 2, 16: 255})), BAD_HUFFMAN),
    "DHT 16 bits": (with_dht(dht({16: 1})), OK),
    "DHT 16 bits complete": (with_dht(dht({**LADDER, 16: 2})), OK),
    "DHT 16 bits over": (with_dht(dht({**LADDER, 16: 3})), BAD_HUFFMAN),
    **{f"DHT {n} bits complete": (with_dht(dht({n: 1 << n})), OK) for n in range(1, 8)},
    **{f"DHT {n} bits over": (with_dht(dht({n: (1 << n) + 1})), BAD_HUFFMAN) for n in range(1, 8)},
    # DQT: B.2.4.1
    "DQT wide": (stream(segment(0xDB, dqt(wide=1, value=0x1FF))), OK),
    "DQT wide a byte short": (stream(segment(0xDB, dqt(wide=1, value=0x1FF)[:-1])), BAD_QUANT),
    "DQT a byte short": (stream(segment(0xDB, dqt(values=63))), BAD_QUANT),
    "DQT a byte long": (stream(segment(0xDB, dqt(values=65))), BAD_QUANT),
    "DQT two tables": (stream(segment(0xDB, dqt(number=2) + dqt(number=3, wide=1))), OK),
    "DQT precision 2": (stream(segment(0xDB, dqt(wide=2, values=64))), BAD_QUANT),
    "DQT number 4": (stream(segment(0xDB, dqt(number=4))), BAD_QUANT),
    "DQT zero": (stream(segment(0xDB, dqt(value=0))), OK),
    "DQT missing": (stream(tables=segment(0xC4, dht({1: 1}) + dht({1: 1}, kind=1))), Status.MISSING_TABLE),
    "DC table missing": (stream(tables=segment(0xDB, dqt()) + segment(0xC4, dht({1: 1}, kind=1))), OK),
    "AC table missing": (stream(tables=segment(0xDB, dqt()) + segment(0xC4, dht({1: 1}))), OK),
    # DRI: B.2.4.4
    **{f"DRI of {n}": (stream(segment(0xDD, bytes(n))), OK if n == 2 else BAD_MARKER) for n in (0, 1, 2, 3)},
    # SOF: B.2.2
    "SOF of 5 bytes": (stream(frame=segment(0xC0, sof([])[:5])), BAD_MARKER),
    "SOF a byte short": (stream(frame=segment(0xC0, sof()[:-1])), BAD_MARKER),
    "SOF a byte long": (stream(frame=segment(0xC0, sof() + b"\0")), BAD_MARKER),
    "SOF no component": (stream(frame=segment(0xC0, sof([]))), BAD_MARKER),
    "SOF twice": (stream(frame=segment(0xC0, sof()) * 2), BAD_MARKER),
    "SOF missing": (stream(frame=b""), BAD_MARKER),
    "SOF 12 bits": (stream(frame=segment(0xC0, sof(precision=12))), Status.UNSUPPORTED_PROCESS),
    "SOF no width": (stream(frame=segment(0xC0, sof(size=(0, 8)))), BAD_MARKER),
    "SOF no height": (stream(frame=segment(0xC0, sof(size=(8, 0)))), Status.UNSUPPORTED_PROCESS),
    "SOF 2 components": (stream(frame=segment(0xC0, sof(THREE[:2]))), Status.UNSUPPORTED_COLOR),
    "SOF 5 components": (stream(frame=segment(0xC0, sof([(i, 1, 1) for i in range(5)]))), Status.UNSUPPORTED_COLOR),
    "SOF largest": (stream(frame=segment(0xC0, sof(size=(1 << 14, 1 << 14)))), OK),
    "SOF too large": (stream(frame=segment(0xC0, sof(size=((1 << 14) + 1, 1 << 14)))), Status.TOO_LARGE),
    "SOF table 3": (stream(segment(0xDB, dqt(number=3)), frame=segment(0xC0, sof(quant=3))), OK),
    "SOF table 4": (stream(frame=segment(0xC0, sof(quant=4))), BAD_MARKER),
    "SOF identifier twice": (sampled([(1, 1, 1), (2, 1, 1), (1, 1, 1)]), OK),
    **{f"SOF h {n}": (sampled([(1, n, 1)]), OK if 1 <= n <= 4 else BAD_MARKER) for n in (0, 1, 4, 5)},
    **{f"SOF v {n}": (sampled([(1, 1, n)]), OK if 1 <= n <= 4 else BAD_MARKER) for n in (0, 1, 4, 5)},
    "SOF uneven": (sampled([(1, 3, 1), (2, 2, 1), (3, 1, 1)]), Status.UNSUPPORTED_SAMPLING),
    # SOS: B.2.3
    "10 blocks": (sampled([(1, 4, 2), (2, 1, 1), (3, 1, 1)]), OK),
    "11 blocks": (sampled([(1, 4, 2), (2, 2, 1), (3, 1, 1)]), Status.UNSUPPORTED_SAMPLING),
    "SOS empty": (stream(scan=segment(0xDA, b"")), BAD_MARKER),
    "SOS no component": (stream(scan=segment(0xDA, sos([]))), BAD_MARKER),
    "SOS a byte short": (stream(scan=segment(0xDA, sos()[:-1])), BAD_MARKER),
    "SOS a byte long": (stream(scan=segment(0xDA, sos() + b"\0")), BAD_MARKER),
    "SOS too many": (stream(scan=segment(0xDA, sos([1, 2]))), BAD_MARKER),
    "SOS unknown": (stream(scan=segment(0xDA, sos([2]))), BAD_MARKER),
    "SOS out of order": (stream(frame=segment(0xC0, sof(THREE)), scan=segment(0xDA, sos([2, 1, 3]))), BAD_MARKER),
    "SOS DC table 4": (stream(scan=segment(0xDA, sos(tables=0x40))), BAD_MARKER),
    "SOS AC table 4": (stream(scan=segment(0xDA, sos(tables=0x04))), BAD_MARKER),
    "SOS table 3": (
        stream(
            segment(0xC4, dht({1: 1}, number=3) + dht({1: 1}, kind=1, number=3)), scan=segment(0xDA, sos(tables=0x33))
        ),
        OK,
    ),
    # G.1.1.1
    "band DC": (banded(0, 0, 0), OK),
    "band DC of three": (banded(0, 0, 0, [1, 2, 3]), OK),
    "band DC and AC": (banded(0, 1, 0), BAD_MARKER),
    "band AC": (banded(1, 63, 0), OK),
    "band AC of one": (banded(63, 63, 0), OK),
    "band AC of three": (banded(1, 63, 0, [1, 2, 3]), BAD_MARKER),
    "band past 63": (banded(1, 64, 0), BAD_MARKER),
    "band backwards": (banded(2, 1, 0), BAD_MARKER),
    "band Al 13": (banded(0, 0, 13), OK),
    "band Al 14": (banded(0, 0, 14), BAD_MARKER),
    "band Ah by one": (banded(0, 0, 0x21), OK),
    "band Ah by two": (banded(0, 0, 0x31), BAD_MARKER),
    # markers: B.1.1
    "no data": (stream(data=b""), TRUNCATED),
    "only SOI": (b"\xff\xd8", TRUNCATED),
    "ends with RST": (b"\xff\xd8\xff\xd0", TRUNCATED),
    "ends with other bytes": (b"\xff\xd8\xff\xd0\x00\x01", TRUNCATED),
    "half SOI": (b"\xff", Status.NOT_JPEG),
    "not SOI": (b"\xff\xd9" + stream(), Status.NOT_JPEG),
    "SOI twice": (stream(b"\xff\xd8"), BAD_MARKER),
    "EOI early": (stream(b"\xff\xd9"), TRUNCATED),
    "length 1": (stream(b"\xff\xfe\x00\x01"), OK),
    "length 0 at the end": (b"\xff\xd8\xff\xe1\x00\x00", TRUNCATED),
    "length 0, table": (stream(b"\xff\xdb\x00\x00"), BAD_MARKER),
    "length 2": (stream(b"\xff\xfe\x00\x02"), OK),
    "length past the end": (b"\xff\xd8\xff\xfe\x00\x03", TRUNCATED),
    "half a length": (b"\xff\xd8\xff\xfe\x00", TRUNCATED),
    "stray and fill bytes": (stream(b"\x00\x01\xff\x00\xff\xff\xff\xfe\x00\x02"), OK),
    "TEM and RST": (stream(b"\xff\x01\xff\xd0\xff\xd7"), OK),
    "DAC, DNL, APP1 to APP15": (stream(b"".join(segment(m, b"") for m in (0xCC, 0xDC, *range(0xE0, 0xF0)))), OK),
    **{f"reserved {m:02X}": (stream(segment(m, b"")), BAD_MARKER) for m in (0x02, 0xBF, 0xF0, 0xF6, 0xF8, 0xFD)},
    **{
        f"process {m:02X}": (stream(segment(m, b"")), Status.UNSUPPORTED_PROCESS)
        for m in (0xC3, 0xC5, 0xC8, 0xCB, 0xCF, 0xDE, 0xDF, 0xF7)
    },
}
SHORT = (0x0112, 3, 1, 6)
ORIENTATIONS: dict[str, tuple[bytes, int]] = {
    "SHORT, little": (exif([SHORT]), 6),
    "SHORT, big": (exif([SHORT], order="MM"), 6),
    "LONG, little": (exif([(0x0112, 4, 1, 5)]), 5),
    "LONG, big": (exif([(0x0112, 4, 1, 5)], order="MM"), 5),
    "BYTE": (exif([(0x0112, 1, 1, 6)]), 1),
    "last of three entries": (exif([(0x0100, 3, 1, 3), (0x0101, 3, 1, 4), SHORT]), 6),
    "value 0": (exif([(0x0112, 3, 1, 0)]), 1),
    "value 1": (exif([(0x0112, 3, 1, 1)]), 1),
    "value 8": (exif([(0x0112, 3, 1, 8)]), 8),
    "value 9": (exif([(0x0112, 3, 1, 9)]), 1),
    "two values": (exif([(0x0112, 3, 2, 6)]), 1),
    "entry a byte short": (exif([SHORT], cut=1), 1),
    "LONG a byte short": (exif([(0x0112, 4, 1, 5)], order="MM", cut=1), 1),
    "count of entries a byte short": (exif([], cut=1), 1),
    "no entry": (exif([]), 1),
    "no count of entries": (exif([], cut=2), 1),
    "a byte of the offset missing": (exif([], cut=3), 1),
    "offset past the end": (exif([SHORT], at=23), 1),
    "largest offset": (exif([SHORT], at=0xFFFFFFFF), 1),
    "neither order": (exif([SHORT]).replace(b"II", b"IM"), 1),
    "not 42": (exif([SHORT]).replace(b"\x2a", b"\x2b"), 1),
    "not Exif": (exif([SHORT]).replace(b"Exif\0\0", b"Exif\0\1"), 1),
}
COLOURS: dict[str, tuple[bytes, int, int]] = {
    "by default": (coloured(b""), YCC, -1),
    "by identifiers": (coloured(b"", (82, 71, 66)), RGB, -1),
    "JFIF over identifiers": (coloured(segment(0xE0, JFIF), (82, 71, 66)), YCC, -1),
    "JFIF a byte short": (coloured(segment(0xE0, JFIF[:-1]), (82, 71, 66)), RGB, -1),
    "Adobe 0": (coloured(segment(0xEE, ADOBE + b"\0")), RGB, 0),
    "Adobe 1": (coloured(segment(0xEE, ADOBE + b"\1"), (82, 71, 66)), YCC, 1),
    "Adobe a byte short": (coloured(segment(0xEE, ADOBE)), YCC, -1),
    "JFIF over Adobe": (coloured(segment(0xE0, JFIF) + segment(0xEE, ADOBE + b"\0")), YCC, 0),
    "four": (sampled([*THREE, (4, 1, 1)]), CMYK, -1),
    "grey": (stream(), GRAY, -1),
}
STRAY, ODD_COLOUR = Note.STRAY, Note.COLOUR
NOTES: dict[str, tuple[bytes, int]] = {
    "plain": (stream(), 0),
    "a segment before": (stream(b"\xff\xfe\x00\x02"), 0),
    "fill bytes": (stream(b"\xff\xff\xff\xfe\x00\x02"), 0),
    "a byte": (stream(b"\x00\xff\xfe\x00\x02"), STRAY),
    "a byte after a fill byte": (stream(b"\xff\x00\xff\xfe\x00\x02"), STRAY),
    "a byte before the last fill byte": (stream(b"\x07\xff\xff\xfe\x00\x02"), STRAY),
    "JFIF 1": (coloured(segment(0xE0, JFIF)), 0),
    "JFIF 2": (coloured(segment(0xE0, JFIF.replace(b"\1", b"\2"))), ODD_COLOUR),
    "Adobe 1": (coloured(segment(0xEE, ADOBE + b"\1")), 0),
    "Adobe 2": (coloured(segment(0xEE, ADOBE + b"\2")), ODD_COLOUR),
    "JFIF over Adobe 2": (coloured(segment(0xE0, JFIF) + segment(0xEE, ADOBE + b"\2")), 0),
    "length 0": (stream(b"\xff\xe1\x00\x00"), Note.LENGTH),
    "length 1": (stream(b"\xff\xdc\x00\x01"), Note.LENGTH),
    "length 1 before a byte": (stream(b"\xff\xfe\x00\x01\x07"), Note.LENGTH | STRAY),
    "length 2": (stream(b"\xff\xe1\x00\x02"), 0),
    "grey with Adobe 2": (stream(segment(0xEE, ADOBE + b"\2")), 0),
}


@pytest.fixture(scope="module")
def parse(tmp_path_factory: pytest.TempPathFactory) -> Parse:
    """Parses streams under sanitizers; status, colour, orientation, Adobe transform, restart interval, notes."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("edges")
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    if subprocess.run([compiler, *FLAGS, probe, "-o", folder / "probe"], capture_output=True).returncode:
        pytest.skip("no sanitizers")
    sources = [Path(__file__).with_name("parse_edges.c"), *sorted(NATIVE.glob("parse/*.c")), NATIVE / "huffman/codes.c"]
    program = folder / "edges"
    subprocess.run(
        [compiler, *FLAGS, "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}", *sources, "-o", program], check=True
    )

    def run(streams: list[bytes]) -> list[list[int]]:
        files = []
        for number, data in enumerate(streams):
            files.append(folder / f"{number:03d}.jpg")
            files[-1].write_bytes(data)
        done = subprocess.run([program, *files], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-4000:]
        return [list(map(int, line.split())) for line in done.stdout.splitlines()]

    return run


def test_statuses(parse: Parse) -> None:
    """Each stream gets its status."""
    found = parse([data for data, _ in STATUSES.values()])
    wrong = {
        name: f"{Status(got[0]).name}, not {wanted.name}"
        for (name, (_, wanted)), got in zip(STATUSES.items(), found, strict=True)
        if got[0] != wanted
    }
    assert not wrong


def test_orientations(parse: Parse) -> None:
    """EXIF that ends with its segment, and that with the stream, is read as far as it goes."""
    found = parse([stream(segment(0xE1, payload)) for payload, _ in ORIENTATIONS.values()])
    assert {name: got[2] for name, got in zip(ORIENTATIONS, found, strict=True)} == {
        name: wanted for name, (_, wanted) in ORIENTATIONS.items()
    }
    assert all(got[0] == OK for got in found)
    ended = parse([b"\xff\xd8" + segment(0xE1, payload) for payload, _ in ORIENTATIONS.values()])
    assert all(got[0] == TRUNCATED for got in ended)


def test_colours_and_restarts(parse: Parse) -> None:
    """What decides the colour, and the restart interval."""
    found = parse([data for data, _, _ in COLOURS.values()])
    assert {name: (got[1], got[3]) for name, got in zip(COLOURS, found, strict=True)} == {
        name: (colour, adobe) for name, (_, colour, adobe) in COLOURS.items()
    }
    assert [got[4] for got in parse([stream(segment(0xDD, b"\x01\x02")), stream()])] == [0x102, 0]


def test_notes(parse: Parse) -> None:
    """Oddities that keep no image from being whole are noted, and nothing else is."""
    found = parse([data for data, _ in NOTES.values()])
    assert {name: (got[0], Note(got[5])) for name, got in zip(NOTES, found, strict=True)} == {
        name: (OK, Note(notes)) for name, (_, notes) in NOTES.items()
    }

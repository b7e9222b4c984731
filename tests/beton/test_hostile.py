"""Cut, damaged and malicious files: one typed error that names the file and the byte, or the right values."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from hostile_betons import (
    COUNT,
    FIELDS,
    patched,
    read_everything,
    record_byte,
    records_end,
    refused,
    superblock_of,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ffprep.beton import Reader, Writer, layout
from ffprep.beton.sections import MAX_NAME
from ffprep.beton.verify import verify
from ffprep.errors import (
    BetonError,
    CorruptError,
    DecodeError,
    NotABetonError,
    OptionError,
    TruncatedError,
    UnfinishedError,
)
from ffprep.fields import BytesField, Field, IntField


def test_the_files_are_good(ours: bytes, plain: bytes) -> None:
    for content in (ours, plain):
        samples = read_everything(content)
        assert [sample["label"] for sample in samples] == list(range(COUNT))


@pytest.mark.parametrize("kind", ["ours", "plain"])
def test_cut_anywhere(kind: str, request: pytest.FixtureRequest) -> None:
    """At every boundary of the structure, a byte to each side, and at many places between."""
    content: bytes = request.getfixturevalue(kind)
    header = layout.Header.unpack(content)
    end = records_end(content)
    block = superblock_of(request.getfixturevalue("ours"))
    boundaries = [0, 2, layout.HEADER.size, *(layout.records_start(n) for n in range(1, len(FIELDS) + 1))]
    boundaries += [end, layout.superblock_offset(end), block.data_start, block.data_end, header.alloc_table_ptr]
    cuts = {cut + step for cut in boundaries for step in (-1, 0, 1)} | set(range(0, len(content), 997))
    cuts |= set(range(header.alloc_table_ptr, len(content)))
    for cut in sorted(cut for cut in cuts if 0 <= cut < len(content)):
        error = refused(content[:cut])
        assert isinstance(error, TruncatedError), (cut, error)
        assert "byte" in str(error)


def test_bytes_behind_the_end(ours: bytes, plain: bytes) -> None:
    assert isinstance(refused(ours + bytes(24)), CorruptError)
    assert isinstance(refused(ours + b"x"), CorruptError)
    assert isinstance(refused(plain + b"x"), TruncatedError)


def test_not_a_beton() -> None:
    for content in (b"\xff\xd8\xff\xe0" * 100, b"PK", bytes(5000), b"\x01\x00" + bytes(3000)):
        assert isinstance(refused(content), NotABetonError)
    assert isinstance(refused(b""), TruncatedError)


def test_unfinished(ours: bytes) -> None:
    assert isinstance(refused(patched(ours, 16, bytes(8))), UnfinishedError)


HUGE = [2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]


@pytest.mark.parametrize("value", [COUNT - 1, COUNT + 1, COUNT + 40, *HUGE])
def test_wrong_number_of_samples(ours: bytes, plain: bytes, value: int) -> None:
    for content in (ours, plain):
        if content is plain and value == COUNT - 1:
            continue
        refused(patched(content, 8, struct.pack("<Q", value)))


@pytest.mark.parametrize("value", [1, 24, 5000, *HUGE])
def test_wrong_table_pointer(ours: bytes, plain: bytes, value: int) -> None:
    for content in (ours, plain):
        refused(patched(content, 16, struct.pack("<Q", value)))


@pytest.mark.parametrize("value", [0, 1, 4096, (1 << 21) - 1, (1 << 21) + 1, 3 << 21, 2**32 - 1])
def test_wrong_page_size(ours: bytes, value: int) -> None:
    assert "byte 4: page size" in str(refused(patched(ours, 4, struct.pack("<I", value))))


@pytest.mark.parametrize("value", [0, 1, 6, 8, 300, 65535])
def test_wrong_number_of_fields(ours: bytes, plain: bytes, value: int) -> None:
    for content in (ours, plain):
        refused(patched(content, 2, struct.pack("<H", value)))


def test_field_names(ours: bytes) -> None:
    second = layout.records_start(1) + 1
    assert "second field is called 'image'" in str(refused(patched(ours, second, b"image\0")))
    assert "not ASCII" in str(refused(patched(ours, second, b"\xff")))


def test_type_ids(ours: bytes) -> None:
    for value in (7, 200, 254):
        assert f"type id {value}" in str(refused(patched(ours, layout.records_start(1), bytes([value]))))
    error = refused(patched(ours, layout.records_start(1), b"\xff"))
    assert "custom_fields={'label': ItsFieldClass}" in str(error)


ARRAY_ARGUMENTS = layout.records_start(4) + 17
BAD_DTYPES = [
    '[["", "|O"]]',
    '[["", "O"]]',
    '[["", "V8"]]',
    '[["a", "<i4"], ["b", "<i4"]]',
    '[["", [["x", "<i4"]]]]',
    '[["", "<i4", [1000000]]]',
    '[["", "<i3"]]',
    '[["", "<S99999999"]]',
    '[["", "__import__(\'os\')"]]',
    "[" * 700,
    "null",
    '{"": "<i4"}',
    '[["", 4]]',
    "\x00",
    "é",
]


@pytest.mark.parametrize("text", BAD_DTYPES)
def test_array_dtypes(ours: bytes, text: str) -> None:
    raw = text.encode()
    patch = struct.pack("<Q", len(raw)) + raw
    error = refused(patched(ours, ARRAY_ARGUMENTS + 256, patch))
    assert "field 4 (array)" in str(error)


@pytest.mark.parametrize("shape", [(2**40, 2**40), (2**63,), (2**64 - 1,) * 32, (2**40,), (3, 0, 2**50)])
def test_array_shapes(ours: bytes, shape: tuple[int, ...]) -> None:
    content = patched(ours, ARRAY_ARGUMENTS, struct.pack(f"<{len(shape)}Q", *shape))
    if 0 in shape:
        assert read_everything(content)[0]["array"].size == 0
    else:
        refused(content)


def test_array_dtype_longer_than_its_room(ours: bytes) -> None:
    for length in (761, 1024, 2**63, 2**64 - 1):
        refused(patched(ours, ARRAY_ARGUMENTS + 256, struct.pack("<Q", length)))


POINTERS = [("image", "data_ptr"), ("raw", "data_ptr"), ("text", "ptr"), ("array", ""), ("facts", "ptr")]


@pytest.mark.parametrize("value", [0, 30, *HUGE])
@pytest.mark.parametrize(("name", "member"), POINTERS)
def test_wrong_pointers(plain: bytes, name: str, member: str, value: int) -> None:
    where = record_byte(name, 2, member)
    error = refused(patched(plain, where, struct.pack("<Q", value)))
    assert f"sample 2, field '{name}'" in str(error)
    assert f"byte {record_byte(name, 2)}" in str(error)


@pytest.mark.parametrize("value", [2**21 + 1, *HUGE])
@pytest.mark.parametrize("name", ["text", "facts"])
def test_wrong_sizes(plain: bytes, name: str, value: int) -> None:
    error = refused(patched(plain, record_byte(name, 2, "size"), struct.pack("<Q", value)))
    assert f"sample 2, field '{name}'" in str(error)


@pytest.mark.parametrize(
    ("member", "patch"), [("mode", b"\2"), ("mode", b"\xff"), ("width", b"\0\0"), ("height", b"\0\0")]
)
def test_wrong_images(plain: bytes, member: str, patch: bytes) -> None:
    assert "no valid mode, width and height" in str(refused(patched(plain, record_byte("raw", 2, member), patch)))


def test_raw_image_beyond_the_file(plain: bytes) -> None:
    refused(patched(plain, record_byte("raw", 2, "width"), b"\xff\xff\xff\xff"))


@pytest.mark.parametrize("member", [0, 8, 16])
@pytest.mark.parametrize("value", HUGE)
def test_wrong_allocations(plain: bytes, member: int, value: int) -> None:
    table = layout.Header.unpack(plain).alloc_table_ptr
    error = refused(patched(plain, table + 24 * 3 + member, struct.pack("<Q", value)))
    assert "row 3 of the allocation table" in str(error)


def test_an_image_that_is_not_in_the_table(plain: bytes) -> None:
    table = layout.Header.unpack(plain).alloc_table_ptr
    pointer = struct.unpack_from("<Q", plain, table + 8)[0]
    content = patched(plain, table + 8, struct.pack("<Q", pointer + 1))
    content = patched(content, table + 16, struct.pack("<Q", 1))
    assert "sample 0, field 'image'" in str(refused(content))


def test_an_image_with_two_sizes(plain: bytes) -> None:
    table = layout.Header.unpack(plain).alloc_table_ptr
    pointer = struct.unpack_from("<Q", plain, table + 8)[0]
    # The same row again with another size, in a table that is in no order.
    content = patched(plain, table + 24 * 5, struct.pack("<QQQ", 2, pointer, 3))
    content = patched(content, record_byte("image", 1, "data_ptr"), struct.pack("<Q", pointer))
    assert "two sizes" in str(refused(content))


def test_payload_across_a_page(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    with Writer(path, {"text": BytesField()}, 5, page_size=1 << 21) as writer:
        for _ in range(5):
            writer.write([BytesField().encode(bytes(1_000_000))])
    content = path.read_bytes()
    start = layout.records_start(1) + 16
    pointer = struct.unpack_from("<Q", content, start)[0]
    path.write_bytes(patched(content, start, struct.pack("<Q", pointer + 700_000)))
    with pytest.raises(CorruptError, match="sample 1, field 'text'.*across a page"):
        Reader(path)


def test_superblock_that_lies(ours: bytes) -> None:
    at = layout.superblock_offset(records_end(ours))
    block = superblock_of(ours)
    for change in (
        {"data_start": 0},
        {"data_end": 2**63},
        {"num_allocations": 2**60},
        {"file_size": len(ours) - 24},
        {"sections": (layout.Section("manifest", 2**63, 4, 0),)},
        {"sections": (layout.Section("manifest", block.data_start, 2**64 - 1, 0),)},
    ):
        lie = layout.Superblock(**{**vars(block), **change})
        assert isinstance(refused(patched(ours, at, lie.pack())), CorruptError)
    refused(patched(ours, at + 20, b"\x01"))
    for content in (b"[1]", b"nonsense", b"[" * 5000, b"\xff"):
        lie = layout.Section("manifest", block.data_start, len(content), xxhash.xxh3_64_intdigest(content))
        changed = patched(ours, block.data_start, content)
        changed = patched(changed, at, layout.Superblock(**{**vars(block), "sections": (lie,)}).pack())
        assert "manifest" in str(refused(changed))


@pytest.mark.parametrize("change", [-1, 0])
@pytest.mark.parametrize("end", [False, True])
def test_sections_at_the_ends_of_the_files_parts(ours: bytes, tmp_path: Path, end: bool, change: int) -> None:
    """The first and the last byte at which an empty section may lie, and the bytes outside them."""
    first, last = records_end(ours), len(ours) - superblock_of(ours).num_allocations * layout.ALLOCATION.itemsize
    section = layout.Section("extra", last - change if end else first + change, 0, xxhash.xxh3_64_intdigest(b""))
    head = layout.Superblock(**{**vars(superblock_of(ours)), "sections": (section,)}).pack()
    changed = patched(ours, layout.superblock_offset(first), head)
    if change:
        assert "points out of the file's parts" in str(refused(changed))
    else:
        path = tmp_path / "x.beton"
        path.write_bytes(changed)
        with Reader(path) as reader:
            assert reader.section("extra") == b""


def with_section(content: bytes, name: str, data: bytes) -> bytes:
    """Put a section with a right checksum where the payloads start."""
    block = superblock_of(content)
    section = layout.Section(name, block.data_start, len(data), xxhash.xxh3_64_intdigest(data))
    at = layout.superblock_offset(records_end(content))
    head = layout.Superblock(**{**vars(block), "sections": (section,)}).pack()
    return patched(patched(content, block.data_start, data), at, head)


def test_names_that_lie(ours: bytes) -> None:
    import zlib

    for lines in (b"", b"one\n", b"\n" * (COUNT + 1), b"\xff\n" * COUNT):
        assert "sample names" in str(refused(with_section(ours, "names", zlib.compress(lines))))
    bomb = zlib.compress(bytes(1_000_000))
    assert "sample names" in str(refused(with_section(ours, "names", bomb)))
    most = COUNT * MAX_NAME
    longest = with_section(ours, "names", zlib.compress(b"x" * most + b"\n" * COUNT))
    assert len(read_everything(longest)) == COUNT
    bomb = zlib.compress(b"x" * (most + 2) + b"\n" * COUNT)
    assert "sample names" in str(refused(with_section(ours, "names", bomb)))
    assert "sample names" in str(refused(with_section(ours, "names", b"not compressed")))


def outcome(content: bytes) -> list[dict[str, Any]] | None:
    try:
        return read_everything(content)
    except (BetonError, DecodeError):
        return None


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_flipped_bytes(ours: bytes, plain: bytes, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([ours, plain])))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1) | st.integers(0, records_end(ours)))
        content[place] ^= data.draw(st.integers(1, 255))
    outcome(bytes(content))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.data())
def test_any_header(plain: bytes, version: int, fields: int, page: int, samples: int, data: st.DataObject) -> None:
    good = struct.unpack_from("<HHIQQ", plain)
    table = data.draw(st.integers(0, 2**64 - 1) | st.integers(0, len(plain) + 100))
    wild = (version, fields, page, samples, table)
    mixed = [each if data.draw(st.booleans()) else usual for each, usual in zip(wild, good, strict=True)]
    outcome(struct.pack("<HHIQQ", *mixed) + plain[24:])


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=4000), st.booleans())
@example(b"", True)
def test_any_bytes(data: bytes, header: bool) -> None:
    start = struct.pack("<HHIQQ", 2, 1, 1 << 21, 1, 1200) if header else b""
    outcome(start + data)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_verify_notices_every_flip(ours: bytes, data: st.DataObject) -> None:
    """All bytes are under a checksum or under a rule, but for the zeros of the gap."""
    block = superblock_of(ours)
    at = layout.superblock_offset(records_end(ours))
    covered = [(0, at + layout.superblock_size(len(block.sections))), (block.data_start, block.data_end)]
    covered += [(entry.offset, entry.offset + entry.size) for entry in block.sections if entry.size]
    covered += [(layout.Header.unpack(ours).alloc_table_ptr, len(ours))]
    start, end = data.draw(st.sampled_from(covered))
    content = bytearray(ours)
    content[data.draw(st.integers(start, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.beton"
        path.write_bytes(content)
        report = verify(path, workers=1)
    assert not report.ok
    assert all("\n" not in str(problem) for problem in report.problems)


def test_custom_fields(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    with Writer(path, {"pair": Pair(), "label": IntField()}, 3) as writer:
        for index in range(3):
            writer.write([Pair().encode((index, index / 2)), IntField().encode(index)])
    with pytest.raises(BetonError, match="custom_fields"):
        Reader(path)
    reader = Reader(path, {"pair": Pair})
    assert reader.value("pair", 2) == (2, 1.0)
    assert reader.value("label", 1) == 1
    with pytest.raises(OptionError, match="no payloads"):
        reader.extents("pair")


class Pair(Field):
    """A field of a user's own: two numbers in the metadata."""

    @property
    def metadata_type(self) -> np.dtype[Any]:
        return np.dtype([("a", "<u4"), ("b", "<f4", (1,))], align=True)

    def encode(self, value: Any) -> Any:
        from ffprep.fields import Encoded

        return Encoded((value[0], (value[1],)))

    def decode(self, record: Any, payload: Any) -> tuple[int, float]:
        return int(record["a"]), float(record["b"][0])


def test_a_folder_and_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Reader(tmp_path)
    with pytest.raises(FileNotFoundError):
        Reader(tmp_path / "none.beton")
    os.mkfifo(tmp_path / "pipe.beton")
    with pytest.raises(NotABetonError, match="a pipe or a device"):
        Reader(tmp_path / "pipe.beton")


def test_json_that_is_none(plain: bytes) -> None:
    pointer = struct.unpack_from("<Q", plain, record_byte("facts", 0, "ptr"))[0]
    for text in (b"}", b"\xff", b"[" * 9):
        with pytest.raises(DecodeError, match="sample 0, field 'facts'"):
            read_everything(patched(plain, pointer, text))

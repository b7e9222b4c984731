"""Files that can only be read forward, and documents inside archives inside them."""

from __future__ import annotations

import io
import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tar_files import tar_bytes

from ffprep.errors import SourceError
from ffprep.text.documents import documents as documents_module
from ffprep.text.documents.cleaning import WHOLE
from ffprep.text.documents.documents import (
    ArchiveUnit,
    Document,
    FilesUnit,
    Ignored,
    grouped,
    is_archive_name,
    is_text_name,
)
from ffprep.text.documents.streams import FilePart, Forward, Pieces, decompressed


def contents(unit: ArchiveUnit | FilesUnit) -> list[tuple[str, bytes | None]]:
    found: list[tuple[str, bytes | None]] = []
    for item in unit.documents():
        if isinstance(item, Document):
            content = item.content
            assert not isinstance(content, str)
            found.append((item.name, content if isinstance(content, bytes) else b"".join(content)))
        else:
            assert isinstance(item, Ignored)
            found.append((item.name, None))
    return found


def archive(path: Path, data: bytes) -> ArchiveUnit:
    path.write_bytes(data)
    return ArchiveUnit(path, path.name, 0, len(data))


@given(st.lists(st.binary(max_size=9)), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=9))
def test_forward_reads_what_slicing_gives(pieces: list[bytes], steps: list[tuple[int, int]]) -> None:
    data = b"".join(pieces)
    forward = Forward(io.BufferedReader(Pieces(iter(pieces))), "x")
    at = 0
    for skip, size in steps:
        at += skip
        found = forward.read_at(at, size)
        assert found == data[at : at + size]
        at += len(found)


def test_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    assert FilePart(path, 2, 5).read() == b"23456"
    assert FilePart(path, 8, 5).read() == b"89"
    assert FilePart(path).read() == b"0123456789"
    assert decompressed(FilePart(path)).read() == b"0123456789"


def test_an_archive_of_texts_plain_compressed_and_nested(tmp_path: Path) -> None:
    texts = {"a/0-1.txt": b"one", "./b.txt": b"", "c": b"three", "picture.png": b"\x89PNG"}
    plain = tar_bytes(texts)
    expected = [("a/0-1.txt", b"one"), ("b.txt", b""), ("c", b"three"), ("picture.png", None)]
    for name, data in {"x.tar": plain, "x_data.xz": lzma.compress(plain)}.items():
        assert contents(archive(tmp_path / name, data)) == [(f"{name}/{n}", d) for n, d in expected]
    inner = {"in/x_data.xz": lzma.compress(plain), "y_data.xz": lzma.compress(tar_bytes({"d.txt": b"four"}))}
    outer = archive(tmp_path / "all.tar.xz", lzma.compress(tar_bytes(inner)))
    assert contents(outer) == [
        *((f"all.tar.xz/in/x_data.xz/{n}", d) for n, d in expected),
        ("all.tar.xz/y_data.xz/d.txt", b"four"),
    ]
    some = ArchiveUnit(outer.path, outer.name, 0, outer.size, lambda name: "y_" in name)
    assert contents(some) == [("all.tar.xz/y_data.xz/d.txt", b"four")]


def test_archives_within_archives_end_somewhere(tmp_path: Path) -> None:
    data = tar_bytes({"x.txt": b"deep"})
    for _ in range(5):
        data = tar_bytes({"x.tar": data})
    assert contents(archive(tmp_path / "x.tar", data)) == [("x.tar/x.tar/x.tar/x.tar", None)]


def test_large_members_come_in_pieces(tmp_path: Path) -> None:
    large = bytes(range(256)) * (WHOLE // 256) + b"more"
    unit = archive(tmp_path / "x.tar", tar_bytes({"a.txt": b"a", "large.txt": large, "b.txt": b"b"}))
    kinds = [type(item.content) for item in unit.documents() if isinstance(item, Document)]
    assert kinds[0] is bytes
    assert kinds[1] is not bytes
    assert contents(unit) == [("x.tar/a.txt", b"a"), ("x.tar/large.txt", large), ("x.tar/b.txt", b"b")]
    untouched = [item.name for item in unit.documents() if isinstance(item, Document)]
    assert untouched == ["x.tar/a.txt", "x.tar/large.txt", "x.tar/b.txt"]


@pytest.mark.parametrize("cut", [600, 1100, 2500, 4000])
@pytest.mark.parametrize("packed", [False, True])
def test_an_incomplete_archive_is_an_error(tmp_path: Path, cut: int, packed: bool) -> None:
    data = tar_bytes({"a.txt": b"a" * 900, "b.txt": bytes(range(256)) * 8})
    data = data[:4096] + bytes(1024)
    if packed:
        data = lzma.compress(data)
        cut = cut * len(data) // 5000 + 1
    with pytest.raises(SourceError, match=r"x\.tar"):
        contents(archive(tmp_path / "x.tar", data[:-cut]))


def test_damaged_compression_names_the_archive(tmp_path: Path) -> None:
    data = bytearray(lzma.compress(tar_bytes({"a.txt": bytes(range(256)) * 8})))
    data[len(data) // 2] ^= 255
    with pytest.raises(SourceError, match=r"x_data\.xz.*damaged"):
        contents(archive(tmp_path / "x_data.xz", bytes(data)))


def test_files_as_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "b.txt.xz").write_bytes(lzma.compress(b"two"))
    (tmp_path / "c.txt").write_bytes(b"3" * (WHOLE + 5))
    (tmp_path / "d.txt").write_bytes(b"4" * WHOLE)
    unit = FilesUnit(tmp_path, ("a.txt", "b.txt.xz", "c.txt", "d.txt"), 9)
    assert contents(unit) == [
        ("a.txt", b"one"),
        ("b.txt.xz", b"two"),
        ("c.txt", b"3" * (WHOLE + 5)),
        ("d.txt", b"4" * WHOLE),
    ]
    with pytest.raises(SourceError, match="cannot be read"):
        contents(FilesUnit(tmp_path, ("gone.txt",), 1))


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 6), st.integers(1, 80))
def test_files_are_grouped_in_order(sizes: list[int], files: int, size: int) -> None:
    names = [f"f{i}" for i in range(len(sizes))]
    units = grouped(Path(), names, sizes, files, size)
    assert [n for unit in units for n in unit.names] == names
    assert sum(unit.size for unit in units) == sum(sizes)
    assert all(len(u.names) <= files and (u.size <= size or len(u.names) == 1) for u in units)


def test_names() -> None:
    assert all(map(is_text_name, ["a.txt", "A.TXT", "b", "x/y.text"]))
    assert not any(map(is_text_name, ["a.png", "b.xz", "c.html"]))
    assert all(map(is_archive_name, ["a.tar", "a.tar.xz", "urlsf_subset00-1_data.xz", "a.tgz", "B.TAR.GZ"]))
    assert not any(map(is_archive_name, ["a.txt", "a.xz", "data.gz.txt"]))


def test_nested_archives_are_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Watched(Pieces):
        def __init__(self, pieces: Iterator[bytes]) -> None:
            super().__init__(self._watch(pieces))

        @staticmethod
        def _watch(pieces: Iterator[bytes]) -> Iterator[bytes]:
            for piece in pieces:
                sizes.append(len(piece))
                yield piece

    monkeypatch.setattr(documents_module, "Pieces", Watched)
    inner = tar_bytes({"a.txt": b"a" * (3 * WHOLE)})
    found = contents(archive(tmp_path / "x.tar", tar_bytes({"y.tar": inner})))
    assert len(found[0][1] or b"") == 3 * WHOLE
    assert max(sizes) <= WHOLE

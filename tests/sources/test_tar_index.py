"""The tar index against the standard library's tarfile, and against damage."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tar_files import tar_bytes

from ffprep.common.files.tar import Member, members, read_at
from ffprep.errors import SourceError

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


@contextmanager
def opened(data: bytes) -> Iterator[int]:
    fd = os.memfd_create("tar")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/\n\\"), min_size=1, max_size=40).filter(
    lambda name: name.strip(".") != ""
)
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)


@settings(max_examples=60, deadline=None)
@given(
    files=st.lists(
        st.tuples(st.lists(NAMES, min_size=1, max_size=6).map("/".join), st.binary(max_size=1500)), max_size=6
    ),
    form=st.sampled_from(FORMATS[1:]),
)
def test_lists_what_tarfile_lists(files: list[tuple[str, bytes]], form: int) -> None:
    data = tar_bytes(files, form)
    with opened(data) as fd, tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = list(members(fd, label="t.tar"))
        expected = [Member(info.name, info.offset_data, info.size) for info in tar if info.isreg()]
        assert [(m.name.rstrip("/"), m.offset, m.size) for m in found] == [tuple(m) for m in expected]
        assert [read_at(fd, m.offset, m.size, "t.tar") for m in found] == [content for _, content in files]


def test_reads_the_ustar_prefix_of_long_paths() -> None:
    name = "a" * 90 + "/" + "b" * 60 + ".JPEG"
    with opened(tar_bytes([(name, b"x")], tarfile.USTAR_FORMAT)) as fd:
        assert [m.name for m in members(fd, label="t.tar")] == [name]


def test_passes_over_directories_and_links(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_bytes(b"abc")
    (tmp_path / "d" / "link").symlink_to("file")
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        tar.add(tmp_path / "d", "d")
    with (tmp_path / "t.tar").open("rb") as file:
        assert [(m.name, m.size) for m in members(file.fileno(), label="t.tar")] == [("d/file", 3)]


def test_reads_an_archive_inside_an_archive_in_place() -> None:
    inner = tar_bytes([("x.JPEG", b"12345")], tarfile.GNU_FORMAT)
    with opened(tar_bytes([("n1.tar", inner)], tarfile.GNU_FORMAT)) as fd:
        (outer,) = members(fd, label="t.tar")
        (image,) = members(fd, label="n1.tar", start=outer.offset, end=outer.offset + outer.size)
        assert read_at(fd, image.offset, image.size, "n1.tar") == b"12345"


def test_base_256_size_is_understood() -> None:
    data = bytearray(tar_bytes([("x", b"12345")], tarfile.GNU_FORMAT))
    data[124:136] = b"\x80" + (5).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    with opened(bytes(data)) as fd:
        assert [m.size for m in members(fd, label="t.tar")] == [5]


@pytest.mark.parametrize("cut", [100, 512, 700, 1024, 1100])
def test_truncated_archive_is_refused(cut: int) -> None:
    data = tar_bytes([("x", b"1" * 400), ("y", b"2" * 400)], tarfile.USTAR_FORMAT)
    with opened(data[:cut]) as fd, pytest.raises(SourceError, match="complete"):
        list(members(fd, label="t.tar"))


def test_missing_end_mark_passes_when_not_strict() -> None:
    data = tar_bytes([("x", b"1" * 400)], tarfile.USTAR_FORMAT)[:1024]
    with opened(data) as fd:
        assert len(list(members(fd, label="t.tar", strict=False))) == 1
        with pytest.raises(SourceError, match="end mark"):
            list(members(fd, label="t.tar"))


def test_something_else_is_no_archive() -> None:
    with opened(b"\xff\xd8\xff\xe0" * 400) as fd, pytest.raises(SourceError, match="not a tar archive"):
        list(members(fd, label="t.tar"))


def test_reading_past_the_end_names_the_file() -> None:
    with opened(b"abc") as fd, pytest.raises(SourceError, match=r"x\.tar: has 2 of the 10 bytes"):
        read_at(fd, 1, 10, "x.tar")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_raises_one_typed_error_or_stays_inside(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(FORMATS[1:]))
    whole = bytearray(tar_bytes([("n/" + "long" * 30, b"1" * 700), ("y", b"22")], form))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with opened(bytes(whole[:cut])) as fd:
        try:
            for member in members(fd, label="t.tar"):
                assert 0 <= member.offset <= member.offset + member.size <= cut
        except SourceError as error:
            assert "t.tar" in str(error)

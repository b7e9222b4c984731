"""Payloads are gathered and written several at a time, without being copied where they cannot change."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ffprep.beton import Reader, Writer
from ffprep.beton.verify import verify
from ffprep.beton.writing import unfinished
from ffprep.errors import ConversionError
from ffprep.fields import BytesField


def test_parts_that_the_system_takes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [memoryview(bytes([number]) * size) for number, size in enumerate((5, 70_000, 0, 1, 40_000))]
    whole = b"".join(parts)
    real = os.pwritev
    for taken in (0, 3, 5, 6, 70_005, 70_006, 100_000, len(whole)):
        for most in (1024, 3):  # parts in a call
            monkeypatch.setattr(unfinished, "MOST_PARTS", most)
            monkeypatch.setattr(
                os, "pwritev", lambda fd, some, at, n=taken: real(fd, [b"".join(some)[:n]], at) if n else 0
            )
            path = tmp_path / "x"
            path.write_bytes(bytes(7))
            with path.open("r+b") as file:
                unfinished.write_parts(file.fileno(), parts, 7)
            assert path.read_bytes() == bytes(7) + whole


def test_payloads_that_may_change_are_copied(tmp_path: Path) -> None:
    own = bytearray(b"a" * 100_000)
    fields = {"bytes": BytesField()}
    with Writer(tmp_path / "x.beton", fields, 2) as writer:
        for letter in (97, 98):
            own[:] = bytes([letter]) * len(own)
            writer.write([replace(fields["bytes"].encode(b""), metadata=(0, len(own)), payload=own)])
    with Reader(tmp_path / "x.beton") as reader:
        assert [bytes(reader.payload("bytes", index))[:1] for index in range(2)] == [b"a", b"b"]
    assert verify(tmp_path / "x.beton").ok


def full(descriptor: int, data: memoryview, offset: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("failing", ["journal", "unfinished"])
def test_a_disk_that_is_full_at_the_beginning_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    fields = {"bytes": BytesField()}
    with monkeypatch.context() as patched:
        patched.setattr(f"ffprep.beton.writing.{failing}.write_fully", full)
        with pytest.raises((OSError, ConversionError), match="No space left"):
            Writer(tmp_path / "x.beton", fields, 2, resume=True)
    assert not list(tmp_path.iterdir())
    with Writer(tmp_path / "x.beton", fields, 1, resume=True) as writer:
        writer.write([fields["bytes"].encode(b"a")])
    assert verify(tmp_path / "x.beton").ok


def test_a_disk_that_is_full_later_leaves_what_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"bytes": BytesField()}
    writer = Writer(tmp_path / "x.beton", fields, 2, resume=True)
    writer.write([fields["bytes"].encode(b"a")])
    writer.abort()
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert len(before) == 2
    with monkeypatch.context() as patched:
        patched.setattr("ffprep.beton.writing.unfinished.write_fully", full)
        with pytest.raises(ConversionError, match="No space left"):
            Writer(tmp_path / "x.beton", fields, 2, resume=True)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before
    with Writer(tmp_path / "x.beton", fields, 2, resume=True) as writer:
        assert writer.num_written == 1

"""Payloads are gathered and written several at a time, without being copied where they cannot change."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ffprep.beton import Reader, Writer
from ffprep.beton.verify import verify
from ffprep.beton.writing import unfinished
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

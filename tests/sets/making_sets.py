"""Small files of several kinds, for the tests of sets."""

from __future__ import annotations

from pathlib import Path

from ffprep.beton import Writer
from ffprep.fields import BytesField, Encoded, Field, IntField

PLAIN: dict[str, Field] = {"text": BytesField(), "label": IntField()}


def write(path: Path, payloads: list[bytes], first: int = 0) -> Path:
    """A file with a payload and a number in each sample, and names."""
    with Writer(path, PLAIN, len(payloads)) as writer:
        for index, payload in enumerate(payloads):
            writer.write([Encoded((0, len(payload)), payload), IntField().encode(first + index)], f"n{first + index}")
    return path


def write_set(folder: Path, count: int, each: int = 3) -> list[Path]:
    """Numbered files whose samples are numbered through."""
    return [
        write(folder / f"x-{n:05d}-of-{count:05d}.beton", [b"%d" % (n * each + k) * k for k in range(each)], n * each)
        for n in range(count)
    ]

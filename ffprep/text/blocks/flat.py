"""Flat files of tokens: numbers one after the other, with nothing that says what they are.

What they are not shows, though: numbers that are read too narrow alternate with zeros, those that are read too wide are
out of all proportion, and files with a head of their own begin with its mark.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.common.files.source_files import check_regular, open_binary
from ffprep.errors import SourceError

DTYPES: dict[str, np.dtype[Any]] = {
    "uint16": np.dtype("<u2"),
    "int16": np.dtype("<i2"),
    "uint32": np.dtype("<u4"),
    "int32": np.dtype("<i4"),
    "uint64": np.dtype("<u8"),
    "int64": np.dtype("<i8"),
}
"""Types of the numbers, all little-endian."""
STEP = 1 << 22
"""Tokens that are read at a time."""
_FEWEST = 8
"""Numbers that must alternate with zeros; of fewer it may be chance."""
_HIGH = 15
"""The most that the upper halves of 32-bit ids are: no vocabulary has more than a million ids."""
_HEADS = {
    b"\x93NUMPY": "an array of numpy's; write it with tofile, which stores the numbers alone",
    b"PK\x03\x04": "an archive (.npz?); take the array out and write it with tofile",
    struct.pack("<i", 20240520): "a file of llm.c's with a head of 1,024 bytes; cut that off with tail -c +1025",
    struct.pack("<i", 20240801): "a file of llm.c's with a head of 1,024 bytes; cut that off with tail -c +1025",
}


def flat_runs(path: Path, dtype: np.dtype[Any], given: bool) -> Iterator[npt.NDArray[Any]]:
    """Tokens of a flat file, `STEP` at a time.

    Parameters
    ----------
    path : Path
    dtype : numpy dtype
        One of `DTYPES`.
    given : bool
        Whether somebody said that this is the type; else it is an assumption, which is checked more strictly.

    Raises
    ------
    SourceError
        When the file is cut, or its numbers are of another type.
    """
    if not path.exists():
        raise SourceError(f"{path}: no such file of tokens")
    check_regular(path)
    size = path.stat().st_size
    if size % dtype.itemsize:
        raise SourceError(
            f"{path}: {size:,} bytes are no whole number of {8 * dtype.itemsize}-bit tokens; "
            "say their type with --dtype"
        )
    with open_binary(path) as file:
        head = file.read(8)
        for mark, what in _HEADS.items():
            if head.startswith(mark):
                raise SourceError(f"{path}: is {what}")
        file.seek(0)
        first = True
        while data := file.read(dtype.itemsize * STEP):
            ids = np.frombuffer(data, dtype)
            if first:
                _check(path, ids, 0 if given else _HIGH)
            first = False
            yield ids


def _check(path: Path, ids: npt.NDArray[Any], most: int) -> None:
    """Check that not every second number is at most `most`, as the upper halves of wider numbers are."""
    pairs = ids[: len(ids) // 2 * 2].reshape(-1, 2)
    if len(pairs) < _FEWEST:
        return
    for place, limit in ((1, most), (0, 0)):
        halves, others = pairs[:, place], pairs[:, 1 - place]
        if int(halves.min()) >= 0 and int(halves.max()) <= limit and int(others.max()) > _HIGH:
            kind = "zeros" if not halves.any() else "small numbers"
            raise SourceError(
                f"{path}: as {ids.dtype.name}, ids alternate with {kind}: its numbers are wider than that; "
                "say their type with --dtype, such as uint32"
            )

"""Whether the seek index beside a file is what would be made of the file now."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import SeekIndex, beside, jpeg_payloads
from ffprep.errors import BetonError, JpegError, OptionError

_CHUNK = 256


def index_beside(reader: Reader) -> tuple[SeekIndex | None, str]:
    """Return the index beside a file, if it is there and fits, and what is wrong with it, if anything is."""
    path = beside(reader.path)
    if not path.exists():
        return None, ""
    try:
        index = SeekIndex(path, reader)
        if np.array_equal(jpeg_payloads(reader)[0], index.entries["payload"][:-1]):
            return index, ""
    except (BetonError, OSError) as error:
        return None, str(error)
    return None, f"{path}: does not list the JPEGs of the file; {_again(reader)}"


def wrong_indexes(index: SeekIndex, reader: Reader, pool: Executor) -> Iterator[str]:
    """Make every index again; yield for each what is wrong with it, or an empty string."""
    offsets, sizes = (part.tolist() for part in jpeg_payloads(reader))

    def fits(entry: int) -> bool:
        start = offsets[entry]
        return index_fits(reader.data[start : start + sizes[entry]], index.of(entry))

    for first in range(0, len(offsets), _CHUNK):
        entries = range(first, min(first + _CHUNK, len(offsets)))
        for entry, good in zip(entries, pool.map(fits, entries), strict=True):
            yield "" if good else f"{index.path}: is wrong for the JPEG at byte {offsets[entry]}; {_again(reader)}"


def _again(reader: Reader) -> str:
    return f"make it again with `ffprep index --overwrite {reader.path}`"


def index_fits(data: npt.NDArray[np.uint8], stored: npt.NDArray[np.uint8]) -> bool:
    """Whether a stream's seek index, or its having none, is what would be made of it now."""
    from ffprep.jpeg.index import build_index, interval_of

    try:
        return build_index(data, interval_of(stored)) == stored.tobytes()
    except (JpegError, OptionError):
        return not len(stored)

"""Whether the seek index beside a file is the one that would be made of the file now."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from ffprep.beton.opening.head import head_of
from ffprep.beton.opening.tables import BetonTables
from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import SeekIndex, beside, jpeg_payloads
from ffprep.beton.sets import SetFile, check_same_fields, check_same_tokens, source_of
from ffprep.errors import BetonError, CorruptError, CustomFieldError, JpegError, OptionError
from ffprep.jpeg.index import build_index, interval_of

_CHUNK = 256


def index_beside(file: BetonTables) -> tuple[SeekIndex | None, str]:
    """Return the index beside a file, or None, and what is wrong with it, or an empty string."""
    path = beside(file.path)
    if not path.exists():
        return None, ""
    try:
        index = SeekIndex(path, file)
        if np.array_equal(jpeg_payloads(file)[0], index.entries["payload"][:-1]):
            return index, ""
    except (BetonError, OSError) as error:
        return None, str(error)
    return None, f"{path}: does not list the JPEGs of the file; {_again(file)}"


def wrong_indexes(index: SeekIndex, file: BetonTables, pool: Executor) -> Iterator[str]:
    """Build the index of every JPEG again and yield what is wrong with the stored one, or an empty string."""
    offsets, sizes = (part.tolist() for part in jpeg_payloads(file))

    def fits(entry: int) -> bool:
        start = offsets[entry]
        return index_fits(file.data[start : start + sizes[entry]], index.of(entry))

    for first in range(0, len(offsets), _CHUNK):
        entries = range(first, min(first + _CHUNK, len(offsets)))
        for entry, good in zip(entries, pool.map(fits, entries), strict=True):
            yield "" if good else f"{index.path}: is wrong for the JPEG at byte {offsets[entry]}; {_again(file)}"


def _again(file: BetonTables) -> str:
    return f"make it again with `ffprep index --overwrite {file.path}`"


def index_fits(data: npt.NDArray[np.uint8], stored: npt.NDArray[np.uint8]) -> bool:
    """Whether a JPEG's stored index, which may be empty, is the one that would be built of it now."""
    try:
        return build_index(data, interval_of(stored)) == stored.tobytes()
    except (JpegError, OptionError):
        return not len(stored)


def differs_from_index(file: SetFile) -> str | None:
    """Say in what a file of a set differs from what its index says; None if it does not, or cannot be opened."""
    try:
        head = head_of(file.path)
        file.check(head)
        file.check_tables(head)
    except CorruptError as error:
        return str(error)
    except BetonError:
        return None
    return None


def differs_from_first(file: SetFile, first: SetFile) -> str | None:
    """Say in what the fields or the tokens of a file of a set differ from those of the set's first file.

    Returns
    -------
    str or None
        None if they do not, or if a file cannot be opened.
    """
    try:
        with Reader(first.path, check=False) as model, Reader(file.path, check=False) as reader:
            check_same_fields(model.path, model.head, reader.path, reader.head)
            check_same_tokens((one.path, source_of(one.manifest)) for one in (model, reader))
    except CustomFieldError:
        return None
    except OptionError as error:
        return str(error)
    except (BetonError, OSError):
        return None
    return None

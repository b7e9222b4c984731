"""Which parts of a file do not fit their checksums, found by several threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton import layout
from ffprep.beton.checksums import PayloadSums, changed_payloads, payload_sums, row_sums
from ffprep.beton.reader import Reader
from ffprep.errors import BetonError
from ffprep.remote import DamagedError

_CHUNK = 1024


def blocks_of(block: layout.Superblock) -> list[tuple[int, int]]:
    """Return first byte and end of each block of payloads that has a checksum."""
    first, last = block.data_start // layout.BLOCK_SIZE, -(-block.data_end // layout.BLOCK_SIZE)
    return [
        (max(number * layout.BLOCK_SIZE, block.data_start), min((number + 1) * layout.BLOCK_SIZE, block.data_end))
        for number in range(first, last)
    ][: layout.num_blocks(block.data_start, block.data_end)]


def blocks_that_fit(
    file: Reader, blocks: list[tuple[int, int]], sums: list[int], pool: Executor
) -> Iterator[tuple[int, int, bool]]:
    """Yield first byte and end of each block, and whether it fits its checksum."""

    def fits(block: tuple[int, int], expected: int) -> bool:
        try:
            return xxhash.xxh3_64_intdigest(file.stored(*block).data) == expected
        except DamagedError:
            return False

    for block, good in zip(blocks, pool.map(fits, blocks, sums), strict=True):
        yield (*block, good)


def sums_of_fields(file: Reader) -> dict[str, PayloadSums]:
    """Return the checksums of all payloads, by field; empty for a file that has none, or damaged ones."""
    try:
        rows = row_sums(file)
        names = [name for name, field in file.fields.items() if isinstance(getattr(field, "pointer", None), str)]
        return {} if rows is None else {name: payload_sums(file, name, rows) for name in names}
    except BetonError:
        return {}


def changed_samples(
    file: Reader, sums: PayloadSums, samples: npt.NDArray[np.int64], pool: Executor
) -> Iterator[list[int]]:
    """Yield those of some samples whose payload in a field does not fit its checksum, in pieces."""
    pieces = [samples[first : first + _CHUNK] for first in range(0, len(samples), _CHUNK)]
    yield from pool.map(lambda piece: changed_payloads(file.data, sums, piece), pieces)

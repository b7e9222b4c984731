"""Blocks of tokens in a file: what a layout costs, counted out, and records of blocks at the edge of what fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep.beton import Reader, Writer
from ffprep.errors import CorruptError
from ffprep.fields import Field, NDArrayField
from ffprep.text.blocks.blocks import TokenBlocks, best_per_sample, open_blocks, overhead


def counted(blocks: int, block: int, per_sample: int, lengths: bool, page: int) -> int:
    """The same as `overhead`, by laying sample after sample into pages."""
    bytes_of_a_block = 2 * block + (2 if lengths else 0)
    size, cost, free, stored = per_sample * bytes_of_a_block, 0, page, 0
    while stored < blocks:
        if size > free:
            cost += free
            free = page
        free -= size
        stored += per_sample
        cost += 2 * 32 if lengths else 32
    return cost + (stored - blocks) * bytes_of_a_block


@pytest.mark.parametrize("lengths", [False, True])
def test_what_a_layout_costs(lengths: bool) -> None:
    for page in (64, 96, 1000):
        for block in (2, 5, 8):
            for per_sample in (1, 2, 3):
                for blocks in range(1, 60):
                    got = overhead(blocks, block, per_sample, lengths, page)
                    assert got == counted(blocks, block, per_sample, lengths, page)
    assert overhead(10, 192, 2) == 5 * 32


@pytest.mark.parametrize("lengths", [False, True])
def test_the_best_layout_is_the_best_of_all(lengths: bool) -> None:
    for blocks, block in ((1, 5), (7, 3), (40, 8), (97, 2)):
        fitting = [n for n in range(1, blocks + 1) if n * (2 * block + 2) <= 1000]
        costs = {n: counted(blocks, block, n, lengths, 1000) for n in fitting}
        chosen = best_per_sample(blocks, block, lengths, 1000)
        assert costs[chosen] == min(costs.values())
        assert chosen == max(n for n in costs if costs[n] == costs[chosen])


def test_a_sample_has_at_most_a_quarter_of_a_mebibyte() -> None:
    for block, lengths, most in (
        (1 << 16, False, 2),
        ((1 << 16) + 1, False, 1),
        (1 << 17, False, 1),
        (1 << 18, False, 1),
        (1 << 16, True, 1),
        ((1 << 16) - 1, True, 2),
        (43690, True, 2),
        (43690, False, 3),
    ):
        assert best_per_sample(600, block, lengths, 1 << 30) == most
    assert best_per_sample(1, 5) == 1
    assert [best_per_sample(blocks, 192) for blocks in (1000, 70_000, 13_000_000)] == [500, 560, 508]


def written(path: Path, record: dict[str, Any] | None, lengths: bool = False, samples: int = 3) -> TokenBlocks:
    """A file of samples of two blocks of three tokens: 0, 1, 2, ...; the blocks' lengths are 3, 2, 1, 3, 2, 1."""
    fields: dict[str, Field] = {"tokens": NDArrayField("<u2", (2, 3))}
    if lengths:
        fields["length"] = NDArrayField("<u2", (2,))
    usual = {"per_sample": 2, "block": 3, "padded": lengths, "tail": []}
    source = {} if record is None else {"blocks": {**usual, **record}}
    with Writer(path, fields, samples, manifest={"source": source}, overwrite=True) as writer:
        for n in range(samples):
            row = [fields["tokens"].encode(np.arange(6 * n, 6 * n + 6, dtype="<u2").reshape(2, 3))]
            if lengths:
                row.append(fields["length"].encode(np.array([3 - (2 * n) % 3, 3 - (2 * n + 1) % 3], "<u2")))
            writer.write(row)
    return open_blocks(Reader(path))


def test_which_records_of_blocks_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    for count in (5, 6):
        assert written(path, {"count": count}).count == count
    for count in (-1, 0, 3, 4, 7):
        with pytest.raises(CorruptError, match="does not fit the file"):
            written(path, {"count": count})
    assert written(path, {"count": 1}, samples=1).count == 1
    with pytest.raises(CorruptError, match="does not fit the file"):
        written(path, {"count": 0}, samples=1)
    with pytest.raises(CorruptError, match="does not fit the file"):
        written(path, {"count": -1}, samples=0)
    assert written(path, {"count": 6, "tail": [0, 65535]}).tail.tolist() == [0, 65535]
    for tail in ([65536], [-1], [1, -1], [65536, 1]):
        with pytest.raises(CorruptError, match="does not fit the file"):
            written(path, {"count": 6, "tail": tail})
    for shape in ({"per_sample": 3}, {"block": 2}, {"per_sample": 3, "block": 2}):
        with pytest.raises(CorruptError, match="does not fit the file"):
            written(path, {"count": 6, **shape})
    with pytest.raises(CorruptError, match="no field of them"):
        written(path, {"count": 6, "padded": True})
    assert written(path, None).count == 6


def test_reading_blocks(tmp_path: Path) -> None:
    blocks = written(tmp_path / "x.beton", {"count": 5, "tail": [70, 71]})
    assert [part.tolist() for part in blocks.samples()] == [
        [[0, 1, 2], [3, 4, 5]],
        [[6, 7, 8], [9, 10, 11]],
        [[12, 13, 14]],
    ]
    assert np.concatenate(list(blocks.stream())).tolist() == [*range(15), 70, 71]
    assert blocks.rows([4, 0, 3]).tolist() == [[12, 13, 14], [0, 1, 2], [9, 10, 11]]
    assert blocks.rows([]).shape == (0, 3)
    assert blocks.lengths() is None
    for wrong in ([5], [-1], [0, 5], [-1, 4]):
        with pytest.raises(IndexError, match="has blocks 0 to 4"):
            blocks.rows(wrong)


def test_padded_blocks_have_the_lengths_of_their_own_samples(tmp_path: Path) -> None:
    blocks = written(tmp_path / "x.beton", {"count": 5}, lengths=True)
    lengths = blocks.lengths()
    assert lengths is not None and lengths.tolist() == [3, 2, 1, 3, 2]
    pieces = [part.tolist() for part in blocks.stream()]
    assert pieces == [[0, 1, 2, 3, 4], [6, 9, 10, 11], [12, 13]]


def test_a_file_of_single_blocks(tmp_path: Path) -> None:
    field = NDArrayField("<u2", (4,))
    with Writer(tmp_path / "x.beton", {"tokens": field}, 2) as writer:
        for n in range(2):
            writer.write([field.encode(np.full(4, n, "<u2"))])
    blocks = open_blocks(Reader(tmp_path / "x.beton"))
    assert (blocks.count, blocks.per_sample, blocks.block, blocks.padded) == (2, 1, 4, False)
    assert blocks.rows([1]).tolist() == [[1] * 4]

"""Gathering stored bytes and metadata into batches, against numpy, with hostile offsets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.kernels import gather

U64 = st.one_of(st.integers(0, 80), st.integers(0, 2**64 - 1))


@given(st.lists(st.tuples(U64, U64), max_size=12), st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_rows_are_copied_or_zero(extents: list[tuple[int, int]], row: int) -> None:
    data = np.arange(1, 65, dtype=np.uint8)
    offsets = np.array([o for o, _ in extents], np.uint64)
    sizes = np.array([s if i % 2 else row for i, (_, s) in enumerate(extents)], np.uint64)
    out, status = np.full((len(extents), row), 99, np.uint8), np.full(len(extents), -1)
    failed = gather.gather_rows(data.ctypes.data, 64, offsets, sizes, out.ctypes.data, row, status)
    assert failed == np.count_nonzero(status)
    for i, (o, s) in enumerate(zip(offsets.tolist(), sizes.tolist(), strict=True)):
        good = s == row and o + s <= 64
        expected = data[o : o + s] if good else np.zeros(row)
        np.testing.assert_array_equal(out[i], expected)
        assert (status[i] == 0) == good


@given(st.lists(st.tuples(U64, U64), max_size=12), st.integers(0, 40), st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_ragged_payloads_are_cut_and_padded(extents: list[tuple[int, int]], row: int, pad_size: int) -> None:
    data = np.arange(1, 65, dtype=np.uint8)
    pad = np.arange(200, 200 + pad_size, dtype=np.uint8)
    offsets = np.array([o for o, _ in extents], np.uint64)
    sizes = np.array([s for _, s in extents], np.uint64)
    n = len(extents)
    out, lengths, status = np.full((n, row), 99, np.uint8), np.full(n, -1), np.full(n, -1)
    failed = gather.gather_ragged(data.ctypes.data, 64, offsets, sizes, out.ctypes.data, row, pad, lengths, status)
    assert failed == np.count_nonzero(status)
    for i, (o, s) in enumerate(extents):
        good = o + s <= 64
        count = min(s, row) if good else 0
        tail = np.resize(pad, row - count)
        np.testing.assert_array_equal(out[i], np.concatenate([data[o : o + count], tail]))
        assert lengths[i] == count and (status[i] == 0) == good


@given(st.lists(st.integers(-3, 14), max_size=20))
@settings(max_examples=100, deadline=None)
def test_metadata_values_are_fetched_by_row(rows: list[int]) -> None:
    table = np.zeros(10, np.dtype([("a", "<u2"), ("label", "<i8")]))
    table["label"] = np.arange(100, 110)
    column = table["label"]
    out = np.full(len(rows), -1, np.int64)
    address = column.__array_interface__["data"][0]
    failed = gather.gather_values(address, 10, column.strides[0], np.array(rows, np.int64), out.ctypes.data, 8)
    assert failed == sum(not 0 <= r < 10 for r in rows)
    assert out.tolist() == [100 + r if 0 <= r < 10 else 0 for r in rows]

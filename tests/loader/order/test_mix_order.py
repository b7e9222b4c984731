"""The order of a mix of files: exact shares, no sample again before its file is through, any position by itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.common.seeds import derived_seed
from ffprep.errors import OptionError
from ffprep.loader.order import mix
from ffprep.loader.order.mix import MixOrder, apportion, due_before
from ffprep.loader.order.order import Order, QuasiRandomOrder, RandomOrder, SequentialOrder


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(mix, "SLICE", 16)
    yield


def make(kind: str, sizes: list[int], counts: list[int], seed: int) -> MixOrder:
    starts = np.cumsum([0, *sizes])
    pages = np.arange(starts[-1]) // 3
    streams: list[Order] = []
    for f, size in enumerate(sizes):
        part = np.arange(starts[f], starts[f] + size)
        own = derived_seed(seed, f)
        if kind == "random":
            streams.append(RandomOrder(part, own))
        elif kind == "quasi":
            streams.append(QuasiRandomOrder(part, pages, own, 2))
        else:
            streams.append(SequentialOrder(part))
    return MixOrder(streams, counts, int(starts[-1]), seed, shuffled=kind != "sequential")


files = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 50)), min_size=1, max_size=4).filter(
    lambda rows: sum(count for _, count in rows) > 0
)


@settings(max_examples=60)
@given(files, st.integers(0, 2**64 - 1), st.sampled_from(["random", "quasi", "sequential"]), st.data())
def test_shares_passes_and_places(rows: list[tuple[int, int]], seed: int, kind: str, data: st.DataObject) -> None:
    sizes, counts = [size for size, _ in rows], [count for _, count in rows]
    order = make(kind, sizes, counts, seed)
    starts = np.cumsum([0, *sizes])
    total = sum(counts)
    assert len(order) == total
    seen: list[list[int]] = [[] for _ in sizes]
    for epoch in range(3):
        everything = np.arange(total)
        ids = order.ids(epoch, everything)
        of_file = np.searchsorted(starts, ids, side="right") - 1
        assert np.bincount(of_file, minlength=len(sizes)).tolist() == counts
        keys = order.keys(epoch, everything, ids)
        assert len(np.unique(keys)) == total and (keys % starts[-1] == ids).all()
        for f in range(len(sizes)):
            seen[f] += ids[of_file == f].tolist()
            share = np.cumsum(of_file == f) - (everything + 1) * counts[f] / total
            assert np.abs(share).max() <= 2 * mix.SLICE  # evenly over the epoch
        some = np.array(data.draw(st.lists(st.integers(0, total - 1), min_size=1, max_size=9)))
        assert order.ids(epoch, some).tolist() == ids[some].tolist()
        assert order.keys(epoch, some, ids[some]).tolist() == keys[some].tolist()
    for f, size in enumerate(sizes):
        for begin in range(0, len(seen[f]), size):
            one_pass = [sample - starts[f] for sample in seen[f][begin : begin + size]]
            assert len(set(one_pass)) == len(one_pass)
            if kind == "sequential":
                assert one_pass == list(range(len(one_pass)))


def slow_files(counts: list[int], total: int) -> list[list[int]]:
    """Which samples of each file are due in each slice, one by one and in fractions."""
    from fractions import Fraction

    slices = -(-total // mix.SLICE)
    due = [[0] * len(counts) for _ in range(slices)]
    for f, count in enumerate(counts):
        for k in range(count):
            when = (Fraction(k) + Fraction(1, 2)) / count * total
            due[min(int(when // mix.SLICE), slices - 1)][f] += 1
    return due


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4).filter(any))
def test_when_samples_are_due(counts: list[int]) -> None:
    total = sum(counts)
    table = due_before(np.array(counts), total)
    got = np.diff(table, axis=0).tolist()
    wanted = slow_files(counts, total)
    assert table[0].tolist() == [0] * len(counts) and table[-1].tolist() == counts
    # A sample due exactly at an edge belongs to the slice after it in one and may not in the other.
    assert np.abs(np.cumsum(got, axis=0) - np.cumsum(wanted, axis=0)).max() <= 1


def test_large_epochs_do_not_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mix, "SLICE", 1 << 28)
    counts = np.array([5 << 30, 3 << 30])
    table = due_before(counts, 8 << 30)
    assert table[-1].tolist() == counts.tolist() and (np.diff(table, axis=0) >= 0).all()
    assert np.abs(np.diff(table, axis=0)[:, 0] / (1 << 28) - 5 / 8).max() < 1e-6


def test_files_of_one_size_are_not_shuffled_alike() -> None:
    order = make("random", [50, 50], [50, 50], 3)
    ids = order.ids(0, np.arange(100))
    assert ids[ids < 50].tolist() != (ids[ids >= 50] - 50).tolist()
    assert ids[ids < 50].tolist() != order.ids(1, np.arange(100))[order.ids(1, np.arange(100)) < 50].tolist()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6).filter(lambda w: sum(w) > 0), st.integers(0, 10**7))
def test_apportion(weights: list[float], total: int) -> None:
    counts = apportion(weights, total)
    assert counts.sum() == total
    assert (np.abs(counts - np.array(weights) / sum(weights) * total) <= 1 + 1e-6 * total).all()


@pytest.mark.parametrize("weights", [[0, 0], [-1, 2], [float("nan")], [float("inf"), 1]])
def test_weights_that_are_none(weights: list[float]) -> None:
    with pytest.raises(OptionError, match="weights are"):
        apportion(weights, 10)

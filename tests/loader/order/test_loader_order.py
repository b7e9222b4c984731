"""Orders are permutations, pure functions of (seed, epoch, position), and ranks share them exactly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.errors import OptionError
from ffprep.loader.order.order import (
    GivenOrder,
    QuasiRandomOrder,
    RandomOrder,
    SequentialOrder,
    as_indices,
)
from ffprep.loader.order.permute import MIN_BITS, ROUNDS, domain_bits, permute
from ffprep.loader.order.share import Share, distributed_share

MASK = (1 << 64) - 1
RUN = 700


def slow_mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def slow_permutation(n: int, seed: int, epoch: int, stream: int) -> list[int]:
    golden = 0x9E3779B97F4A7C15
    state = slow_mix((slow_mix(slow_mix((seed + golden) & MASK) ^ epoch) + golden) & MASK ^ stream)
    keys = []
    for _ in range(ROUNDS):
        state = (state + golden) & MASK
        keys.append(slow_mix(state))
    bits = max(MIN_BITS, (n - 1).bit_length())
    low = bits // 2
    high = bits - low
    out = []
    for x in range(n):
        while True:
            a, b = x >> low, x & ((1 << low) - 1)
            for i in range(0, ROUNDS, 2):
                a ^= slow_mix((b + keys[i]) & MASK) & ((1 << high) - 1)
                b ^= slow_mix((a + keys[i + 1]) & MASK) & ((1 << low) - 1)
            x = a << low | b
            if x < n:
                break
        out.append(x)
    return out


@given(st.integers(1, 40), st.integers(0, MASK), st.integers(0, MASK), st.integers(0, 5))
@settings(max_examples=8, deadline=None)
def test_permutation_equals_its_slow_twin(n: int, seed: int, epoch: int, stream: int) -> None:
    fast = permute(np.arange(n), n, np.uint64(seed), np.uint64(epoch), np.uint64(stream))
    assert fast.tolist() == slow_permutation(n, seed, epoch, stream)


@given(
    n=st.sampled_from([1, 5, 300, RUN - 1, RUN, RUN + 1, 3 * RUN + 7]),
    chosen=st.booleans(),
    asked=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4 * RUN), st.integers(0, RUN)), min_size=1, max_size=12),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=40, deadline=None)
def test_random_order_is_a_function_of_epoch_and_position(
    n: int, chosen: bool, asked: list[tuple[int, int, int]], seed: int
) -> None:
    """Whatever was asked for before, whichever way round, in runs or not."""
    rng = np.random.default_rng(seed)
    indices = rng.permutation(2 * n)[:n] if chosen else np.arange(7, 7 + n)
    order = RandomOrder(indices, seed)
    for epoch, start, count in asked:
        run = np.arange(start % n, min(start % n + count, n))
        for positions in (run, run[::-1], run[::3], rng.integers(0, n, min(count, 9))):
            places = permute(positions, n, np.uint64(seed), np.uint64(epoch), np.uint64(0))
            np.testing.assert_array_equal(order.ids(epoch, positions), indices[places])


@pytest.mark.parametrize("bits", [MIN_BITS, 17, 18, 31, 32, 33, 62, 63])
def test_the_domain_is_the_next_power_of_two(bits: int) -> None:
    assert domain_bits(np.uint64(1 << bits)) == bits
    assert domain_bits(np.uint64((1 << bits) + 1)) == min(63, bits + 1)
    assert domain_bits(np.uint64((1 << bits) - 1)) == bits
    assert domain_bits(np.uint64(1)) == MIN_BITS


@given(st.integers(1, 200_000), st.integers(0, 2**40), st.integers(0, 2**40))
@settings(max_examples=25, deadline=None)
def test_random_order_is_a_permutation_at_any_slice(n: int, seed: int, epoch: int) -> None:
    order = RandomOrder(np.arange(n), seed)
    whole = order.ids(epoch, np.arange(n))
    assert np.array_equal(np.sort(whole), np.arange(n))
    middle = np.arange(n // 3, n // 2)
    assert np.array_equal(order.ids(epoch, middle), whole[middle])


def test_random_order_is_uniform_over_permutations_of_four() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for epoch in range(4800):
        key = tuple(RandomOrder(np.arange(4), 3).ids(epoch, np.arange(4)).tolist())
        counts[key] = counts.get(key, 0) + 1
    chi_square = sum((c - 200) ** 2 / 200 for c in counts.values())
    assert len(counts) == 24
    assert chi_square < 60  # 23 degrees of freedom: exceeded once in 30,000 seeds; the seed is fixed


def test_seeds_and_epochs_do_not_alias() -> None:
    places = np.arange(1000)
    orders = {RandomOrder(places, seed).ids(epoch, places).tobytes() for seed in range(-2, 6) for epoch in range(6)}
    assert len(orders) == 48


@given(st.lists(st.integers(0, 12), min_size=1, max_size=300), st.integers(1, 6), st.integers(0, 99), st.data())
@settings(max_examples=60, deadline=None)
def test_quasi_random_is_a_permutation_within_bounded_windows(
    pages: list[int], window: int, seed: int, data: st.DataObject
) -> None:
    page_of = np.array(pages, np.int64)
    chosen = data.draw(st.lists(st.sampled_from(range(len(pages))), unique=True, min_size=1))
    order = QuasiRandomOrder(np.array(chosen, np.int64), page_of, seed, window)
    whole = order.ids(4, np.arange(len(chosen)))
    assert sorted(whole.tolist()) == sorted(chosen)
    edges = order.edges(4)
    assert edges is not None
    assert edges[0] == 0 and edges[-1] == len(chosen) and (np.diff(edges) > 0).all()
    seen: set[int] = set()
    for a, b in pairwise(edges):
        here = set(page_of[whole[a:b]].tolist())
        assert len(here) <= window
        assert not seen & here
        seen |= here
    part = np.arange(len(chosen) // 2, len(chosen))
    assert np.array_equal(order.ids(4, part), whole[part])
    assert np.array_equal(np.sort(order.ids(5, np.arange(len(chosen)))), np.sort(whole))


def test_sequential_windows_cover_the_epoch() -> None:
    pages = np.repeat(np.arange(10), 7)
    order = SequentialOrder(np.arange(70), pages, window_pages=4)
    edges = order.edges(0)
    assert edges is not None and edges.tolist() == [0, 28, 56, 70]
    assert order.ids(9, np.array([3, 4])).tolist() == [3, 4]


@given(st.integers(0, 400), st.integers(1, 9), st.integers(1, 30), st.booleans(), st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_ranks_share_each_step_exactly(n: int, world: int, batch: int, drop_last: bool, first: int) -> None:
    first = min(first, n)
    shares = [Share(batch, rank, world) for rank in range(world)]
    taken: list[int] = []
    for share in shares:
        count = share.batches(n, drop_last, first)
        parts = [share.positions(b, n, first) for b in range(count)]
        assert all(len(p) == batch for p in parts[: count - 1])
        assert all(len(p) >= 1 for p in parts)
        if drop_last:
            assert all(len(p) == batch for p in parts)
        taken += [int(x) for p in parts for x in p]
    expected = range(first, first + (n - first) // (batch * world) * batch * world) if drop_last else range(first, n)
    assert sorted(taken) == list(expected)
    if drop_last:
        assert len({s.batches(n, True, first) for s in shares}) == 1
    assert shares[0].consumed(shares[0].batches(n, drop_last, first), n, first) == (
        expected.stop if len(expected) else first
    )


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([0, 10], "holds 10"),
        ([-1], "holds -1"),
        ([0.5], "whole numbers"),
        ([True, False], "flatnonzero"),
        ([[1]], "one row"),
    ],
)
def test_indices_are_checked(bad: list[int], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        as_indices(bad, 10)


def test_indices_keep_order_and_type() -> None:
    assert as_indices(np.array([3, 1], np.uint64), 10).dtype == np.int64
    assert as_indices(None, 3).tolist() == [0, 1, 2]
    assert as_indices([], 3).tolist() == []


def test_given_order_is_asked_once_an_epoch_and_checked() -> None:
    class Weighted:
        def __init__(self) -> None:
            self.asked: list[int] = []

        def sample_order(self, epoch: int) -> list[int]:
            self.asked.append(epoch)
            return [epoch, 0] if epoch < 9 else [0]

    source = Weighted()
    order = GivenOrder(source, 5)
    assert order.ids(2, np.array([0])).tolist() == [2]
    assert order.ids(2, np.array([1])).tolist() == [0]
    assert source.asked == [0, 2]
    with pytest.raises(OptionError, match="gave 1 samples for epoch 9"):
        order.ids(9, np.array([0]))
    with pytest.raises(OptionError, match="holds 5"):
        order.ids(5, np.array([0]))


def test_share_comes_from_arguments_or_launcher() -> None:
    assert distributed_share(8, False, None, None, {"RANK": "1", "WORLD_SIZE": "2"}) == Share(8)
    assert distributed_share(8, True, 1, 4, {}) == Share(8, 1, 4)
    assert distributed_share(8, True, None, None, {"RANK": "1", "WORLD_SIZE": "2"}) == Share(8, 1, 2)
    assert distributed_share(8, True, None, None, {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}) == Share(8, 3, 4)
    with pytest.raises(OptionError, match="init_process_group"):
        distributed_share(8, True, None, None, {})
    with pytest.raises(OptionError, match="both or neither"):
        distributed_share(8, True, 1, None, {})
    with pytest.raises(OptionError, match="rank 4 of world_size 4"):
        distributed_share(8, True, 4, 4, {})
    with pytest.raises(OptionError, match="not whole numbers"):
        distributed_share(8, True, None, None, {"RANK": "x", "WORLD_SIZE": "2"})


def test_a_given_order_is_as_long_as_its_first_epoch() -> None:
    class Source:
        def sample_order(self, epoch: int) -> list[int]:
            return [2, 0, 1, 1]

    assert len(GivenOrder(Source(), 3)) == 4

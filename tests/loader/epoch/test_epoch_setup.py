"""What describes a batch is the same alone as in a run of batches, whichever was asked for before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.common.seeds import unsigned
from ffprep.loader.epoch.setup import RUN, EpochSetup
from ffprep.loader.order.clips import ClipShare
from ffprep.loader.order.order import RandomOrder, SequentialOrder
from ffprep.loader.order.permute import permute
from ffprep.loader.order.share import Share


class Keyed(SequentialOrder):
    """Shows samples under other keys, as orders do that show one more than once."""

    def keys(self, epoch: int, positions: Any, ids: Any) -> Any:
        return 1000 * epoch + positions


def setup_of(order: Any, share: Share, drop_last: bool, first: int = 0, masked: bool = False) -> EpochSetup:
    unused: Any = None
    return EpochSetup(
        unused, order, share, drop_last, 3, 7, first, [], unused, [], 3, "raise", unused, unused, masked
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 900), batch=st.integers(1, 40), ranks=st.integers(1, 3), first=st.integers(0, 200),
    padded=st.booleans(), drop_last=st.booleans(), asked=st.lists(st.integers(0, 10_000), min_size=1, max_size=8),
)  # fmt: skip
@pytest.mark.parametrize("kind", [RandomOrder, Keyed])
def test_runs_change_nothing(
    kind: Any, n: int, batch: int, ranks: int, first: int, padded: bool, drop_last: bool, asked: list[int]
) -> None:
    order = kind(range(n), 5) if kind is RandomOrder else kind(range(n))
    for rank in range(ranks):
        share = Share(batch, rank, ranks, padded)
        setup = setup_of(order, share, drop_last, min(first, n), masked=padded)
        for number in asked if setup.batches else []:
            number %= setup.batches
            info, positions = setup.info(number), share.positions(number, n, setup.first)
            assert info.ids.tolist() == setup.ids(number).tolist() == order.ids(3, positions % n).tolist()
            assert info.keys.tolist() == order.keys(3, positions % n, info.ids).tolist()
            assert (info.mask is None) != padded
            assert info.mask is None or info.mask.tolist() == (positions < n).tolist()


@pytest.mark.parametrize("batch", [RUN // 3, RUN // 2 + 1, RUN, RUN + 1])
def test_batches_of_any_size_are_whole(batch: int) -> None:
    n = 4 * RUN + 5
    setup = setup_of(RandomOrder(range(n), 2), Share(batch), drop_last=False)
    got = np.concatenate([setup.info(number).ids for number in range(setup.batches)])
    np.testing.assert_array_equal(got, permute(np.arange(n), n, unsigned(2), unsigned(3), np.uint64(0)))


@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.booleans(), st.integers(0, 9))
def test_positions_of_several_batches_are_those_of_each(
    clips: int, frames: int, size: int, ranks: int, padded: bool, first: int
) -> None:
    first = min(first, clips)
    for rank in range(ranks):
        plain = Share(size, rank, ranks, padded)
        of_clips = ClipShare(size * frames, rank, ranks, padded, frames)
        for share, each in ((plain, 1), (of_clips, frames)):
            count = share.batches(clips * each, False, first * each)
            for begin in range(count):
                parts = [share.positions(b, clips * each, first * each) for b in range(begin, count)]
                together = share.positions(begin, clips * each, first * each, count - begin)
                assert together.tolist() == np.concatenate(parts).tolist()

"""The order for many nodes: one order whatever the number of ranks, of which each node reads its share of the pages."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.beton.writing.writer import Writer
from ffprep.errors import OptionError
from ffprep.fields import BytesField, IntField
from ffprep.loader import Loader, NodeOrder
from ffprep.loader.files import Ids
from ffprep.loader.order.order import Order
from ffprep.loader.order.sampling import Sampling
from ffprep.loader.order.share import Share, check_enough

PAGE = 1 << 21


def pages_of(samples: int, per_page: float) -> Ids:
    return (np.arange(samples) / per_page).astype(np.int64)


def bound(samples: int, per_page: float, groups: int, window: int, seed: int = 3) -> Order:
    return NodeOrder(groups, window).bind(np.arange(samples), pages_of(samples, per_page), seed)


def seen(order: Order, share: Share, epoch: int = 0, first: int = 0, batches: int | None = None) -> Ids:
    """The samples that a rank is shown."""
    share = order.share(share)
    count = share.batches(len(order), False, first) if batches is None else batches
    parts = [share.positions(batch, len(order), first) for batch in range(count)]
    return order.ids(epoch, np.concatenate([*parts, np.empty(0, np.int64)]))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 500), st.floats(1, 40), st.integers(1, 5), st.integers(0, 3), st.integers(0, 9)
)
def test_every_sample_comes_once(
    groups: int, more: int, per_page: float, window: int, epoch: int, shuffled: int
) -> None:
    samples = groups + more
    pages = pages_of(samples, per_page)
    if shuffled:
        np.random.default_rng(shuffled).shuffle(pages)
    indices = np.arange(samples)[:: 1 + shuffled % 2]
    if len(indices) < groups:
        return
    order = NodeOrder(groups, window).bind(indices, pages, 1)
    ids = order.ids(epoch, np.arange(len(order)))
    np.testing.assert_array_equal(np.sort(ids), indices)
    edges = order.edges(epoch)
    assert edges is not None and edges[0] == 0 and edges[-1] == len(order) and (np.diff(edges) > 0).all()


@pytest.mark.parametrize(("ranks", "groups", "node"), [(8, 128, 1), (64, 128, 8), (1024, 128, 8), (1024, 1024, 8)])
def test_nodes_read_their_share(ranks: int, groups: int, node: int) -> None:
    per_page, count = 12.7, 8000
    samples = int(per_page * count)
    order, pages = bound(samples, per_page, groups, 8), pages_of(samples, per_page)
    shown = [seen(order, Share(16, rank, ranks), epoch=2) for rank in range(ranks)]
    np.testing.assert_array_equal(np.sort(np.concatenate(shown)), np.arange(samples))
    nodes = [np.unique(pages[np.concatenate(shown[first : first + node])]) for first in range(0, ranks, node)]
    borders = max(1, groups * node // ranks)  # a page at the border of two groups is read by both
    for read in nodes:
        assert len(read) <= count * node / ranks * 1.02 + borders


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1, 2, 3, 6, 12, 24, 48]), st.sampled_from([1, 2, 3, 6, 12, 24, 48]), st.integers(0, 4))
def test_an_epoch_goes_on_with_other_ranks(before: int, after: int, steps: int) -> None:
    order = bound(700, 4.5, 12, 2)
    first = Share(5, 0, before).consumed(min(steps, Share(5, 0, before).batches(700, True)), 700)
    ids = [seen(order, Share(5, rank, before), 1, 0, first // (5 * before)) for rank in range(before)]
    ids += [seen(order, Share(5, rank, after), 1, first) for rank in range(after)]
    np.testing.assert_array_equal(np.sort(np.concatenate(ids)), np.arange(700))


def test_neighbours_in_the_file_are_spread_over_the_epoch() -> None:
    order = bound(40_000, 20, 16, 8)
    place = np.argsort(order.ids(0, np.arange(40_000)))
    assert abs(np.corrcoef(place, np.arange(40_000))[0, 1]) < 0.05
    other = np.argsort(order.ids(1, np.arange(40_000)))
    assert abs(np.corrcoef(place, other)[0, 1]) < 0.05


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match=r"128 groups for 48 ranks.*NodeOrder\(groups=96\)"):
        bound(1000, 10, 128, 1).share(Share(1, 0, 48))
    with pytest.raises(OptionError, match="fewer than 128 groups"):
        bound(100, 10, 128, 1)
    with pytest.raises(OptionError, match="at least 1"):
        NodeOrder(0)


def test_a_large_last_step_that_is_dropped_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"leaves out 232,591 of 1,281,167 samples \(18%\)"):
        check_enough(1_281_167, Share(256, 0, 1024), True, "x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for share, last in ((Share(256, 1, 1024), True), (Share(256, 0, 1024), False), (Share(256, 0, 8), True)):
            check_enough(1_281_167, share, last, "x")


@pytest.fixture(scope="module")
def beton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nodes") / "x.beton"
    fields = {"data": BytesField(), "label": IntField()}
    with Writer(path, fields, 40, page_size=PAGE) as writer:
        for i in range(40):
            writer.write([fields["data"].encode(np.full(PAGE // 4, i, np.uint8)), fields["label"].encode(i)])
    return path


def labels(loader: Loader, batches: int = 99) -> list[int]:
    found: list[int] = []
    for batch, _ in zip(iter(loader), range(batches), strict=False):
        found += batch[-1].flatten().tolist()
    return found


def test_a_loader_goes_on_with_other_ranks(beton: Path) -> None:
    def loader(rank: int, ranks: int, groups: int = 4) -> Loader:
        return Loader(
            beton,
            3,
            1,
            order=NodeOrder(groups, 1),
            seed=5,
            rank=rank,
            world_size=ranks,
            drop_last=False,
            os_cache=False,
        )

    ids, states = [], []
    for rank in range(2):
        with loader(rank, 2) as one:
            iterator = iter(one)
            ids += [label for _ in range(3) for label in next(iterator)[-1].flatten().tolist()]
            states.append(one.state_dict())
            iterator.close()
    assert states[0] == states[1]
    for rank in range(4):
        with loader(rank, 4) as one:
            one.load_state_dict(states[0])
            ids += labels(one)
    assert sorted(ids) == list(range(40))
    with loader(0, 4, 8) as other, pytest.raises(OptionError, match="NODES of 4 groups"):
        other.load_state_dict(states[0])


@dataclass
class Requested:
    """Takes the place of the reading ahead and notes its pages."""

    readers: object
    edges: Ids
    pages: object
    start: int


def test_only_a_ranks_own_pages_are_read_ahead(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffprep.loader.order.sampling.ReadAhead", Requested)
    with Loader(beton, 2, 1, order=NodeOrder(4, 1), seed=1, os_cache=False) as loader:
        sampling: Sampling = loader._sampling
        order = loader._order
        column = np.asarray([int(o) // PAGE for o in loader.reader.extents("data")[0]])
        for rank in range(4):
            share = Share(2, rank, 4)
            for first in (0, 6):
                ahead = sampling.readahead(order, 0, first, share)
                assert isinstance(ahead, Requested)
                wanted = np.unique(column[seen(order, share, 0, first)])
                asked = ahead.pages(first, len(order))  # type: ignore[operator]
                np.testing.assert_array_equal(asked, wanted)

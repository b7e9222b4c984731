"""Orders over all samples of files that have these in order: the same orders, without a number for each sample."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep import NodeOrder
from ffprep.loader.order.order import Order, QuasiRandomOrder, RandomOrder, SequentialOrder
from ffprep.loader.order.pages import PageRuns

MANY = 10_000_000

Maker = Callable[[Any, Any], Order]
ORDERS: dict[str, Maker] = {
    "sequential": lambda indices, pages: SequentialOrder(indices, pages, 3),
    "random": lambda indices, pages: RandomOrder(indices, 5),
    "quasi": lambda indices, pages: QuasiRandomOrder(indices, pages, 5, 3),
    "nodes": lambda indices, pages: NodeOrder(2, 3).bind(indices, pages, 5),
}


@pytest.mark.parametrize("make", ORDERS.values(), ids=ORDERS)
@given(runs=st.lists(st.integers(1, 9), min_size=2, max_size=20))
def test_orders_are_those_of_arrays(make: Maker, runs: list[int]) -> None:
    total = sum(runs)
    few = make(range(total), PageRuns(np.cumsum([0, *runs])))
    many = make(np.arange(total), np.repeat(np.arange(len(runs)), runs))
    everything = np.arange(total)
    assert len(few) == len(many) == total
    for epoch in (0, 1):
        assert few.ids(epoch, everything).tolist() == many.ids(epoch, everything).tolist()
        edges, wanted = few.edges(epoch), many.edges(epoch)
        assert (None if edges is None else edges.tolist()) == (None if wanted is None else wanted.tolist())


@pytest.mark.parametrize("make", ORDERS.values(), ids=ORDERS)
def test_orders_take_no_memory_for_each_sample(make: Maker) -> None:
    pages = PageRuns(np.linspace(0, MANY, 1001).astype(np.int64))
    tracemalloc.start()
    try:
        order = make(range(MANY), pages)
        order.ids(0, np.arange(4096))
        assert tracemalloc.get_traced_memory()[1] < MANY // 8
    finally:
        tracemalloc.stop()

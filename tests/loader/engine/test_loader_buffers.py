"""Pooled memory comes back when the last view is gone, and never while one is left."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from ffprep.loader.engine.buffers import POOLED_FROM, BufferPool

F32 = np.dtype(np.float32)
SHAPE = (4, 3, 100, 100)


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_memory_is_reused_after_the_array_is_dropped() -> None:
    pool = BufferPool(2)
    first = pool.take(SHAPE, F32)
    where = address(first)
    assert where % 64 == 0 and first.shape == SHAPE and first.dtype == F32 and first.flags.c_contiguous
    del first
    assert address(pool.take(SHAPE, F32)) == where


@pytest.mark.parametrize("shape", [(2, 3), SHAPE])
def test_lent_arrays_come_with_their_addresses(shape: tuple[int, ...]) -> None:
    pool = BufferPool(2)
    for _ in range(3):  # the memory is new, and then used again
        array, where = pool.lend(shape, F32)
        assert where == address(array) and array.shape == shape and array.dtype == F32
        del array


def test_views_and_tensors_keep_the_memory() -> None:
    import torch

    pool = BufferPool(8)
    array = pool.take(SHAPE, F32)
    where = address(array)
    kept = torch.from_numpy(array).permute(0, 2, 3, 1)[1:, 2:]
    row = array[2].reshape(-1)[5:]
    element = array.view(np.uint32)[0, 0, 0, :1].T
    del array
    for name in ("kept", "row", "element"):
        assert address(pool.take(SHAPE, F32)) != where
        assert pool.held() in (0, 4 * 30000 * 4)
        if name == "kept":
            del kept
        elif name == "row":
            del row
        else:
            del element
    gc.collect()
    assert where in {address(a) for a in [pool.take(SHAPE, F32) for _ in range(3)]}


def test_memory_of_any_kind_waits_for_its_views() -> None:
    pool = BufferPool(8, lambda size: np.zeros(size, np.uint8), smallest=1)
    array = pool.take((4, 6), F32)
    where, kept = address(array), array.view(np.uint32)[1:, :2].T
    del array
    assert address(pool.take((4, 6), F32)) != where
    del kept
    assert where in {address(a) for a in [pool.take((4, 6), F32) for _ in range(3)]}


def test_the_pool_keeps_a_bounded_number() -> None:
    pool = BufferPool(3)
    many = [pool.take(SHAPE, F32) for _ in range(10)]
    assert len({address(a) for a in many}) == 10
    del many
    assert pool.held() == 3 * 4 * 30000 * 4
    pool.clear()
    assert pool.held() == 0


def test_arrays_outlive_their_pool() -> None:
    pool = BufferPool(3)
    gone = weakref.ref(pool)
    array = pool.take(SHAPE, F32)
    del pool
    gc.collect()
    assert gone() is None
    array[:] = 7
    assert float(array.sum()) == 7 * array.size


def test_small_and_empty_arrays_are_plain() -> None:
    pool = BufferPool(3)
    assert pool.take((0, 3), F32).shape == (0, 3)
    small = pool.take((16, 1), np.dtype(np.int64))
    assert small.nbytes < POOLED_FROM and small.flags.owndata

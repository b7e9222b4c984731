"""The cache of what threads read: each value is loaded once, the least recently used one goes first."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ffprep.sources.reading.load_cache import LoadCache


def test_the_least_recently_used_value_is_dropped() -> None:
    cache, loaded = LoadCache[int](2), []

    def load(key: int) -> int:
        loaded.append(key)
        return 10 * key

    assert [cache.get(key, load) for key in (1, 2, 1, 3, 1, 2)] == [10, 20, 10, 30, 10, 20]
    assert loaded == [1, 2, 3, 2]


def test_one_thread_loads_and_the_others_wait() -> None:
    cache, loaded = LoadCache[int](4), []
    started, go_on = threading.Event(), threading.Event()

    def load(key: int) -> int:
        started.set()
        assert go_on.wait(30)
        loaded.append(key)
        return key

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(cache.get, 5, load) for _ in range(8)]
        assert started.wait(30)
        assert cache.get(6, lambda key: key) == 6  # another key is not held up
        go_on.set()
        assert [future.result() for future in waiting] == [5] * 8
    assert loaded == [5]


def test_an_error_is_not_kept() -> None:
    cache = LoadCache[int](4)
    with pytest.raises(ZeroDivisionError):
        cache.get(0, lambda key: 1 // key)
    assert cache.get(0, lambda key: 7) == 7


def test_a_copy_starts_empty() -> None:
    cache = LoadCache[int](1)
    cache.get(1, lambda key: 1)
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.get(1, lambda key: 2) == 2
    copy.get(2, lambda key: 2)
    assert copy.get(1, lambda key: 3) == 3

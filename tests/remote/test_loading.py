"""Epochs over remote files: the batches of local ones, pages fetched ahead, and a limit that is kept."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from range_server import Request, Served
from small_pages import SIZE as PAGE
from small_pages import environment

from ffprep import Loader, NodeOrder, OrderOption
from ffprep.beton import Reader
from ffprep.beton.sets import make_set
from ffprep.errors import OptionError
from ffprep.loader.engine.spans import NEVER, most_at_once, next_uses
from ffprep.presets import text_blocks
from ffprep.remote import RemoteError, folder_at
from ffprep.remote.folder import remove_pages
from ffprep.remote.states import ABSENT, PRESENT, States
from ffprep.remote.store import Patience

OPTIONS: dict[str, Any] = {"num_workers": 2, "batches_ahead": 1, "seed": 3}


def samples(batches: Any) -> Iterator[tuple[list[int], bytes]]:
    for values, numbers in batches:
        yield numbers.flatten().tolist(), np.asarray(values.data if hasattr(values, "data") else values).tobytes()


@pytest.fixture(autouse=True)
def patient(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no request of a busy machine be made again, since these tests count requests."""
    waiting = replace(Patience.of_environment(), attempt=60.0)
    monkeypatch.setattr(Patience, "of_environment", classmethod(lambda cls: waiting))


def pages_of(server: Served, first: int = 0) -> list[int]:
    """Return the pages that were asked for; head and tables come in smaller ranges."""
    size = len(server.objects["/bucket/train.beton"])
    return [start // PAGE for _, start, end in server.ranges[first:] if end - start in (PAGE, size % PAGE)]


@pytest.mark.parametrize(
    "order", [OrderOption.SEQUENTIAL, OrderOption.QUASI_RANDOM, OrderOption.RANDOM, NodeOrder(4, 2)], ids=str
)
def test_batches_are_those_of_the_local_file(order: Any, url: str, server: Served, cache: Path, local: Path) -> None:
    options = {**OPTIONS, "order": order, "window_pages": 2}
    with Loader(url, 8, **options) as remote, Loader(local, 8, **options) as expected:
        for _ in range(2):
            assert list(samples(remote)) == list(samples(expected))
        assert sorted(pages_of(server)) == list(range(8))
        assert [part.tobytes() for part in map(np.asarray, remote.batch([5, 200])[1:])] == [
            part.tobytes() for part in map(np.asarray, expected.batch([5, 200])[1:])
        ]
    asked = len(server.ranges)
    with Loader(url, 8, **options) as again:
        assert len(list(again)) == 30
    assert len(server.ranges) == asked


def test_a_small_cache_is_kept_and_pages_needed_last_go_first(
    url: str, server: Served, cache: Path, local: Path
) -> None:
    options = {**OPTIONS, "order": OrderOption.SEQUENTIAL}
    with Loader(url, 6, cache_limit=6 * PAGE, **options) as remote, Loader(local, 6, **options) as expected:
        wanted = list(samples(expected))
        counts = []
        for _ in range(4):
            before, found = len(server.ranges), []
            for batch in samples(remote):
                found.append(batch)
                assert folder_at(None).used(exactly=True) <= 6 * PAGE
            assert found == wanted
            counts.append(len(server.ranges) - before)
        blocks = remote.reader.path.stat().st_blocks * 512
    assert blocks <= 6 * PAGE
    # Of the eight pages five fit beside the tables: removing the page used longest ago would fetch all in each epoch.
    assert max(counts[1:]) <= 6 and sum(counts[1:]) <= 18


def test_a_cache_below_what_batches_need_is_refused_with_the_number(url: str, cache: Path, server: Served) -> None:
    options = {**OPTIONS, "order": OrderOption.RANDOM}
    with (
        Loader(url, 40, cache_limit=5 * PAGE, **options) as loader,
        pytest.raises(OptionError, match=f"need pages of .* limit is {5 * PAGE:,} bytes; give cache_limit=") as caught,
    ):
        list(loader)
    enough = int(str(caught.value).partition("cache_limit=")[2].split()[0])
    with Loader(url, 40, cache_limit=enough - 1, **options) as loader, pytest.raises(OptionError):
        list(loader)
    with Loader(url, 40, cache_limit=enough, **options) as loader:
        assert len(list(loader)) == 6
        assert folder_at(None).used(exactly=True) <= enough


def test_two_loaders_share_the_pages(url: str, server: Served, cache: Path, local: Path) -> None:
    ranks = [Loader(url, 4, order=OrderOption.QUASI_RANDOM, rank=rank, world_size=2, **OPTIONS) for rank in (0, 1)]
    for _ in zip(*ranks, strict=True):
        pass
    for loader in ranks:
        loader.close()
    assert sorted(pages_of(server)) == list(range(8))


def test_a_store_that_fails_ends_the_epoch_with_one_error(url: str, server: Served, cache: Path) -> None:
    with Loader(url, 8, **OPTIONS) as loader:
        server.fault = lambda request: "503" if request.start == 5 * PAGE else None
        found = 0
        with pytest.raises(RemoteError, match="page 5 .*503"):
            for _ in loader:
                found += 1
        assert 10 < found < 24
        server.fault = None
        assert len(list(loader)) == 30


def test_sets_replaced_samples_and_resuming(local: Path, server: Served, cache: Path, tmp_path: Path) -> None:
    damaged = bytearray(local.read_bytes())
    for name, data in (("a", local.read_bytes()), ("b", bytes(damaged))):
        (tmp_path / f"{name}.beton").write_bytes(data)
        server.put(f"/set/{name}.beton", data, name)
    make_set(tmp_path / "all.set.json", [tmp_path / "a.beton", tmp_path / "b.beton"])
    url = server.put("/set/all.set.json", (tmp_path / "all.set.json").read_bytes(), "set")
    options = {**OPTIONS, "order": OrderOption.QUASI_RANDOM, "window_pages": 3}
    with Loader(tmp_path / "all.set.json", 8, **options) as loader:
        wanted = list(samples(loader))
    with Loader(url, 8, **options) as loader:
        iterator = samples(loader)
        found = [next(iterator) for _ in range(7)]
        state = loader.state_dict()
        iterator.close()
    with Loader(url, 8, **options) as loader:
        loader.load_state_dict(state)
        assert found + list(samples(loader)) == wanted


def test_a_given_order_is_not_asked_before_its_time(url: str, cache: Path, server: Served) -> None:
    class Mine:
        asked: list[int] = []  # noqa: RUF012

        def sample_order(self, epoch: int) -> Any:
            self.asked.append(epoch)
            return np.arange(240)[:: 1 if epoch % 2 else -1]

    with Loader(url, 8, order=Mine(), **OPTIONS) as loader:
        assert len(list(loader)) == 30
    assert set(Mine.asked) == {0}


def test_presets_keep_pages_where_they_are_told(url: str, cache: Path, server: Served, tmp_path: Path) -> None:
    with text_blocks(url, 8, cache=tmp_path / "mine", **OPTIONS) as loader:
        assert len(list(loader)) == 30
        assert loader.reader.path.is_relative_to(tmp_path / "mine")
    assert not cache.exists()


def test_a_store_that_only_fsspec_knows(cache: Path, local: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/bucket/train.beton", local.read_bytes())
    with Loader("memory://bucket/train.beton", 8, **OPTIONS) as remote, Loader(local, 8, **OPTIONS) as expected:
        assert list(samples(remote)) == list(samples(expected))


batches_of_pages = st.lists(st.lists(st.integers(0, 7), unique=True).map(lambda some: np.array(sorted(some), np.int64)))


@settings(max_examples=25)
@given(batches_of_pages, st.lists(st.sampled_from([NEVER, 100, 101]), min_size=8, max_size=8))
def test_next_uses(walked: list[Any], later: list[int]) -> None:
    after, first = next_uses(walked, np.array(later, np.uint32))

    def use(page: int, begin: int) -> int:
        return next((n for n in range(begin, len(walked)) if page in walked[n]), later[page])

    assert [part.tolist() for part in after] == [[use(p, n + 1) for p in pages] for n, pages in enumerate(walked)]
    assert first.tolist() == [use(page, 0) for page in range(8)]


@settings(max_examples=25)
@given(batches_of_pages, st.integers(1, 4))
def test_most_at_once(walked: list[Any], under_way: int) -> None:
    unions = [set().union(*map(list, walked[n : n + under_way])) for n in range(len(walked))]
    sizes = np.arange(1, 9)
    assert most_at_once(walked, under_way, sizes) == max((sum(sizes[list(some)]) for some in unions), default=0)


def test_two_loaders_in_step_share_a_small_cache(url: str, server: Served, cache: Path, local: Path) -> None:
    """Neither starves by what the other fetched ahead, though none goes on before the other has its batch."""
    halves = [range(120), range(120, 240)]
    loaders = [
        Loader(url, 4, indices=half, cache_limit=6 * PAGE, order=OrderOption.SEQUENTIAL, **OPTIONS) for half in halves
    ]
    expected = [Loader(local, 4, indices=half, order=OrderOption.SEQUENTIAL, **OPTIONS) for half in halves]
    for _ in range(2):
        steps = zip(*map(samples, loaders), *map(samples, expected), strict=True)
        for step in steps:
            assert step[:2] == step[2:]
            assert folder_at(None).used(exactly=True) <= 6 * PAGE
    for loader in (*loaders, *expected):
        loader.close()


@pytest.mark.parametrize("on_error", ["raise", "skip", "replace"])
def test_damage_in_the_store_costs_the_values_that_it_is_in(
    on_error: str, server: Served, cache: Path, local: Path
) -> None:
    """As damage of a local file does, also when the page was whole at first, went, and came again."""
    whole = local.read_bytes()
    damaged = bytearray(whole)
    with Reader(local) as reader:
        offset, size = reader.extents("b")
        for sample in (40, 141):
            damaged[int(offset[sample]) + int(size[sample]) // 2] ^= 1
    url = server.put("/bucket/train.beton", whole, "one")
    options = {**OPTIONS, "order": OrderOption.SEQUENTIAL, "on_error": on_error}
    with Loader(url, 6, cache_limit=5 * PAGE, **options) as loader, Loader(local, 6, **options) as expected:
        assert list(samples(loader)) == list(samples(expected))
        server.put("/bucket/train.beton", bytes(damaged), "one")
        local.write_bytes(damaged)
        folder = folder_at(None)
        with folder.locked():
            place = loader.reader.path.parent
            states = States.of_others(place)
            gone = np.flatnonzero(states.records["state"][:5] == PRESENT)[1:]
            remove_pages(place, states, gone)
        if on_error == "raise":
            with pytest.raises(RemoteError, match="page 1 .*is damaged: 3 times"):
                list(loader)
            return
        for _ in range(2):
            with pytest.warns(RuntimeWarning, match=r": http://127.0.0.1:\d+/bucket/train.beton: sample (40|141) "):
                found = list(samples(loader))
            with pytest.warns(RuntimeWarning, match="sample (40|141) "):
                assert found == list(samples(expected))
        assert loader.errors.different == expected.errors.different == 2


def test_a_rank_killed_in_an_epoch_leaves_nothing_behind(url: str, server: Served, cache: Path, local: Path) -> None:
    """Both keep the limit together; the one that is left takes over the page that the other was fetching."""
    options: dict[str, Any] = {**OPTIONS, "order": OrderOption.SEQUENTIAL, "world_size": 2}
    asked = threading.Event()

    def fault(request: Request) -> str | None:
        if request.start != 5 * PAGE:
            return None
        asked.set()
        return "hang"

    server.fault = fault
    program = f"""
from small_pages import use_small_pages
use_small_pages()
from ffprep import Loader, OrderOption
for batch in Loader({url!r}, 4, 1, rank=1, world_size=2, batches_ahead=1, seed=3, order=OrderOption.SEQUENTIAL):
    pass
"""
    folder = folder_at(None)
    folder.set_limit(7 * PAGE)
    with Loader(local, 4, rank=0, **options) as loader:
        wanted = list(samples(loader))
    with (
        Loader(url, 4, rank=0, **options) as loader,
        subprocess.Popen([sys.executable, "-c", program], env=environment()) as other,
    ):
        users = loader.reader.path.parent / "users"
        try:
            assert asked.wait(120) and len(list(users.iterdir())) == 2
            batches = samples(loader)
            found = []
            for _ in range(12):
                found.append(next(batches))
                assert folder.used(exactly=True) <= 7 * PAGE
        finally:
            server.fault = None
            other.kill()
        assert other.wait() == -signal.SIGKILL
        for batch in batches:
            found.append(batch)
            assert folder.used(exactly=True) <= 7 * PAGE
        assert found == wanted
        states = States.of_others(users.parent).records["state"]
        assert set(states.tolist()) == {ABSENT, PRESENT}
        assert loader.reader.path.stat().st_blocks * 512 <= 7 * PAGE
    with Loader(url, 4, rank=0, **options) as loader:
        assert len(list(users.iterdir())) == 1 and list(samples(loader)) == wanted

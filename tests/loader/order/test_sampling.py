"""From a loader's options to its order: each against the order made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep.beton.writing.writer import Writer
from ffprep.common.seeds import derived_seed
from ffprep.errors import OptionError
from ffprep.fields import BytesField, IntField
from ffprep.loader.engine.extents import ExtentsAhead
from ffprep.loader.files import Files, open_files
from ffprep.loader.order import sampling
from ffprep.loader.order.mix import MixOrder
from ffprep.loader.order.order import (
    GivenOrder,
    Order,
    OrderOption,
    QuasiRandomOrder,
    RandomOrder,
    SequentialOrder,
)
from ffprep.loader.order.pages import main_pages, payload_pages
from ffprep.loader.order.sampling import Sampling, images_of
from ffprep.loader.order.share import Share
from ffprep.loader.order.weighted import WeightedOrder

PAGE = 1 << 21
SMALL, LARGE = 12, 20
RANDOM, SEQUENTIAL, QUASI = OrderOption.RANDOM, OrderOption.SEQUENTIAL, OrderOption.QUASI_RANDOM


def write(path: Path, samples: int, name: str = "image", size: int = PAGE // 2, shared: int = 1) -> Path:
    """Samples of half a page; `shared` consecutive ones have the same payload."""
    fields = {name: BytesField(), "label": IntField()}
    with Writer(path, fields, samples, page_size=PAGE) as writer:
        for i in range(samples):
            payload = np.full(size, i // shared, np.uint8)
            value = replace(fields[name].encode(payload), key=i // shared if shared > 1 else None)
            writer.write([value, fields["label"].encode(i)])
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    folder = tmp_path_factory.mktemp("sampling")
    files = open_files([str(write(folder / "small.beton", SMALL)), str(write(folder / "large.beton", LARGE))])
    yield files
    files.close()


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    files = open_files(str(write(tmp_path_factory.mktemp("sampling") / "one.beton", LARGE)))
    yield files
    files.close()


def sampled(files: Files, **options: Any) -> Sampling:
    indices = options.pop("indices", np.arange(files.num_samples))
    return Sampling(files, ["image"], indices, **{"window_pages": 2, "os_cache": True, **options})


def same(a: Order, b: Order, epoch: int = 1) -> None:
    """The same samples, keys and edges in an epoch."""
    everything = np.arange(len(b))
    assert len(a) == len(b)
    ids = a.ids(epoch, everything)
    assert ids.tolist() == b.ids(epoch, everything).tolist()
    assert a.keys(epoch, everything, ids).tolist() == b.keys(epoch, everything, ids).tolist()
    edges, wanted = a.edges(epoch), b.edges(epoch)
    assert (None if edges is None else edges.tolist()) == (None if wanted is None else wanted.tolist())


def test_each_option_gives_its_order(single: Files) -> None:
    indices = np.arange(LARGE)[::-2].copy()
    pages = main_pages(single, ["image"])
    assert len(np.unique(pages)) > 4
    cached = sampled(single, indices=indices)
    same(cached.order(SEQUENTIAL, 7, None), SequentialOrder(indices))
    same(cached.order(RANDOM, 7, None), RandomOrder(indices, 7))
    same(cached.order(QUASI, 7, None), QuasiRandomOrder(indices, pages, 7, 2))
    weights = WeightedOrder(np.arange(LARGE), 9)
    same(cached.order(weights, 7, None), weights.bind(indices, 7, LARGE))
    uncached = sampled(single, indices=indices, os_cache=False, window_pages=1)
    same(uncached.order(SEQUENTIAL, 7, None), SequentialOrder(indices, pages, 1))
    same(uncached.order(QUASI, 7, None), QuasiRandomOrder(indices, pages, 7, 1))


def test_an_order_of_the_users(single: Files) -> None:
    class Backwards:
        def __init__(self, loader: Any = None) -> None:
            self.loader = loader

        def sample_order(self, epoch: int) -> list[int]:
            return [(epoch + i) % 5 for i in (4, 3, 2)]

    choice = sampled(single)
    same(choice.order(Backwards(), 0, None), GivenOrder(Backwards(), LARGE))
    made = choice.order(Backwards, 0, "the loader")  # type: ignore[arg-type]
    same(made, GivenOrder(Backwards(), LARGE))
    assert made._source.loader == "the loader"  # type: ignore[attr-defined]
    for wrong in (3, "random", int):
        with pytest.raises(
            OptionError, match="use an OrderOption, a WeightedOrder, a NodeOrder, a RepeatedOrder, a ClipOrder or an"
        ):
            choice.order(wrong, 0, None)  # type: ignore[arg-type]


def part_orders(files: Files, option: OrderOption, parts: list[np.ndarray], windows: list[int], seed: int) -> Any:
    pages = main_pages(files, ["image"])
    made: list[Order] = []
    for f, (part, window) in enumerate(zip(parts, windows, strict=True)):
        own = derived_seed(seed, f)
        if option is RANDOM:
            made.append(RandomOrder(part, own))
        elif option is SEQUENTIAL:
            made.append(SequentialOrder(part))
        else:
            made.append(QuasiRandomOrder(part, pages, own, window))
    return made


@pytest.mark.parametrize("os_cache", [True, False])
@pytest.mark.parametrize("option", [RANDOM, SEQUENTIAL, QUASI])
def test_several_files_by_weights(both: Files, option: OrderOption, os_cache: bool) -> None:
    """Twice the 7 pages of one file and half of the 11 of the other make 19.5 in an epoch."""
    choice = sampled(both, weights=[2.4, 1.0], epoch_samples=34, os_cache=os_cache, window_pages=8)
    parts = both.split(np.arange(both.num_samples))
    pages = main_pages(both, ["image"])
    assert [len(np.unique(pages[part])) for part in parts] == [7, 11]
    windows = [round(8 * 14 / 19.5), round(8 * 5.5 / 19.5)]
    segments = 3 if not os_cache and option is not RANDOM else 0  # 8 at a time
    wanted = MixOrder(
        part_orders(both, option, parts, windows, 5),
        [24, 10],
        both.num_samples,
        5,
        shuffled=option is not SEQUENTIAL,
        segments=segments,
    )
    got = choice.order(option, 5, None)
    for epoch in (0, 1, 2):
        same(got, wanted, epoch)
    edges = got.edges(0)
    assert (edges is None) == (segments == 0)
    if edges is not None:
        assert edges.tolist() == [0, 11, 22, 34]


def test_every_file_has_a_window_of_a_page_at_least(both: Files) -> None:
    choice = sampled(both, weights=[1, 1000], epoch_samples=1001, window_pages=2)
    parts = both.split(np.arange(both.num_samples))
    wanted = MixOrder(part_orders(both, QUASI, parts, [1, 2], 3), [1, 1000], both.num_samples, 3)
    same(choice.order(QUASI, 3, None), wanted)


@pytest.mark.parametrize("option", [RANDOM, SEQUENTIAL, QUASI])
def test_epochs_of_another_length(single: Files, option: OrderOption) -> None:
    indices = np.array([1, 4, 9, 16])
    choice = sampled(single, indices=indices, epoch_samples=6)
    wanted = MixOrder(part_orders(single, option, [indices], [2], 5), [6], LARGE, 5, shuffled=option is not SEQUENTIAL)
    same(choice.order(option, 5, None), wanted)


def counts(choice: Sampling) -> list[int]:
    order = choice.order(RANDOM, 0, None)
    assert isinstance(order, MixOrder)
    return order.counts.tolist()


def test_shares_of_files(both: Files) -> None:
    assert counts(sampled(both, weights="equal")) == [16, 16]
    assert counts(sampled(both, weights="equal", epoch_samples=10)) == [5, 5]
    assert counts(sampled(both, weights=[3, 1])) == [24, 8]
    assert counts(sampled(both, weights=[0, 1], epoch_samples=7)) == [0, 7]
    assert counts(sampled(both, weights="balanced")) == [SMALL, LARGE]
    assert counts(sampled(both, weights="balanced", epoch_samples=16)) == [6, 10]
    with pytest.raises(OptionError, match="weights is 'even'; give numbers, 'balanced' or 'equal'"):
        counts(sampled(both, weights="even"))
    with pytest.raises(OptionError, match="3 weights for 2 files"):
        counts(sampled(both, weights=[1, 2, 3]))
    with pytest.raises(OptionError, match="go with an OrderOption"):
        sampled(both, weights="equal").order(WeightedOrder(np.ones(both.num_samples)), 0, None)
    with pytest.raises(OptionError, match="go with an OrderOption"):
        sampled(both, epoch_samples=3).order(WeightedOrder(np.ones(both.num_samples)), 0, None)


def test_a_file_without_samples_in_indices_needs_the_weight_0(both: Files) -> None:
    first = np.arange(SMALL)
    with pytest.raises(OptionError, match=r"large.beton: no sample of it is in indices; give it the weight 0"):
        sampled(both, indices=first, weights=[1, 1]).order(RANDOM, 0, None)
    for option in (RANDOM, SEQUENTIAL, QUASI):
        choice = sampled(both, indices=first, weights=[1, 0], os_cache=False)
        ids = choice.order(option, 0, None).ids(0, np.arange(SMALL))
        assert sorted(ids.tolist()) == first.tolist()


def test_files_are_balanced_by_different_images(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.beton", 12, size=64, shared=3), write(tmp_path / "b.beton", 5, size=64)]
    files = open_files([str(path) for path in paths])
    assert counts(sampled(files, weights="balanced")) == [4, 5]
    assert counts(sampled(files, weights="balanced", indices=np.array([0, 1, 3, 12]))) == [2, 1]
    files.close()


@pytest.mark.parametrize("name", ["picture", "label"])
def test_without_images_there_is_nothing_to_balance(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.beton"
    if name == "picture":
        write(path, 3, name, size=64)
    else:
        with Writer(path, {"image": IntField()}, 3) as writer:
            for i in range(3):
                writer.write([IntField().encode(i)])
    files = open_files(str(path))
    with pytest.raises(OptionError, match="has no field 'image' to balance by; give weights as numbers"):
        images_of(files.readers[0], np.arange(3))
    files.close()


def test_what_a_saved_state_knows_its_files_by(both: Files, single: Files) -> None:
    assert sampled(single).parts(RandomOrder(np.arange(3), 0)) == ()
    assert sampled(both).parts(RandomOrder(np.arange(3), 0)) == (SMALL, LARGE)
    mixed = sampled(both, weights=[3, 1])
    assert mixed.parts(mixed.order(RANDOM, 0, None)) == (SMALL, LARGE, 24, 8)
    longer = sampled(single, epoch_samples=50)
    assert longer.parts(longer.order(RANDOM, 0, None)) == (50,)


class Recorded:
    """Takes the place of the thread that reads ahead."""

    def __init__(self, *arguments: Any) -> None:
        self.readers, self.edges, self.pages, self.first = arguments


def test_what_is_read_ahead(both: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "ReadAhead", Recorded)
    choice = sampled(both, os_cache=False)
    order = choice.order(QUASI, 0, None)
    ahead: Any = choice.readahead(order, 3, 5)
    assert isinstance(ahead, Recorded) and ahead.readers is both.readers and ahead.first == 5
    edges = order.edges(3)
    assert edges is not None and ahead.edges.tolist() == edges.tolist()
    pages = payload_pages(both, "image")
    for start, stop in pairwise(edges.tolist()):
        wanted = sorted({int(pages[i]) for i in order.ids(3, np.arange(start, stop))})
        assert ahead.pages(start, stop).tolist() == wanted
    assert isinstance(choice.readahead(order, 3, len(order) - 1), Recorded)
    assert choice.readahead(order, 3, len(order)) is None
    assert sampled(both).readahead(order, 3, 0) is None
    random: Any = choice.readahead(choice.order(RANDOM, 0, None), 3, 0)
    assert isinstance(random, ExtentsAhead)
    random.close()
    assert sampled(both).readahead(choice.order(RANDOM, 0, None), 3, 0) is None, "the files fit into memory"
    without = Sampling(both, [], np.arange(both.num_samples), 2, False)
    assert without.readahead(without.order(QUASI, 0, None), 0, 0) is None


def test_files_that_lack_a_payload_are_not_read_ahead_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "ReadAhead", Recorded)
    plain = tmp_path / "plain.beton"
    with Writer(plain, {"label": IntField()}, 4) as writer:
        for i in range(4):
            writer.write([IntField().encode(i)])
    files = open_files([str(plain), str(write(tmp_path / "images.beton", 4, size=PAGE // 2))])
    choice = Sampling(files, ["image"], np.arange(8), 1, False)
    ahead: Any = choice.readahead(choice.order(QUASI, 0, None), 0, 0)
    pages = set(payload_pages(files, "image").tolist()) - {-1}
    assert set(ahead.pages(0, 8).tolist()) == pages and len(pages) > 1
    files.close()


def test_windows_that_do_not_fit_into_memory_are_refused(both: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = sampled(both, os_cache=False)
    order = choice.order(QUASI, 0, None)
    pages = len(np.unique(payload_pages(both, "image")))
    size = max(reader.page_size for reader in both.readers)
    for memory, share, ahead in ((pages * size, Share(40), 3), (4 * size, Share(1), 0)):
        monkeypatch.setattr(sampling, "available_memory", lambda memory=memory: memory)
        found: Any = choice.readahead(order, 0, 0, share, ahead)
        found.close()
    monkeypatch.setattr(sampling, "available_memory", lambda: 4 * size)
    with pytest.raises(OptionError, match=rf"keep {pages} pages \(.*\) in memory .* smaller window_pages"):
        choice.readahead(order, 0, 0, Share(40), 3)

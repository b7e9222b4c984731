"""Random orders over files that are larger than memory: what is asked for is what the samples need, no more."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ffprep.beton import Writer
from ffprep.beton.reader import Reader
from ffprep.fields import Encoded, Field, IntField, NDArrayField
from ffprep.fields.bytes import BytesField
from ffprep.loader import Loader, OrderOption
from ffprep.loader.engine import extents
from ffprep.loader.order import sampling

FIELDS: dict[str, Field] = {"x": NDArrayField(np.dtype("u1"), (9000,)), "label": IntField(), "more": BytesField()}
Pages = set[tuple[int, int]]


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 20_000)), max_size=30))
def test_pieces_are_the_pages_of_all_extents_once(found: list[tuple[int, int]]) -> None:
    offset, size = (np.array([pair[k] for pair in found], np.int64) for k in (0, 1))
    starts, stops = extents.pieces(offset, size)
    page = mmap.PAGESIZE
    expected = {p for a, n in found if n for p in range(a // page, (a + n - 1) // page + 1)}
    pages = [p for a, b in zip(starts.tolist(), stops.tolist(), strict=True) for p in range(a // page, b // page)]
    assert sorted(expected) == pages
    assert (starts[1:] > stops[:-1]).all()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files of 60 samples in all."""
    paths = [tmp_path_factory.mktemp("extents") / f"{n}.beton" for n in range(2)]
    for number, path in enumerate(paths):
        with Writer(path, FIELDS, 30) as writer:
            for k in range(30 * number, 30 * number + 30):
                text = b"t" * (200 * k)
                array = FIELDS["x"].encode(np.full(9000, k, np.uint8))
                writer.write([array, FIELDS["label"].encode(k), Encoded((0, len(text)), text)])
    return paths


class Advice:
    """Takes the place of ``madvise``: notes what was said of which pages of which file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[tuple[int, int, int]] = []
        monkeypatch.setattr(extents, "advise", lambda *call: self.said.append(call))

    def pages(self, readers: list[Reader], advice: int = mmap.MADV_WILLNEED) -> Pages:
        found = set()
        for address, size, kind in self.said:
            for f, reader in enumerate(readers):
                start = address - reader.data.__array_interface__["data"][0]
                if kind == advice and 0 <= start < len(reader.data):
                    found |= {(f, p) for p in range(start // mmap.PAGESIZE, (start + size - 1) // mmap.PAGESIZE + 1)}
        return found


def needed(readers: list[Reader], samples: list[int], names: tuple[str, ...]) -> Pages:
    found = set()
    for sample in samples:
        f, own = divmod(sample, 30)
        for name in names:
            payload = readers[f].payload(name, own)
            start = payload.__array_interface__["data"][0] - readers[f].data.__array_interface__["data"][0]
            if len(payload):
                pages = range(start // mmap.PAGESIZE, (start + len(payload) - 1) // mmap.PAGESIZE + 1)
                found |= {(f, p) for p in pages}
    return found


def pipelines(names: tuple[str, ...]) -> dict[str, Any]:
    return {} if "more" in names else {"more": None}


@pytest.mark.parametrize("order", [OrderOption.RANDOM, OrderOption.QUASI_RANDOM])
@pytest.mark.parametrize("names", [("x",), ("x", "more")])
@pytest.mark.parametrize(("rank", "ranks"), [(0, 1), (1, 3)])
def test_each_rank_asks_for_what_its_samples_need(
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    rank: int,
    ranks: int,
    order: OrderOption,
) -> None:
    advice = Advice(monkeypatch)
    made: list[extents.ExtentsAhead] = []
    own = extents.ExtentsAhead
    monkeypatch.setattr(sampling, "ExtentsAhead", lambda *a: made.append(own(*a)) or made[-1])
    options = {"rank": rank, "world_size": ranks, "seed": 5, "drop_last": False, "pipelines": pipelines(names)}
    with Loader(files, 4, 1, order=order, **options) as loader:
        expected = list(loader)
        assert not advice.said and not made, "the files fit into memory"
    monkeypatch.setattr(sampling, "available_memory", lambda: 1000)
    monkeypatch.setattr(extents, "AHEAD", 30_000)
    with Loader(files, 4, 1, order=order, with_index=True, **options) as loader:
        batches = iter(loader)
        found = [next(batches)]
        early = len(advice.pages(loader.files.readers))
        found += list(batches)
        [ahead] = made
        ahead._thread.join(60)
        assert not ahead._thread.is_alive()
        readers = loader.files.readers
        samples = torch.cat([batch[-1] for batch in found]).tolist()
        assert advice.pages(readers) == needed(readers, samples, names)
        assert ranks > 1 or early < len(needed(readers, samples, names)) * 0.9, "not all at once"
        kinds = [kind for _, _, kind in advice.said if kind != mmap.MADV_WILLNEED]
        assert kinds == [mmap.MADV_RANDOM] * 2 + [mmap.MADV_NORMAL] * 2
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(one, other[:-1], strict=True))


def test_the_order_of_the_file_is_left_to_the_system(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    advice = Advice(monkeypatch)
    monkeypatch.setattr(sampling, "available_memory", lambda: 1000)
    with Loader(files, 4, 1, order=OrderOption.SEQUENTIAL, seed=0) as loader:
        assert len(list(loader)) == 15
    assert not advice.said


def test_without_the_cache_random_orders_ask_too(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    advice = Advice(monkeypatch)
    with Loader(files, 4, 1, os_cache=False, order=OrderOption.RANDOM, seed=0) as loader:
        batches = iter(loader)
        next(batches)
    assert [kind for _, _, kind in advice.said].count(mmap.MADV_RANDOM) == 2

"""Which page a sample lies in, for one file and several, against a twin that looks at one sample after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ffprep.loader.order.pages import (
    SAMPLES_PER_PAGE_BITS,
    PageRuns,
    main_pages,
    pages_holding,
    payload_fields,
    payload_pages,
    sample_pages,
)

PAGE = 1 << 21


@dataclass
class Kind:
    """A field; its values lie in pages if it has a pointer."""

    pointer: str | None


@dataclass
class File:
    """As much of a reader as knows where payloads are."""

    num_samples: int
    pages: int
    where: dict[str, list[tuple[int, int]]]
    """Offset and size of each sample's payload, by field."""
    plain: list[str] = field(default_factory=list)
    page_size: int = PAGE

    @property
    def fields(self) -> dict[str, Kind]:
        return {**{name: Kind("ptr") for name in self.where}, **{name: Kind(None) for name in self.plain}}

    @property
    def data(self) -> range:
        return range((self.pages - 1) * PAGE + 1)

    def extents(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        both = np.array(self.where[name], np.uint64).reshape(-1, 2)
        return both[:, 0], both[:, 1]


class Files:
    """As much of `ffprep.loader.files.Files` as these functions use."""

    def __init__(self, readers: list[File]) -> None:
        self.readers = readers
        self.num_samples = sum(reader.num_samples for reader in readers)
        self.fields = dict.fromkeys(name for reader in readers for name in reader.fields)
        self.starts = np.cumsum([0, *(reader.num_samples for reader in readers)])

    def __len__(self) -> int:
        return len(self.readers)

    def file_of(self, samples: np.ndarray) -> np.ndarray:
        return np.array([f for s in samples for f in range(len(self)) if self.starts[f] <= s < self.starts[f + 1]])


def files(*readers: File) -> Any:
    return Files(list(readers))


def slow_pages(all_files: Any, name: str) -> list[int]:
    found: list[int] = []
    first = 0
    for reader in all_files.readers:
        if name in reader.where:
            found += [first + offset // PAGE for offset, _ in reader.where[name]]
        else:
            found += [-1] * reader.num_samples
        first += reader.pages
    return found


def slow_main_pages(all_files: Any, names: list[str]) -> list[int]:
    """The page of the largest field that a sample has, or a made-up page after those of all files."""

    def room(name: str) -> int:
        return sum(size for reader in all_files.readers for _, size in reader.where.get(name, []))

    largest_first = sorted(names, key=lambda name: -room(name))
    pages = {name: slow_pages(all_files, name) for name in names}
    after = sum(reader.pages for reader in all_files.readers)
    main = []
    for sample in range(all_files.num_samples):
        real = [pages[name][sample] for name in largest_first if pages[name][sample] >= 0]
        main.append(real[0] if real else after + sample // 2**SAMPLES_PER_PAGE_BITS)
    return main


@st.composite
def some_files(draw: st.DrawFn) -> Any:
    readers = []
    for _ in range(draw(st.integers(1, 3))):
        samples, pages = draw(st.integers(1, 6)), draw(st.integers(1, 5))
        place = st.tuples(st.integers(0, pages * PAGE - 1), st.integers(1, 1000))
        names = draw(st.lists(st.sampled_from(["image", "tokens", "extra"]), unique=True))
        where = {name: draw(st.lists(place, min_size=samples, max_size=samples)) for name in names}
        readers.append(File(samples, pages, where, ["label"]))
    return files(*readers)


@given(some_files())
def test_pages_equal_those_found_one_by_one(all_files: Any) -> None:
    names = payload_fields(["tokens", "image", "label", "extra", "unknown"], all_files)
    assert set(names) == {name for reader in all_files.readers for name in reader.where}
    for name in names:
        assert payload_pages(all_files, name).tolist() == slow_pages(all_files, name)
    sizes = [sum(size for reader in all_files.readers for _, size in reader.where.get(name, [])) for name in names]
    if len(set(sizes)) == len(sizes):  # of two equal sizes either may decide
        assert main_pages(all_files, names).tolist() == slow_main_pages(all_files, names)


def test_the_field_that_takes_most_room_decides() -> None:
    # small ones at high offsets: it is sizes that count
    small, large = [(3 * PAGE + i, 10) for i in range(4)], [(i * PAGE, 11) for i in range(4)]
    alone = files(File(4, 4, {"image": large, "tokens": small}))
    assert main_pages(alone, ["tokens", "image"]).tolist() == [0, 1, 2, 3]
    assert main_pages(alone, ["tokens"]).tolist() == [3, 3, 3, 3]


def test_a_sample_in_the_first_page_stays_there() -> None:
    both = files(File(2, 2, {"image": [(0, 100), (PAGE, 100)], "tokens": [(PAGE, 1), (0, 1)]}))
    assert main_pages(both, ["image", "tokens"]).tolist() == [0, 1]


def test_files_that_lack_the_largest_field_are_placed_by_the_next() -> None:
    first = File(2, 3, {"image": [(0, 50), (2 * PAGE, 50)]})
    second = File(2, 2, {"tokens": [(0, 7), (PAGE, 7)]})
    assert main_pages(files(first, second), ["tokens", "image"]).tolist() == [0, 2, 3, 4]


def test_samples_without_payloads_share_pages_of_4096() -> None:
    first, second = File(1, 2, {"image": [(PAGE, 9)]}), File(9000, 1, {}, ["label"])
    pages = main_pages(files(first, second), ["image"])
    assert pages[0] == 1
    assert pages[1:].tolist() == [3 + sample // 4096 for sample in range(1, 9001)]


def test_fields_are_named_in_the_files_order_and_once() -> None:
    both = files(
        File(1, 1, {"tokens": [(0, 1)], "image": [(0, 1)]}, ["label"]),
        File(1, 1, {"image": [(0, 1)]}, ["tokens"]),
    )
    assert payload_fields({"image", "tokens", "label"}, both) == ["tokens", "image"]
    assert payload_fields({"image"}, both) == ["image"]
    assert payload_fields({"label"}, both) == []


@given(some_files())
def test_runs_of_pages_equal_the_page_of_each_sample(all_files: Any) -> None:
    names = payload_fields(["tokens", "image", "extra"], all_files)
    wanted, runs = main_pages(all_files, names), sample_pages(all_files, names)
    if isinstance(runs, PageRuns):
        assert len(runs) == all_files.num_samples
        assert np.unique(wanted, return_inverse=True)[1].tolist() == runs.each().tolist()
        assert (np.diff(wanted) >= 0).all()
    else:
        assert runs.tolist() == wanted.tolist()
    several = len([name for name in names if any(name not in reader.where for reader in all_files.readers)])
    if len(names) == 1 and not several and (np.diff(wanted) >= 0).all():
        assert isinstance(runs, PageRuns)


@given(some_files(), st.data())
def test_pages_of_some_samples(all_files: Any, data: Any) -> None:
    names = payload_fields(["tokens", "image", "extra"], all_files)
    samples = np.array(data.draw(st.lists(st.integers(0, all_files.num_samples - 1))), np.int64)
    found = {page for name in names for page in payload_pages(all_files, name)[samples].tolist()} - {-1}
    assert pages_holding(all_files, names, samples).tolist() == sorted(found)

"""What scripts read from ffcv's loader: its orders, its reader, its pipelines, its memory manager."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep import DatasetWriter, Loader, OrderOption
from ffprep.fields import BytesField, IntField
from ffprep.fields.decoders import IntDecoder
from ffprep.loader.loader import DEFAULT_OS_CACHE, ORDER_MAP
from ffprep.memory_managers import OSCacheManager, ProcessCacheManager
from ffprep.reader import Reader
from ffprep.transforms import Squeeze, ToTensor
from ffprep.traversal_order import QuasiRandom, Random, Sequential
from ffprep.traversal_order.base import TraversalOrder


class Numbers:
    def __len__(self) -> int:
        return 23

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        return i, np.frombuffer(b"%d" % i * 3, np.uint8)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("numbers") / "numbers.beton"
    fields = {"number": IntField(), "text": BytesField()}
    DatasetWriter(path, fields, num_workers=1, processes=False).from_indexed_dataset(Numbers())
    return path


def loader_of(path: Path, **options: Any) -> Loader:
    pipelines = {"number": [IntDecoder(), ToTensor(), Squeeze()], "text": None}
    return Loader(path, 4, 1, pipelines=pipelines, seed=5, **options)


@pytest.mark.parametrize("order", list(OrderOption))
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("rank", [None, 0, 1])
def test_the_next_order_is_what_the_next_epoch_shows(
    numbers: Path, order: OrderOption, drop_last: bool, rank: int | None
) -> None:
    shares: dict[str, Any] = {} if rank is None else {"rank": rank, "world_size": 2}
    indices = np.arange(2, 23)
    with loader_of(numbers, order=order, drop_last=drop_last, indices=indices, **shares) as loader:
        first = loader.first_traversal_order.tolist()
        for epoch in range(2):
            told = loader.next_traversal_order().tolist()
            assert loader.traversal_order.sample_order(epoch).tolist() == told
            shown = np.concatenate([batch for (batch,) in loader]).tolist()
            assert shown == told[: len(shown)]
            assert len(shown) == len(told) if not drop_last else len(told) - len(shown) < 4
            assert (told == first) == (epoch == 0 or order is OrderOption.SEQUENTIAL)


@pytest.mark.parametrize("option", list(OrderOption))
def test_built_in_orders_can_be_given_as_classes(numbers: Path, option: OrderOption) -> None:
    kind: Any = ORDER_MAP[option]
    assert kind in (Random, Sequential, QuasiRandom)
    with loader_of(numbers, order=kind) as given, loader_of(numbers, order=option) as named:
        assert given.next_traversal_order().tolist() == named.next_traversal_order().tolist()


def test_a_custom_order_is_told_its_loader(numbers: Path) -> None:
    class Backwards(TraversalOrder):
        def sample_order(self, epoch: int) -> Any:
            assert self.loader.reader.num_samples == 23 and not self.distributed
            return self.indices[::-1]

    with loader_of(numbers, order=Backwards) as loader:  # type: ignore[arg-type]
        [first, *_] = loader
        assert first[0].tolist() == [22, 21, 20, 19]


def test_the_reader_is_ffcvs(numbers: Path) -> None:
    with loader_of(numbers) as loader:
        assert isinstance(loader.reader, Reader)
        assert loader.reader.file_name == str(numbers) and loader.reader.field_names == ["number", "text"]
        assert len(loader.reader.alloc_table) == 23 and list(loader.reader.handlers) == ["number", "text"]
        assert loader.reader.metadata["f0"].tolist() == list(range(23))


def test_pipelines_can_be_looked_at(numbers: Path) -> None:
    with loader_of(numbers) as loader:
        assert list(loader.pipelines) == ["number", "text"] and loader.pipelines["text"] is None
        spec = loader.pipeline_specs["number"]
        assert spec.source == "number" and isinstance(spec.decoder, IntDecoder)
        assert [type(step) for step in spec.transforms] == [ToTensor, Squeeze]
        assert loader.field_name_to_f_ix == {"number": 0, "text": 1} and DEFAULT_OS_CACHE


@pytest.mark.parametrize("kind", [OSCacheManager, ProcessCacheManager])
def test_memory_managers_read_payloads_by_address(numbers: Path, kind: Any) -> None:
    with Reader(numbers) as reader:
        manager = kind(reader)
        read = manager.compile_reader()
        with manager.schedule_epoch([[0, 1]]) as context:
            context.start_batch(0)
            for row in reader.alloc_table[[0, 11, 22]]:
                assert read(row["ptr"], context.state).tobytes() == b"%d" % row["sample_id"] * 3
        assert manager.page_to_samples == {0: set(range(23))} and manager.sample_to_pages[7] == {0}
        assert manager.ptr_to_size[int(reader.alloc_table["ptr"][0])] == 3
    with loader_of(numbers) as loader:
        assert loader.memory_manager.page_to_samples == {0: set(range(23))}

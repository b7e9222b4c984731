"""What a loader counts: batches, samples, bytes, time and errors."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import ResizeRGBImageDecoder
from ffprep.loader.epoch import stats
from ffprep.loader.epoch.stats import LoaderStats
from ffprep.reader import Reader
from ffprep.transforms import Convert, ToTensor


def made(path: Path, size: int = 4, **options: object) -> Loader:
    pipelines = {"image": [ResizeRGBImageDecoder(16), ToTensor()]}
    return Loader(path, size, 2, pipelines=pipelines, drop_last=False, **options)  # type: ignore[arg-type]


def test_counts_are_those_of_what_was_handed_out(image_beton: Path) -> None:
    with Reader(image_beton) as reader:
        sizes, total = reader.extents("image")[1].tolist(), reader.num_samples
    with made(image_beton) as loader:
        assert loader.stats() == LoaderStats()
        assert loader.stats().samples_per_second == loader.stats().waiting_share == 0
        iterator = iter(loader)
        next(iterator)
        next(iterator)
        first = loader.stats()
        assert (first.batches, first.samples, first.bytes) == (2, 8, sum(sizes[:8]))
        assert 0 < first.waiting <= first.seconds and 0 < first.waiting_share <= 1
        assert first.samples_per_second == pytest.approx(8 / first.seconds)
        list(iterator)
        loader.batch([0, 1])  # is no part of an epoch
        list(loader)
        whole = loader.stats()
        assert (whole.batches, whole.samples, whole.bytes) == (2 * len(loader), 2 * total, 2 * sum(sizes))
        rest = whole - first
        assert (rest.batches, rest.samples, rest.bytes) == (whole.batches - 2, 2 * total - 8, whole.bytes - first.bytes)
        assert rest.seconds == pytest.approx(whole.seconds - first.seconds) and rest.ready == 0
    assert loader.stats() == whole


def test_bytes_do_not_depend_on_when_they_are_added_up(image_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "HELD", 2)
    with made(image_beton, 1, order=OrderOption.RANDOM, seed=0) as loader:
        list(loader)
        often = loader.stats().bytes
    monkeypatch.undo()
    with made(image_beton, 1, order=OrderOption.RANDOM, seed=0) as loader:
        list(loader)
    assert loader.stats().bytes == often > 0


@pytest.mark.parametrize("heavy", [False, True])
def test_ready_batches_are_counted(image_beton: Path, heavy: bool) -> None:
    pipelines = {"image": [ResizeRGBImageDecoder(16), ToTensor(), *([Convert("float64")] if heavy else [])]}
    with Loader(image_beton, 2, 1, pipelines=pipelines, batches_ahead=2) as loader:
        assert loader.stats().ready == 0
        iterator = iter(loader)
        next(iterator)
        waited = threading.Event()
        for _ in range(2000):  # workers fill what there is room for while nobody takes it
            if loader.stats().ready >= 2:
                break
            waited.wait(0.005)
        assert 2 <= loader.stats().ready <= 3
        list(iterator)
        assert loader.stats().ready == 0


def test_errors_are_counted(image_beton: Path, tmp_path: Path) -> None:
    with Reader(image_beton) as reader:
        start = int(reader.extents("image")[0][3])
    damaged = bytearray(image_beton.read_bytes())
    damaged[start : start + 64] = bytes(64)
    (tmp_path / "damaged.beton").write_bytes(damaged)
    with (
        made(tmp_path / "damaged.beton", on_error="skip") as loader,
        pytest.warns(RuntimeWarning, match="left out"),
    ):
        list(loader)
    assert loader.stats().errors == 1 and loader.stats().samples == len(loader.indices) - 1


def test_time_between_epochs_is_not_counted(image_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}
    monkeypatch.setattr("time.perf_counter", lambda: clock["now"])
    with made(image_beton) as loader:
        for _ in range(2):
            for _ in loader:
                clock["now"] += 1.0
            clock["now"] += 100.0
        told = loader.stats()
    assert (told.seconds, told.waiting) == (2.0 * len(loader), 0.0)

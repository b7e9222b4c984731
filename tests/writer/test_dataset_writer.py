"""``DatasetWriter``: the same bytes from any workers, and an error, never a hang, from any failure."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep.beton import Reader
from ffprep.errors import ConversionError, OptionError
from ffprep.fields import BytesField, IntField, NDArrayField, RGBImageField, Shared
from ffprep.writer import DatasetWriter

FIELDS = {"image": RGBImageField(write_mode="raw"), "label": IntField(), "text": BytesField()}
MODES = [(1, True), (2, True), (3, "fork"), (2, False)]


class Pictures:
    """Small images, their number as label and text."""

    def __len__(self) -> int:
        return 37

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return np.full((3 + index % 4, 5, 3), index, np.uint8), index, b"x" * index


def broken(at: int, what: Any) -> Any:
    """Return pictures of which one does something else."""

    class Broken(Pictures):
        def __getitem__(self, index: int) -> tuple[Any, ...]:
            return what() if index == at else super().__getitem__(index)

    return Broken()


def left_behind(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_same_bytes_from_any_workers(tmp_path: Path) -> None:
    contents = set()
    for number, (workers, processes) in enumerate(MODES):
        path = tmp_path / f"{number}.beton"
        DatasetWriter(path, FIELDS, num_workers=workers, processes=processes).from_indexed_dataset(Pictures())
        contents.add(path.read_bytes())
    assert len(contents) == 1
    reader = Reader(tmp_path / "0.beton")
    assert [reader.value("label", index) for index in range(37)] == list(range(37))
    assert reader.value("text", 30) == b"x" * 30
    assert left_behind(tmp_path) == [f"{number}.beton" for number in range(len(MODES))]


def test_indices_and_shuffling(tmp_path: Path) -> None:
    indices = [9, 3, 3, 36]
    DatasetWriter(tmp_path / "a.beton", FIELDS, num_workers=1).from_indexed_dataset(Pictures(), indices)
    assert Reader(tmp_path / "a.beton").column("label").tolist() == indices
    for name, seed in (("b", 0), ("c", 0), ("d", 1)):
        writer = DatasetWriter(tmp_path / f"{name}.beton", FIELDS, num_workers=1, seed=seed)
        writer.from_indexed_dataset(Pictures(), indices, shuffle_indices=True)
    labels = [Reader(tmp_path / f"{name}.beton").column("label").tolist() for name in "bcd"]
    assert labels[0] == labels[1]
    assert [sorted(each) for each in labels] == [sorted(indices)] * 3
    assert indices == [9, 3, 3, 36]
    assert Reader(tmp_path / "a.beton").sample_label(3) == "sample 3 (36)"


def raise_key_error() -> Any:
    raise KeyError("no such\nfile")


class CannotBePickled(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("cannot be pickled back")


def raise_unpicklable() -> Any:
    raise CannotBePickled(1, 2)


PIXELS = np.zeros((4, 4, 3), np.uint8)
FAILURES = {
    "exception": (raise_key_error, "KeyError: 'no such"),
    "exception that cannot be pickled": (raise_unpicklable, "cannot be pickled back"),
    "leaving Python": (lambda: exec("raise SystemExit(3)"), "SystemExit: 3"),
    "an array instead of a tuple": (lambda: np.arange(5), "ndarray for the 3 fields"),
    "too few values": (lambda: (PIXELS, 1), "2 values for the 3 fields"),
    "a float as integer": (lambda: (PIXELS, 1.5, b""), "label: IntField wants an integer, got float 1.5"),
    "text as bytes": (lambda: (PIXELS, 1, "abc"), "text: BytesField wants bytes"),
    "floats as bytes": (lambda: (PIXELS, 1, np.zeros(3)), "float64 and shape"),
    "a wide image": (lambda: (np.zeros((1, 65536, 3), np.uint8), 1, b""), "65536x1"),
    "an empty image": (lambda: (np.zeros((0, 4, 3), np.uint8), 1, b""), "empty"),
    "not an image": (lambda: ([1, 2], 1, b""), "not list"),
}


@pytest.mark.parametrize("case", FAILURES)
@pytest.mark.parametrize("processes", [True, False])
def test_a_failing_sample_ends_the_writing_and_is_named(tmp_path: Path, case: str, processes: bool) -> None:
    what, message = FAILURES[case]
    writer = DatasetWriter(tmp_path / "x.beton", FIELDS, num_workers=2, processes=processes)
    with pytest.raises(ConversionError, match=r"sample 20 \(dataset\[20\]\): .*") as caught:
        writer.from_indexed_dataset(broken(20, what))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left_behind(tmp_path) == []


def test_the_cause_is_the_workers_traceback(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "x.beton", FIELDS, num_workers=2)
    with pytest.raises(ConversionError) as caught:
        writer.from_indexed_dataset(broken(20, raise_key_error))
    assert "in raise_key_error" in str(caught.value.__cause__)


def test_a_killed_worker_is_an_error(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "x.beton", FIELDS, num_workers=2)
    with pytest.raises(ConversionError, match=r"samples? \d+.*a worker process died"):
        writer.from_indexed_dataset(broken(20, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    assert left_behind(tmp_path) == []


def test_what_cannot_be_sent_between_processes(tmp_path: Path) -> None:
    """Keys of shared values, and indices that are no numbers."""
    writer = DatasetWriter(tmp_path / "x.beton", FIELDS, num_workers=2)
    with pytest.raises(ConversionError, match="cannot be sent between processes"):
        writer.from_indexed_dataset(broken(20, lambda: (Shared(lambda: 1, PIXELS), 1, b"")))
    with pytest.raises(ConversionError, match="sample 0: cannot be sent between processes"):
        writer.from_indexed_dataset(Pictures(), [lambda: 1])
    assert left_behind(tmp_path) == []


def test_no_worker_outlives_a_failure(tmp_path: Path) -> None:
    for what in (raise_key_error, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        with pytest.raises(ConversionError):
            DatasetWriter(tmp_path / "x.beton", FIELDS, num_workers=3).from_indexed_dataset(broken(20, what))
        assert multiprocessing.active_children() == []


def test_a_sample_larger_than_the_page(tmp_path: Path) -> None:
    def big() -> Any:
        return PIXELS, 1, bytes((1 << 21) + 1)

    with pytest.raises(ConversionError, match=r"sample 20.*2097153 bytes.*page_size"):
        DatasetWriter(tmp_path / "x.beton", FIELDS, 1 << 21, num_workers=2).from_indexed_dataset(broken(20, big))
    DatasetWriter(tmp_path / "x.beton", FIELDS, num_workers=2).from_indexed_dataset(broken(20, big))
    assert len(Reader(tmp_path / "x.beton").value("text", 20)) == (1 << 21) + 1


def test_a_dataset_that_cannot_be_sent(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "x.beton", FIELDS, num_workers=2, processes="spawn")
    with pytest.raises(OptionError, match="cannot be sent to worker processes"):
        writer.from_indexed_dataset(broken(1, lambda: None))
    with pytest.raises(OptionError, match="processes is"):
        DatasetWriter(tmp_path / "x.beton", FIELDS, num_workers=2, processes="magic").from_indexed_dataset(Pictures())


def test_an_existing_file_stays_until_the_new_one_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    DatasetWriter(path, FIELDS, num_workers=1).from_indexed_dataset(Pictures(), [1, 2])
    before = path.read_bytes()
    with pytest.raises(ConversionError):
        DatasetWriter(path, FIELDS, num_workers=1).from_indexed_dataset(broken(20, raise_key_error))
    assert path.read_bytes() == before
    DatasetWriter(path, FIELDS, num_workers=1).from_indexed_dataset(Pictures(), [3])
    assert Reader(path).column("label").tolist() == [3]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"caption_tokens_en_0": IntField()}, "19 characters"),
        ({"größe": IntField()}, "not ASCII"),
        ({"": IntField()}, "empty"),
        ({"label": int}, "not one of ffprep.fields"),
        ({}, "fields"),
    ],
)
def test_fields_are_checked_at_once(tmp_path: Path, fields: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DatasetWriter(tmp_path / "x.beton", fields)


@pytest.mark.parametrize("page_size", [0, 1 << 20, (1 << 21) + 1, 1 << 32])
def test_page_size_is_checked_at_once(tmp_path: Path, page_size: int) -> None:
    with pytest.raises(ValueError, match="page_size is a power of two"):
        DatasetWriter(tmp_path / "x.beton", FIELDS, page_size)


def make_shard(path: Path, first: int, count: int) -> str:
    with tarfile.open(path, "w") as tar:
        for index in range(first, first + count):
            for suffix, content in (("txt", b"t" * (index % 5)), ("cls", str(index).encode())):
                entry = tarfile.TarInfo(f"{index:04}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return str(path)


SHARD_FIELDS = {"text": BytesField(), "label": IntField(), "row": NDArrayField("int32", (2,))}


def as_tuples(dataset: Any) -> Any:
    return dataset.map(lambda each: (each["txt"], int(each["cls"]), np.array([int(each["cls"])] * 2, np.int32)))


# webdataset leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_webdataset(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    shards = [make_shard(tmp_path / f"{n}.tar", n * 10, 3 + n) for n in range(4)]
    contents = set()
    for workers, processes in MODES:
        path = tmp_path / "x.beton"
        DatasetWriter(path, SHARD_FIELDS, num_workers=workers, processes=processes).from_webdataset(shards, as_tuples)
        contents.add(path.read_bytes())
        path.unlink()
    assert len(contents) == 1
    (tmp_path / "y.beton").write_bytes(contents.pop())
    reader = Reader(tmp_path / "y.beton")
    labels = [n * 10 + index for n in range(4) for index in range(3 + n)]
    assert reader.column("label").tolist() == labels
    assert [reader.value("text", index) for index in range(len(labels))] == [b"t" * (n % 5) for n in labels]
    assert left_behind(tmp_path) == ["0.tar", "1.tar", "2.tar", "3.tar", "y.beton"]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_that_changes_is_an_error(tmp_path: Path, workers: int) -> None:
    pytest.importorskip("webdataset")
    shard = make_shard(tmp_path / "0.tar", 0, 5)
    marker = tmp_path / "read"

    def pipeline(dataset: Any) -> Any:
        rows = list(as_tuples(dataset))
        if marker.exists():
            return rows[1:]
        marker.touch()
        return rows

    writer = DatasetWriter(tmp_path / "x.beton", SHARD_FIELDS, num_workers=workers)
    with pytest.raises(ConversionError, match=r"0.tar: has 5 samples on the first reading and 4 on the second"):
        writer.from_webdataset([shard], pipeline)
    assert left_behind(tmp_path) == ["0.tar", "read"]

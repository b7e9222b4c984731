"""Parts whose payloads nodes write to their places in one file: the bytes are those of one writer, whatever happens."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep.beton.verify import verify
from ffprep.beton.writing.unfinished import write_parts
from ffprep.common.workers.cluster import Places, and_within
from ffprep.convert.clusters import placed, placing, streaming
from ffprep.convert.clusters.assembling import Gathered, assemble, make_room
from ffprep.convert.clusters.jobs import PartJob
from ffprep.convert.clusters.placed import PartsInOrder, number_of, write_placed
from ffprep.convert.clusters.placing import HeldPart, SharedValueError
from ffprep.convert.clusters.records import PartRecord, Place, read_record
from ffprep.convert.clusters.streaming import PlacedPayloads
from ffprep.convert.conversion import convert, write_results
from ffprep.errors import ConversionError, OptionError, SourceError
from ffprep.fields import BytesField, Encoded, Field, IntField, NDArrayField

MIB = 1 << 20
NONE: dict[str, Any] = {"on_error": "skip", "page_size": None, "inputs": (), "configuration": {"a": 1}}


class Made:
    """Samples of sizes that are given, over and over, some of which are refused."""

    name = "made"

    def __init__(self, count: int, sizes: list[int], bad: tuple[int, ...] = (), *, aligned: bool = False) -> None:
        self.count, self.sizes, self.bad, self.aligned = count, sizes, bad, aligned
        self.fields: dict[str, Field] = {"data": BytesField(), "number": IntField()}
        if aligned:
            self.fields["array"] = NDArrayField(np.dtype("<u2"), (3,))

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> Any:
        if index in self.bad:
            raise SourceError(f"sample {index} is bad")
        data = bytes([index % 251 + 1]) * self.sizes[index % len(self.sizes)]
        return (data, index, np.arange(3, dtype=np.uint16) + index) if self.aligned else (data, index)

    def sample_name(self, index: int) -> str:
        return f"item/{index}"

    def manifest(self) -> dict[str, Any]:
        return {"dataset": "made", "count": self.count}


class Numbers(Made):
    """Samples without payloads."""

    def __init__(self, count: int) -> None:
        super().__init__(count, [0])
        self.fields = {"number": IntField()}

    def sample(self, index: int) -> Any:
        return (index,)


@pytest.fixture(autouse=True)
def notices(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The store of a cluster's head."""
    store: dict[str, str] = {}
    monkeypatch.setattr(placed, "find", store.get)
    monkeypatch.setattr(placed, "leave", store.__setitem__)
    yield store


def job_of(source: Any, folder: Path, count: int, **options: Any) -> PartJob:
    folder.mkdir(exist_ok=True)
    job = PartJob(convert, source, folder, "x.beton", count, {**NONE, **options}, len(source), write_results)
    make_room(job)
    return job


def finished(job: PartJob, out: Path) -> bytes:
    """The file of parts that are all there, some of which may have to be written again."""
    gathered = Gathered(job)
    for task in gathered.missing:
        write_placed(job, task)
    gathered = Gathered(job)
    assert not gathered.missing
    assemble(job, gathered, out, {"source": job.source.manifest()}, job.options["configuration"])
    assert verify(out, workers=1).ok
    return out.read_bytes()


def local(job: PartJob, out: Path) -> bytes:
    """The file of the same conversion without a cluster."""
    options = {name: job.options[name] for name in ("on_error", "page_size", "configuration")}
    convert(job.source, out, workers=1, **options)
    return out.read_bytes()


SOURCES = [
    (Made(73, [0, 5, 4000, 70_001, 3]), {}),
    (Made(73, [10, 66_000], bad=(0, 1, 2, 3, 30, 70, 71, 72)), {}),
    (Made(61, [3 * MIB, 0, MIB, 5 * MIB + 1, 17]), {}),
    (Made(40, [MIB, 3 * MIB - 1, 2], aligned=True), {"page_size": 1 << 22}),
    (Made(9, [20 * MIB, 5]), {}),
    (Numbers(30), {}),
]
IDS = ["small", "refused", "pages", "aligned", "large", "numbers"]


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize(("source", "options"), SOURCES, ids=IDS)
def test_the_bytes_are_those_of_one_writer(
    tmp_path: Path, source: Made, options: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(source, tmp_path / "parts", count, **options)
    reports = [write_placed(job, number) for number in range(count)]
    assert all(report["begin"] is not None for report in reports), "the part before had said where it ends"
    assert finished(job, tmp_path / "x.beton") == local(job, tmp_path / "y.beton")
    assert not job.whole.exists()

    # Backwards, nobody is told, and too much is to be kept in memory.
    monkeypatch.setattr(placing, "HELD_BYTES", 100_000)
    monkeypatch.setattr(placing, "_buffers", [])
    monkeypatch.setattr(placed, "find", lambda key: None)
    job = job_of(source, tmp_path / "others", count, **options)
    order = PartsInOrder(job)
    for number in reversed(range(count)):
        assert order.add(write_placed(job, number))
    again = list(order.again())
    assert [number_of(task) for task in again] == list(range(1, count))
    for task in reversed(again):
        assert not order.add(write_placed(job, task))
    assert finished(job, tmp_path / "x.beton") == (tmp_path / "y.beton").read_bytes()
    assert not list(job.folder.glob("*.payloads"))


@pytest.mark.parametrize("asked", [0, 1, 3])
@pytest.mark.parametrize(("source", "options"), SOURCES, ids=IDS)
def test_a_part_that_is_told_under_way_where_it_begins(
    tmp_path: Path,
    source: Made,
    options: dict[str, Any],
    asked: int,
    notices: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, size in (("LOT", 50_000), ("ASKED", 30_000), ("HELD_BYTES", 300_000), ("_buffers", [])):
        monkeypatch.setattr(placing, name, size)
    questions: dict[str, int] = {}

    def find(key: str) -> str | None:
        questions[key] = questions.get(key, 0) + 1
        return notices.get(key) if questions[key] > asked else None

    monkeypatch.setattr(placed, "find", find)
    monkeypatch.setattr(placed, "PATIENCE", 0.0)
    job = job_of(source, tmp_path / "parts", 3, **options)
    reports = [write_placed(job, number) for number in range(3)]
    assert asked or all(report["begin"] is not None for report in reports)
    assert finished(job, tmp_path / "x.beton") == local(job, tmp_path / "y.beton")


@pytest.mark.parametrize("told", [True, False])
def test_a_source_that_changes_under_way_is_refused(tmp_path: Path, notices: dict[str, str], *, told: bool) -> None:
    """As after a process that was lost when it had said where its part ends, and the next part was written there."""
    job = job_of(Made(40, [9000, 70_000]), tmp_path / "parts", 4)
    order = PartsInOrder(job)
    for number in range(3):
        write_placed(job, number)
    job.record_path(1).unlink()
    other = replace(job, source=Made(40, [9000, 70_000, 1]))
    wanted = r"^made: samples up to \d+ changed while they were converted; --restart drops what is done and begins anew"
    if not told:
        notices.clear()
        begin = read_record(job.record_path(0)).end  # type: ignore[union-attr]
        assert begin is not None
        order.add(write_placed(job, 0))
        order.add(write_placed(other, (1, begin)))
    with pytest.raises(ConversionError, match=wanted):
        order.add(write_placed(other, 1) if told else write_placed(job, 2))
    if not told:
        with pytest.raises(ConversionError, match=wanted):
            Gathered(replace(job, count=3))


def test_a_part_is_not_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(Made(200, [9000, 70_000]), tmp_path / "parts", 2)
    write_placed(job, 0)
    with monkeypatch.context() as patch:
        patch.setattr(placed, "find", lambda key: None)
        assert write_placed(job, 1)["begin"] is None
    read: list[int] = []
    source = job.source
    monkeypatch.setattr(source, "sample", lambda index: read.append(index) or Made.sample(source, index))  # type: ignore[arg-type, func-returns-value]
    assert [write_placed(job, number)["converted"] for number in (0, 1)] == [0, 0]
    assert len(read) < 140 and not list(job.folder.glob("*.payloads")), "only some are read, to be compared"
    assert finished(job, tmp_path / "x.beton") == local(job, tmp_path / "y.beton")


def test_a_source_that_changed_since_is_refused(tmp_path: Path) -> None:
    job = job_of(Made(40, [9000, 70_000]), tmp_path / "parts", 2)
    write_placed(job, 0)
    with pytest.raises(OptionError, match=r"its source changed: item/0 \(sample 0\)"):
        write_placed(replace(job, source=Made(40, [8000])), 0)


@pytest.mark.parametrize("kind", ["cut", "changed", "empty"])
def test_a_damaged_record_counts_as_none(tmp_path: Path, kind: str) -> None:
    job = job_of(Made(40, [9000, 70_000]), tmp_path / "parts", 2)
    for number in range(2):
        write_placed(job, number)
    path = job.record_path(1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut": path.read_bytes()[:-1], "changed": bytes(data), "empty": b""}[kind])
    assert read_record(path) is None
    with pytest.raises(
        ConversionError, match=r"00001\.part: was written, and has gone or is damaged; the same command"
    ):
        Gathered(job)
    assert write_placed(job, 1)["converted"] == 20
    assert finished(job, tmp_path / "x.beton") == local(job, tmp_path / "y.beton")


@pytest.mark.parametrize("written", [0, 1, 3])
def test_a_process_that_dies_while_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    """What it wrote of its part is written again, and so it is after a full disk."""
    job = job_of(Made(40, [900_000, 70_000]), tmp_path / "parts", 3)
    write_placed(job, 0)
    calls = 0

    def full(descriptor: int, parts: list[memoryview], offset: int) -> None:
        nonlocal calls
        calls += 1
        if calls > written:
            os.pwrite(descriptor, b"\xff" * (sum(map(len, parts)) // 2), offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_parts(descriptor, parts, offset)

    monkeypatch.setattr(placing, "LOT", 100_000)
    with monkeypatch.context() as patch:
        patch.setattr(streaming, "write_parts", full)
        with pytest.raises(ConversionError, match="whole: cannot write: No space left on device; make room"):
            write_placed(job, 1)
    assert read_record(job.record_path(1)) is None
    write_placed(job, 2)  # was told where its part begins before
    write_placed(job, 1)
    assert finished(job, tmp_path / "x.beton") == local(job, tmp_path / "y.beton")


def test_nobody_writes_to_a_file_that_has_its_name(tmp_path: Path) -> None:
    """As a process that was lost, and lives on when the command has ended, or began anew."""
    job = job_of(Made(40, [9000, 70_000]), tmp_path / "parts", 2)
    for number in range(2):
        write_placed(job, number)
    expected = finished(job, tmp_path / "x.beton")
    job.record_path(1).unlink()
    with pytest.raises(ConversionError, match="whole: cannot write"):
        write_placed(job, 1)
    assert (tmp_path / "x.beton").read_bytes() == expected


def test_a_file_gets_its_name_while_a_lost_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "LOT", 100_000)
    job = job_of(Made(200, [9000, 70_000]), tmp_path / "parts", 1)
    source, begun = job.source, b""

    def sample(index: int) -> Any:
        nonlocal begun
        if index == 150:
            begun = job.whole.rename(tmp_path / "x.beton").read_bytes()
        return Made.sample(source, index)  # type: ignore[arg-type]

    monkeypatch.setattr(source, "sample", sample)
    with pytest.raises(ConversionError, match="whole: cannot write: No such file"):
        write_placed(job, 0)
    assert any(begun) and (tmp_path / "x.beton").read_bytes() == begun


def test_edges_are_left_to_the_command(tmp_path: Path) -> None:
    job = job_of(Made(40, [9000, 70_000]), tmp_path / "parts", 3)
    for number in range(3):
        write_placed(job, number)
    whole = np.fromfile(job.whole, np.uint8)
    for number in range(3):
        record = read_record(job.record_path(number))
        assert record is not None and record.begin is not None and record.end is not None
        first, last = record.begin.cursor + len(record.head), record.end.cursor - len(record.tail)
        assert first % streaming.EDGE == last % streaming.EDGE == 0 and first < last
        assert whole[first:last].all() and not whole[record.begin.cursor : first].any()


@pytest.mark.parametrize("size", [100, 70_000])
def test_payloads_that_change_after_they_were_taken(tmp_path: Path, size: int) -> None:
    """A source may fill the same memory over and over; what cannot change is not copied."""
    job = job_of(Made(40, [size]), tmp_path / "parts", 1)
    memory = bytearray(size)
    held = HeldPart({"data": BytesField()}, None, tmp_path / "x", lambda: placed_at_once(job))
    for number in range(1, 41):
        memory[:] = bytes([number]) * size
        held.write([Encoded((0, size), memory)])
    assert held.placed is not None
    record = held.placed.finish(held.record({}))
    held.close()
    whole = np.zeros(40 * size, np.uint8)
    written = np.fromfile(job.whole, np.uint8)[job.first_place.cursor + len(record.head) :]
    whole[len(record.head) : len(record.head) + len(written)] = written
    whole[: len(record.head)] = np.frombuffer(record.head, np.uint8)
    whole[len(whole) - len(record.tail) :] = np.frombuffer(record.tail, np.uint8)
    assert (whole.reshape(40, size) == np.arange(1, 41)[:, None]).all()


def placed_at_once(job: PartJob) -> PlacedPayloads:
    return PlacedPayloads(job.whole, job.alignments, job.first_place, None)


def test_shared_values_have_no_place_of_their_own(tmp_path: Path) -> None:
    held = HeldPart({"data": BytesField()}, None, tmp_path / "x")
    held.write([Encoded((0, 1), b"a")])
    with pytest.raises(SharedValueError):
        held.write([Encoded((0, 1), b"a", key="k")])


def test_a_sample_that_does_not_fit_is_named(tmp_path: Path) -> None:
    held = HeldPart({"data": BytesField()}, 1 << 21, tmp_path / "x")
    for value, wanted in (
        ([Encoded((0, 1 << 22), bytes(1 << 22))], r"^sample 0 \(n\): a value takes 4194304 bytes and a page 2097152"),
        ([], r"^sample 0 \(n\): 0 values for 1 fields"),
        ([Encoded((0, -1), b"")], r"^sample 0 \(n\): a value does not fit its metadata record"),
    ):
        with pytest.raises(ConversionError, match=wanted):
            held.write(value, "n")
    assert held.num_written == 0 and not (tmp_path / "x").exists()


def test_a_record_is_read_as_it_was_written() -> None:
    record = PartRecord({"a": [1]}, np.array([[3], [4]]), np.array([5, 1 << 63], np.uint64), b"r", b"n\n", b"s")
    placed_one = replace(record, begin=Place(1, 2), end=Place(3, 4), blocks={7: (1 << 64) - 1}, head=b"h", tail=b"t")
    for one in (record, placed_one):
        found = PartRecord.unpack(one.pack())
        assert found.pack() == one.pack() and (found.begin, found.end) == (one.begin, one.end)
        assert found.sizes.tolist() == [[3], [4]] and found.sums.tolist() == [5, 1 << 63]
        assert dict(found.blocks) == dict(one.blocks) and (found.head, found.tail) == (one.head, one.tail)


def test_a_machine_where_a_folder_is_empty_is_named(tmp_path: Path) -> None:
    """As where the file system of the source is not mounted."""
    (tmp_path / "token").write_text("mine")
    (tmp_path / "in" / "n01440764").mkdir(parents=True)
    (tmp_path / "in" / ".hidden").touch()
    (tmp_path / "none").mkdir()
    places = Places(
        str(tmp_path), tmp_path / "token", "mine", and_within([tmp_path / "in", tmp_path / "none", tmp_path / "token"])
    )
    places.check()
    (tmp_path / "in" / "n01440764").rmdir()
    with pytest.raises(ConversionError, match=f"does not see {tmp_path / 'in' / 'n01440764'}; all nodes have to read"):
        places.check()


def test_a_machine_without_the_folder_or_the_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("mine")
    places = Places(str(tmp_path), tmp_path / "token", "mine", (Path("token"),))
    places.check()
    for wrong, wanted in (
        (
            replace(places, content="another's"),
            rf"does not see {tmp_path} as the command does; all nodes have to write",
        ),
        (replace(places, token=tmp_path / "none" / "token"), rf"does not see {tmp_path / 'none'} as the command does"),
        (replace(places, read=(tmp_path / "gone",)), rf"does not see {tmp_path / 'gone'}; all nodes have to read"),
    ):
        with pytest.raises(ConversionError, match=rf"node {socket.gethostname()} {wanted}"):
            wrong.check()

"""The conversion engine: same bytes for any number of workers and after any interruption, errors with names."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ffprep.beton.reader import Reader
from ffprep.convert.conversion import FAILURES_IN_A_ROW, convert
from ffprep.convert.units import UNIT, WorkUnit, encode_unit, units_of
from ffprep.errors import ConversionError, OptionError, SourceError
from ffprep.fields import BytesField, IntField, Shared
from ffprep.sources.base import Named


class Made:
    """Samples made by a function: bytes and a number."""

    name = "made"

    def __init__(self, count: int = 100, values: Callable[[int], Any] | None = None) -> None:
        self.count = count
        self.fields = {"data": BytesField(), "number": IntField()}
        self.values = values or plain

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> Any:
        return self.values(index)

    def sample_name(self, index: int) -> str:
        return f"item/{index}"

    def manifest(self) -> dict[str, Any]:
        return {"dataset": "made", "count": self.count}


class Stream(Made):
    """The same, in order only."""

    def sample(self, index: int) -> Any:
        raise AssertionError("a stream is not asked for samples by number")

    def stream(self, start: int) -> Iterator[Named]:
        for index in range(start, self.count):
            try:
                yield Named(f"item/{index}", self.values(index))
            except SourceError as error:
                yield Named(f"item/{index}", error)


def plain(index: int) -> tuple[bytes, int]:
    return bytes([index % 256]) * (index * 37 % 5000 + 1), index


def failing(at: Sequence[int], error: Callable[[], Exception]) -> Callable[[int], tuple[bytes, int]]:
    def values(index: int) -> tuple[bytes, int]:
        if index in at:
            raise error()
        return plain(index)

    return values


def reference(tmp_path: Path, source: Any, **options: Any) -> bytes:
    out = tmp_path / "reference.beton"
    convert(source, out, workers=1, **options)
    return out.read_bytes()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "reference.beton")


@pytest.mark.parametrize("kind", [Made, Stream])
@pytest.mark.parametrize("workers", [2, 5])
def test_same_bytes_for_any_number_of_workers(tmp_path: Path, workers: int, kind: type[Made]) -> None:
    expected = reference(tmp_path, Made(211))
    report = convert(kind(211), tmp_path / "x.beton", workers=workers)
    assert (tmp_path / "x.beton").read_bytes() == expected
    assert report.written == report.converted == 211
    assert leftovers(tmp_path) == ["x.beton"]


def test_file_holds_samples_names_manifest_and_report(tmp_path: Path) -> None:
    report = convert(Made(50), tmp_path / "x.beton", workers=2)
    with Reader(tmp_path / "x.beton") as reader:
        assert [(reader.value("data", i), reader.value("number", i)) for i in range(50)] == [*map(plain, range(50))]
        manifest = reader.manifest
        assert manifest is not None
        assert manifest["source"] == {"dataset": "made", "count": 50}
        assert manifest["report"] == report.facts()
        assert report.facts()["bytes_in"] == report.facts()["bytes_out"] == sum(len(plain(i)[0]) for i in range(50))
        assert "seconds" not in manifest["report"]


def test_limit_takes_the_first_samples(tmp_path: Path) -> None:
    convert(Made(100), tmp_path / "x.beton", limit=33)
    with Reader(tmp_path / "x.beton") as reader:
        assert reader.column("number").tolist() == [*range(33)]
        assert reader.manifest is not None and reader.manifest["limit"] == 33
    convert(Made(33), tmp_path / "y.beton", limit=1000)
    with Reader(tmp_path / "y.beton") as reader:
        assert reader.manifest is not None and "limit" not in reader.manifest


@pytest.mark.parametrize("error", [lambda: SourceError("is gone"), lambda: OSError(errno.EIO, "Input/output error")])
def test_first_failure_in_order_is_raised_with_its_name(tmp_path: Path, error: Callable[[], Exception]) -> None:
    source = Made(200, failing([150, 77, 170], error))
    with pytest.raises(ConversionError, match=r"^item/77 \(sample 77\): .*(gone|Input/output)"):
        convert(source, tmp_path / "x.beton", workers=4)
    assert not (tmp_path / "x.beton").exists()


def test_failure_before_any_sample_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="item/0"):
        convert(Made(10, failing([0], lambda: SourceError("no"))), tmp_path / "x.beton")
    assert leftovers(tmp_path) == []


def test_value_of_the_wrong_kind_names_sample_and_field(tmp_path: Path) -> None:
    source = Made(10, lambda i: (b"x", i if i < 5 else 0.5))
    with pytest.raises(ConversionError, match=r"item/5 \(sample 5\): number: IntField wants an integer, got float 0.5"):
        convert(source, tmp_path / "x.beton")


@pytest.mark.parametrize(("value", "words"), [((b"x",), "1 values for the 2 fields data, number"), (b"xy", "bytes")])
def test_sample_that_is_no_tuple_of_the_fields_is_refused(tmp_path: Path, value: Any, words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        convert(Made(3, lambda _: value), tmp_path / "x.beton")


def test_programming_error_is_raised_whatever_the_policy(tmp_path: Path) -> None:
    source = Made(40, failing([20], lambda: KeyError("caption")))
    with pytest.raises(ConversionError, match=r"item/20 \(sample 20\): KeyError: 'caption'"):
        convert(source, tmp_path / "x.beton", on_error="skip")


def test_skipped_samples_are_listed_and_the_rest_is_whole(tmp_path: Path) -> None:
    bad = [0, 5, 6, 99]
    report = convert(Made(100, failing(bad, lambda: SourceError("is\n  gone"))), tmp_path / "x.beton", on_error="skip")
    assert report.refused_count == 4
    assert report.facts()["refused"] == [{"sample": f"item/{i}", "reason": "is gone"} for i in bad]
    with Reader(tmp_path / "x.beton") as reader:
        assert reader.column("number").tolist() == [i for i in range(100) if i not in bad]
    assert "4  refused" in report.table()
    assert "item/99: is gone" in report.table()


def test_source_that_went_away_is_not_skipped_to_the_end(tmp_path: Path) -> None:
    source = Made(10_000, failing(range(50, 10_000), lambda: OSError(errno.ENOENT, "No such file")))
    with pytest.raises(ConversionError, match=rf"item/149.*the {FAILURES_IN_A_ROW}th sample in a row"):
        convert(source, tmp_path / "x.beton", on_error="skip")


def test_all_samples_refused_makes_an_empty_file_with_the_report(tmp_path: Path) -> None:
    report = convert(Made(9, failing(range(9), lambda: SourceError("no"))), tmp_path / "x.beton", on_error="skip")
    assert (report.written, report.refused_count) == (0, 9)


@pytest.mark.parametrize("kind", [Made, Stream])
@pytest.mark.parametrize("commit_samples", [1, 7, 1000])
def test_resumed_after_failures_to_the_same_bytes(tmp_path: Path, kind: type[Made], commit_samples: int) -> None:
    def skipping(index: int) -> tuple[bytes, int]:
        if index % 13 == 4:
            raise SourceError("never readable")
        return plain(index)

    expected = reference(tmp_path, Made(150, skipping), on_error="skip")
    out = tmp_path / "x.beton"
    for at in (3, 60, 61, 149):

        def broken(index: int, at: int = at) -> tuple[bytes, int]:
            if index == at:
                raise RuntimeError("power cut")
            return skipping(index)

        with pytest.raises(ConversionError, match="power cut"):
            convert(kind(150, broken), out, resume=True, on_error="skip", workers=3, commit_samples=commit_samples)
        assert leftovers(tmp_path) == ["x.beton.journal", "x.beton.partial"]
    report = convert(kind(150, skipping), out, resume=True, on_error="skip", commit_samples=commit_samples)
    assert out.read_bytes() == expected
    assert report.written == 138
    assert report.converted < 60
    assert leftovers(tmp_path) == ["x.beton"]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_run_conversion import Made, plain
from ffprep.convert.conversion import convert

def values(index):
    if index == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(index)

convert(Made(120, values), sys.argv[2], resume=True, workers=2, commit_samples=8)
"""


def test_killed_at_any_point_and_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    expected = reference(tmp_path, Made(120))
    out = tmp_path / "x.beton"
    for at in (0, 41, 42, 119):
        here = str(Path(__file__).parent)
        done = subprocess.run([sys.executable, "-c", KILLED, here, str(out), str(at)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert not out.exists()
    convert(Made(120), out, resume=True, commit_samples=8)
    assert out.read_bytes() == expected


def test_full_disk_is_one_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = reference(tmp_path, Made(2000))
    real = os.pwrite
    room = [1_000_000]

    def pwrite(fd: int, data: Any, offset: int) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, memoryview(data)[: room[0]], offset)
        room[0] -= written
        return written

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(ConversionError, match=r"x\.beton\.partial: byte .*No space left on device; make room"):
        convert(Made(2000), tmp_path / "x.beton", workers=2, commit_samples=100)
    monkeypatch.undo()
    convert(Made(2000), tmp_path / "x.beton", resume=True, commit_samples=100)
    assert (tmp_path / "x.beton").read_bytes() == expected


def test_interruption_keeps_what_is_written_and_says_how_to_continue(tmp_path: Path) -> None:
    expected = reference(tmp_path, Made(100))

    class Interrupting:
        def update(self, done: int, size: int, failed: int = 0) -> None:
            if done >= 64:
                raise KeyboardInterrupt

        def close(self) -> None:
            """Nothing to close."""

    with pytest.raises(KeyboardInterrupt, match="interrupted after 64 of 100 samples; the same command goes on"):
        convert(Made(100), tmp_path / "x.beton", progress=lambda *_: Interrupting())
    report = convert(Made(100), tmp_path / "x.beton", resume=True)
    assert report.converted == 36
    assert (tmp_path / "x.beton").read_bytes() == expected


def test_no_thread_outlives_a_failed_conversion(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(ConversionError):
        convert(Made(1000, failing([500], lambda: SourceError("no"))), tmp_path / "x.beton", workers=5)
    assert threading.active_count() == before


def test_units_under_way_are_bounded(tmp_path: Path) -> None:
    taken: list[int] = []

    def values(index: int) -> tuple[bytes, int]:
        taken.append(index)
        return plain(index)

    class Watching:
        def update(self, done: int, size: int, failed: int = 0) -> None:
            assert max(taken) < done + (2 * 3 + 2) * UNIT

        def close(self) -> None:
            """Nothing to close."""

    convert(Made(600, values), tmp_path / "x.beton", workers=3, progress=lambda *_: Watching())


def test_shared_values_count_once_whatever_the_interruptions(tmp_path: Path) -> None:
    def values(index: int) -> tuple[Shared, int]:
        return Shared(f"image {index // 5}", bytes([index // 5]) * 1000), index

    expected = reference(tmp_path, Made(60, values))

    def broken(index: int) -> tuple[Shared, int]:
        if index == 33:
            raise SourceError("power cut")
        return values(index)

    out = tmp_path / "x.beton"
    with pytest.raises(ConversionError):
        convert(Made(60, broken), out)
    report = convert(Made(60, values), out, resume=True)
    assert out.read_bytes() == expected
    assert report.facts()["bytes_in"] == report.facts()["bytes_out"] == 12_000


def test_stream_that_ends_early_makes_a_shorter_file(tmp_path: Path) -> None:
    class Short(Stream):
        def __len__(self) -> int:
            return 100

    assert convert(Short(41), tmp_path / "x.beton").written == 41
    with Reader(tmp_path / "x.beton") as reader:
        assert reader.num_samples == 41


def test_units_cover_the_samples_in_order() -> None:
    assert [(u.start, u.stop) for u in units_of(Made(100), 5, 40)] == [(5, 21), (21, 37), (37, 40)]
    streamed = list(units_of(Stream(100), 5, 40))
    assert [(u.start, u.stop, len(u.items or ())) for u in streamed] == [(5, 21, 16), (21, 37, 16), (37, 40, 3)]
    assert len(encode_unit(Made(100), WorkUnit(0, 16), stopped=lambda: True)) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "at least 1"),
        ({"on_error": "ignore"}, "'raise' or 'skip'"),
        ({"engine": "slurm"}, "'local' or 'ray'"),
        ({"page_size": 3}, "power of two"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(tmp_path: Path, options: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        convert(Made(3), tmp_path / "x.beton", **options)
    assert leftovers(tmp_path) == []


def test_source_without_samples_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no samples"):
        convert(Made(0), tmp_path / "x.beton")
    (tmp_path / "x.beton").write_bytes(b"mine")
    with pytest.raises(OptionError, match="exists already"):
        convert(Made(3), tmp_path / "x.beton")
    assert (tmp_path / "x.beton").read_bytes() == b"mine"


def test_what_to_do_about_a_bad_sample_is_said_and_works(tmp_path: Path) -> None:
    out, bad = tmp_path / "x.beton", [31]

    def values(index: int) -> Any:
        if index in bad:
            raise SourceError("is bad; leave it out")
        return plain(index)

    says = r"item/31 \(sample 31\): is bad; leave it out; the same command goes on with --on-error skip, or with a good"
    with pytest.raises(ConversionError, match=says):
        convert(Made(40, values), out, workers=1)
    with pytest.raises(OptionError, match=r"of which 31 samples are done .*--restart"):
        convert(Made(39, values), out, workers=1)  # without it
    shorter = convert(Made(31, values), out, workers=1, restart=True)
    assert shorter.state["samples"] == 31
    out.unlink()
    with pytest.raises(ConversionError, match=says):
        convert(Made(40, values), out, workers=1)
    skipped = convert(Made(40, values), out, workers=1, on_error="skip")
    assert skipped.state["samples"] == 39 and skipped.state["refused_count"] == 1
    out.unlink()
    with pytest.raises(ConversionError, match=says):
        convert(Made(40, values), out, workers=1)
    bad.clear()  # a good file in its place
    assert convert(Made(40, values), out, workers=1).state["samples"] == 40

"""The same conversion again goes on or is finished already; another one, or another source, is refused in words."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest

from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer
from ffprep.convert import resuming
from ffprep.convert.conversion import convert
from ffprep.convert.units import UNIT
from ffprep.errors import ConversionError, OptionError, SourceError
from ffprep.fields import BytesField, IntField, NDArrayField
from ffprep.sources.base import Named, shuffled


class Files:
    """A source of one file for each sample, or of one archive of all."""

    name = "files"

    def __init__(self, folder: Path, count: int = 150, broken: int | None = None, **facts: Any) -> None:
        self.folder, self.count, self.broken, self.facts = folder, count, broken, facts
        self.fields = {"data": BytesField(), "row": NDArrayField("<u2", (3,)), "number": IntField()}

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> tuple[Any, ...]:
        if index == self.broken:
            raise SourceError("power cut")
        return (self.folder / f"{index}").read_bytes(), np.full(3, index, "<u2"), index

    def sample_name(self, index: int) -> str:
        return f"file {index}"

    def stamp(self, index: int) -> tuple[int, int]:
        found = (self.folder / f"{index}").stat()
        return found.st_size, found.st_mtime_ns

    def manifest(self) -> dict[str, Any]:
        return {"dataset": "files", **self.facts}


class Archive(Files):
    """Its samples have no stamps."""

    def stamp(self, index: int) -> Any:
        return None


class Stream(Files):
    """In order only."""

    def stream(self, start: int) -> Iterator[Named]:
        for index in range(start, self.count):
            if index == self.broken:
                raise SourceError("power cut")
            yield Named(self.sample_name(index), self.sample(index))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    for index in range(150):
        write(data / f"{index}", bytes([index]) * (200 + index), 10**9)
    write(tmp_path / "all.tar", b"archive", 10**9)
    return data


def write(path: Path, content: bytes, time: int) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(time, time))


def stopped(source: Files, out: Path, **options: Any) -> None:
    """A conversion that ends at sample 100."""
    source.broken = 100
    with pytest.raises(ConversionError, match="power cut"):
        convert(source, out, workers=2, **options)
    source.broken = None


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("x.")}


@pytest.mark.parametrize("kind", [Files, Archive, Stream])
def test_the_same_command_goes_on_and_then_has_nothing_to_do(folder: Path, tmp_path: Path, kind: type[Files]) -> None:
    convert(Files(folder), tmp_path / "whole.beton")
    out = tmp_path / "x.beton"
    stopped(kind(folder), out)
    report = convert(kind(folder), out)
    assert report.converted == 50
    assert contents(tmp_path) == {"x.beton": (tmp_path / "whole.beton").read_bytes()}
    again = convert(kind(folder), out)
    assert again.found and again.converted == 0 and again.facts() == report.facts()
    assert "nothing was done" in again.table()
    assert list(contents(tmp_path)) == ["x.beton"]


def test_a_restart_begins_anew(folder: Path, tmp_path: Path) -> None:
    stopped(Files(folder), tmp_path / "x.beton")
    assert convert(Files(folder), tmp_path / "x.beton", restart=True).converted == 150
    with pytest.raises(OptionError, match="exists already"):
        convert(Files(folder), tmp_path / "x.beton", restart=True)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"split": "val"}, r'manifest\.source\.split: was "train", is "val"'),
        ({"count": 149}, "samples: was 150, is 149"),
    ],
)
def test_another_conversion_is_refused_in_words(
    folder: Path, tmp_path: Path, other: dict[str, Any], words: str
) -> None:
    stopped(Files(folder, split="train"), tmp_path / "x.beton")
    before = contents(tmp_path)
    with pytest.raises(OptionError, match=f"100 samples are done .*{words}.*--restart"):
        convert(Files(folder, **{"split": "train", **other}), tmp_path / "x.beton")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("index", [0, 1, 57, 99])
@pytest.mark.parametrize("size", [0, 3])
def test_a_changed_sample_is_noticed(folder: Path, tmp_path: Path, index: int, size: int) -> None:
    """Wherever it is among those read, whether or not its size changed; its time did."""
    stopped(Files(folder), tmp_path / "x.beton")
    before = contents(tmp_path)
    write(folder / f"{index}", b"?" * (200 + index + size), 2 * 10**9)
    with pytest.raises(OptionError, match=rf"source changed: file {index} \(sample {index}\) is not what .*--restart"):
        convert(Files(folder), tmp_path / "x.beton")
    assert contents(tmp_path) == before


def test_a_sample_that_is_gone_is_noticed(folder: Path, tmp_path: Path) -> None:
    stopped(Files(folder), tmp_path / "x.beton")
    (folder / "50").unlink()
    with pytest.raises(OptionError, match=r"source changed: file 50 .*No such file.*--restart"):
        convert(Files(folder), tmp_path / "x.beton")


@pytest.mark.parametrize("kind", [Archive, Stream])
@pytest.mark.parametrize("index", [0, UNIT - 1, 99])
def test_the_first_and_the_last_unit_are_compared_in_any_case(
    folder: Path, tmp_path: Path, kind: type[Files], index: int
) -> None:
    stopped(kind(folder), tmp_path / "x.beton")
    write(folder / f"{index}", b"?" * (200 + index), 10**9)
    with pytest.raises(OptionError, match=f"source changed: file {index} "):
        convert(kind(folder), tmp_path / "x.beton")


def test_what_is_read_later_may_change(folder: Path, tmp_path: Path) -> None:
    stopped(Files(folder), tmp_path / "x.beton")
    write(folder / "100", b"repaired", 2 * 10**9)
    assert convert(Files(folder), tmp_path / "x.beton").converted == 50


def test_other_times_alone_do_not_matter(folder: Path, tmp_path: Path) -> None:
    stopped(Files(folder), tmp_path / "x.beton")
    for path in folder.iterdir():
        os.utime(path)
    assert convert(Files(folder), tmp_path / "x.beton").converted == 50


def test_too_many_other_times_to_compare_all_are_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "COMPARED", 5)
    stopped(Files(folder), tmp_path / "x.beton")
    for path in folder.iterdir():
        os.utime(path)
    with pytest.warns(RuntimeWarning, match=r"100 of the files read; the \d+ samples compared are the same"):
        convert(Files(folder), tmp_path / "x.beton")


def test_archives_are_known_by_size_and_time(folder: Path, tmp_path: Path) -> None:
    archive, out = tmp_path / "all.tar", tmp_path / "x.beton"
    stopped(Archive(folder), out, inputs=[archive])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stopped(Archive(folder), out, inputs=[archive])
    write(archive, b"larger archive", 10**9)
    with pytest.raises(OptionError, match=r"source changed: all\.tar had 7 bytes and has 14; --restart"):
        convert(Archive(folder), out, inputs=[archive])
    write(archive, b"Archive", 2 * 10**9)
    write(folder / "57", b"?" * 257, 10**9)
    with pytest.raises(OptionError, match="source changed: file 57 "):
        convert(Archive(folder), out, inputs=[archive])
    write(folder / "57", bytes([57]) * 257, 10**9)
    with pytest.warns(RuntimeWarning, match=r"another time than at the beginning: all\.tar; the 100 samples compared"):
        assert convert(Archive(folder), out, inputs=[tmp_path / "all.tar"]).converted == 50


def test_archives_in_a_folder_are_known_too(folder: Path, tmp_path: Path) -> None:
    stopped(Archive(folder), tmp_path / "x.beton", inputs=[tmp_path])
    write(tmp_path / "all.tar", b"larger archive", 10**9)
    with pytest.raises(OptionError, match=r"all\.tar had 7 bytes"):
        convert(Archive(folder), tmp_path / "x.beton", inputs=[tmp_path])


@pytest.mark.parametrize("kind", [Files, Stream])
def test_a_finished_file_of_another_source_is_not_accepted(folder: Path, tmp_path: Path, kind: type[Files]) -> None:
    out = tmp_path / "x.beton"
    convert(kind(folder, split="train"), out)
    before = contents(tmp_path)
    with pytest.raises(OptionError, match=r'exists already.*source\.split: was "train", is "val".*--overwrite'):
        convert(kind(folder, split="val"), out)
    write(folder / "3", b"?" * 203, 10**9)
    with pytest.raises(OptionError, match=r"exists already.*file 3 is another sample 3.*--overwrite"):
        convert(kind(folder, split="train"), out)
    assert contents(tmp_path) == before


def test_a_finished_file_with_other_order_or_number_is_not_accepted(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"
    convert(shuffled(Files(folder), 1), out)
    assert convert(shuffled(Files(folder), 1), out).found
    for source in (shuffled(Files(folder), 2), Files(folder)):
        with pytest.raises(OptionError, match="shuffle_seed"):
            convert(source, out)
    convert(Files(folder), tmp_path / "y.beton")
    with pytest.raises(OptionError, match="samples: was 150, is 149"):
        convert(Files(folder, 149), tmp_path / "y.beton")
    with pytest.raises(OptionError, match="page_size: was"):
        convert(Files(folder), tmp_path / "y.beton", page_size=1 << 24)


def test_a_finished_file_without_refused_samples_is_accepted(folder: Path, tmp_path: Path) -> None:
    for index in (0, 60, 149):
        (folder / f"{index}").unlink()
    assert convert(Files(folder), tmp_path / "x.beton", on_error="skip").written == 147
    again = convert(Files(folder), tmp_path / "x.beton", on_error="skip")
    assert again.found and again.written == 147
    write(folder / "61", b"?" * 261, 10**9)
    write(folder / "140", b"?" * 340, 10**9)
    with pytest.raises(OptionError, match=r"file \d+ is another sample"):
        convert(Files(folder), tmp_path / "x.beton", on_error="skip")


def test_no_conversions_file_is_accepted(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"
    out.write_bytes(b"a letter to grandmother")
    with pytest.raises(OptionError, match="exists already"):
        convert(Files(folder), out)
    assert out.read_bytes() == b"a letter to grandmother"
    out.unlink()
    with Writer(out, Files(folder).fields, 0):
        pass
    with pytest.raises(OptionError, match="exists already"):
        convert(Files(folder), out)


def test_after_the_renaming_the_same_command_accepts_the_file(
    folder: Path, tmp_path: Path, folders_cannot_be_synced: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.beton"
    for _ in range(2):
        with pytest.raises(ConversionError, match="the file is finished, but its folder"):
            convert(Files(folder), out)
    folders_cannot_be_synced.undo()
    assert sorted(contents(tmp_path)) == ["x.beton", "x.beton.journal"]
    assert convert(Files(folder), out).found
    assert list(contents(tmp_path)) == ["x.beton"]


PLACES = ["writing.writer.Writer.write", "report.ConversionReport.count", "conversion.note_of"]


@pytest.mark.parametrize("place", PLACES)
def test_an_interruption_between_writing_and_counting_repeats_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Ctrl-C may come between any two steps."""
    convert(Files(folder), tmp_path / "whole.beton")
    whole = f"ffprep.{'beton' if 'writer' in place else 'convert'}.{place}"
    real, calls = resolve_name(whole.replace(".Writer", ":Writer").replace(".Conv", ":Conv")), 0

    def interrupted(*values: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 75:
            raise KeyboardInterrupt
        return real(*values)

    with monkeypatch.context() as patch:
        patch.setattr(whole, interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(Files(folder), tmp_path / "x.beton", commit_samples=10)
    convert(Files(folder), tmp_path / "x.beton")
    assert (tmp_path / "x.beton").read_bytes() == (tmp_path / "whole.beton").read_bytes()
    with Reader(tmp_path / "x.beton") as reader:
        assert reader.column("number").tolist() == [*range(150)]


def test_arrays_larger_than_any_file_are_refused() -> None:
    for shape in ((1 << 61,), (2**70,), (1 << 40, 1 << 40)):
        with pytest.raises(OptionError, match="does not fit any file"):
            NDArrayField("<f4", shape)
    NDArrayField("<f4", ((1 << 61) - 1,))

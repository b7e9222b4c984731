"""What changed since a file was written is found when a loader first reads it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_betons import without_additions

from ffprep import Loader, OrderOption
from ffprep.beton import Reader, Writer, layout
from ffprep.beton.verify import verify
from ffprep.convert.indexing import make_index
from ffprep.errors import BetonError, CorruptError, DecodeError, TruncatedError
from ffprep.fields import BytesField, Field, IntField, NDArrayField
from ffprep.fields.decoders import BytesDecoder, IntDecoder, NDArrayDecoder
from ffprep.loader.checks import Checks
from ffprep.loader.files import open_files

FIELDS: dict[str, Field] = {"text": BytesField(), "array": NDArrayField(np.dtype("<i4"), (3,)), "label": IntField()}
PIPELINES = {"text": [BytesDecoder()], "array": [NDArrayDecoder()], "label": [IntDecoder()]}
COUNT = 5


def write(path: Path, names: bool = True) -> Path:
    with Writer(path, FIELDS, COUNT) as writer:
        for n in range(COUNT):
            values = [b"text" * (n % 3), np.arange(3, dtype="<i4") * n, 7 * n]
            encoded = [field.encode(value) for field, value in zip(FIELDS.values(), values, strict=True)]
            writer.write(encoded, f"{n}.txt" if names else "")
    return path


def epoch(path: Path, **options: Any) -> list[list[Any]]:
    with Loader(path, COUNT, 1, pipelines=PIPELINES, **options) as loader:
        return [[np.asarray(part).tolist() if hasattr(part, "shape") else part for part in batch] for batch in loader]


def outcome(path: Path, **options: Any) -> Any:
    try:
        return repr(epoch(path, **options))
    except (BetonError, DecodeError) as error:
        assert path.name in str(error) and "\n" not in str(error)
        return error


@pytest.fixture(scope="module")
def every_byte() -> Any:
    """The program that changes every byte; here it changes some of each part."""
    place = Path(__file__).parents[3] / "benchmarks" / "reliability" / "every_byte.py"
    spec = importlib.util.spec_from_file_location("every_byte", place)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where its dataclasses are looked for
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_changes_of_one_byte(tmp_path: Path, every_byte: Any) -> None:
    subject = every_byte.Subject(tmp_path / "x.beton", every_byte.TEXTS)
    start, end = layout.records_start(len(FIELDS)), len(subject.content)
    places = {*range(24), *range(start, end, 29), *range(24, start, 211)}
    for number in range(len(FIELDS)):
        places |= set(range(layout.records_start(number), layout.records_start(number) + 18, 2))
    changes = [subject.changed(at, at % 8) for at in sorted(places)]
    assert [change.problem for change in changes if change.problem] == []
    assert {(change.found, change.refused) for change in changes} >= {(True, True), (False, False)}


def test_cuts(tmp_path: Path, every_byte: Any) -> None:
    subject = every_byte.Subject(tmp_path / "x.beton", every_byte.TEXTS)
    problems = [subject.cut(length) for length in {*range(0, len(subject.content), 97), len(subject.content) - 1}]
    assert problems == [""] * len(problems)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("order", [OrderOption.SEQUENTIAL, OrderOption.RANDOM])
def test_a_changed_value_is_one_bad_sample(tmp_path: Path, order: OrderOption) -> None:
    path = write(tmp_path / "x.beton")
    flip(path, int(Reader(path).extents("array")[0][3]))
    with pytest.raises(DecodeError, match=r"x\.beton: sample 3 \(3\.txt\), field 'array': .*its checksum is wrong"):
        epoch(path, order=order)
    with pytest.warns(RuntimeWarning, match="sample 3"):
        [[_, _, labels]] = epoch(path, order=OrderOption.SEQUENTIAL, on_error="skip")
    assert labels == [[0], [7], [14], [28]]
    assert len(epoch(path, check="off")) == 1


def test_an_index_has_checksums_for_files_without(tmp_path: Path) -> None:
    path = without_additions(write(tmp_path / "stock.beton"))
    good = outcome(path)
    at = int(Reader(path).extents("array")[0][3])
    report = make_index(path)
    assert report.sums == 2 * COUNT and "checksums of 10 payloads" in str(report)
    assert outcome(path) == good and verify(path).ok
    flip(path, at)
    assert isinstance(outcome(path), DecodeError)
    assert "sample 3" in str(verify(path, deep=False))
    assert outcome(path, index=False) != good  # without checksums nobody can know


def test_payloads_are_hashed_once_or_each_time(tmp_path: Path) -> None:
    path = write(tmp_path / "x.beton")
    at = int(Reader(path).extents("array")[0][3])
    for check, noticed in (("first", False), ("always", True), ("off", False)):
        with Loader(path, COUNT, 2, pipelines=PIPELINES, check=check) as loader:
            list(loader)
            memory = loader.reader.data
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes([memory[at] ^ 1]))
            # as a disk that goes bad would do it: the file's times say nothing
            loader.files.watch._seen[0] = (*loader.files.watch._seen[0][:3], path.stat().st_mtime_ns)
            if noticed:
                with pytest.raises(DecodeError, match="its checksum is wrong"):
                    list(loader)
            else:
                list(loader)
        flip(path, at)


def test_states_are_of_each_file_and_sample(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.beton"), write(tmp_path / "other.beton")
    with Loader([one, other], 2, 1, pipelines=PIPELINES, indices=[1, 8], drop_last=False) as loader:
        list(loader)
        sums = [loader.files.checks.sums_of(reader, "array") for reader in loader.files.readers]
    assert [one.states.tolist() for one in sums if one is not None] == [[0, 2, 0, 0, 0], [0, 0, 0, 2, 0]]


def test_a_file_that_is_cut_while_it_is_open(tmp_path: Path) -> None:
    path = write(tmp_path / "x.beton")
    with Loader(path, COUNT, 1, pipelines=PIPELINES) as loader:
        list(loader)
        with path.open("r+b") as file:
            file.truncate(5000)
        with pytest.raises(TruncatedError, match="was cut while it was in use"):
            list(loader)


def test_a_file_that_is_written_to_while_it_is_open(tmp_path: Path) -> None:
    path = write(tmp_path / "x.beton")
    content = path.read_bytes()
    with Loader(path, COUNT, 1, pipelines=PIPELINES) as loader:
        list(loader)
        with path.open("r+b") as file:
            file.write(content)  # the same once more: nothing is wrong
        assert len(list(loader)) == 1
        with path.open("r+b") as file:
            file.seek(int(Reader(path).extents("array")[0][3]))
            file.write(b"\xff")
        with pytest.raises(DecodeError, match="sample 3"):
            list(loader)
    path.write_bytes(content)
    with Loader(path, COUNT, 1, pipelines=PIPELINES) as loader:
        path.unlink()  # this loader still has it
        assert len(list(loader)) == 1


def test_a_file_without_checksums_that_is_written_to(tmp_path: Path) -> None:
    path = without_additions(write(tmp_path / "x.beton"))
    content = path.read_bytes()
    with Loader(path, COUNT, 1, pipelines=PIPELINES) as loader:
        list(loader)
        shutil.copyfile(path, tmp_path / "copy")
        with path.open("r+b") as file:
            file.write(content)
        with pytest.raises(CorruptError, match="was written to while it was in use"):
            list(loader)


def test_damaged_checksums_are_said_when_they_are_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "x.beton")
    block = Reader(path).superblock
    assert block is not None
    [section] = [section for section in block.sections if section.name == "payload_xxh3"]
    flip(path, section.offset)
    with pytest.raises(CorruptError, match="payload_xxh3"):
        epoch(path)
    files = open_files(str(path), check="first")
    assert files.checks.mode == "first" and Checks("off").sums_of(files.readers[0], "text") is None
    files.close()

"""Sets: what an argument stands for, and indexes that nobody can be harmed by."""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.beton import Reader
from ffprep.beton.checksums import open_checked
from ffprep.beton.sets import files_of, make_set, read_index
from ffprep.errors import BetonError, CorruptError, NotABetonError, OptionError
from ffprep.inspect.stats import stats_of
from ffprep.loader import Loader, WeightedOrder
from ffprep.presets import text_blocks

sys.path.insert(0, str(Path(__file__).parent))
from making_sets import write, write_set

BAD_NAMES = ("", ".", "..", "../a.beton", "/etc/passwd", "a\\b", "a\0b", "a\nb", 1, "x" * 256)


def facts(**changes: Any) -> dict[str, Any]:
    file = {"name": "a.beton", "samples": 1, "bytes": 2, "checksum": "0" * 16}
    return {"format": "ffprep set", "version": 1, "samples": 1, "bytes": 2, "files": [file], **changes}


def changed(**changes: Any) -> dict[str, Any]:
    return facts(files=[{**facts()["files"][0], **changes}])


def test_index_folder_pattern_and_list_stand_for_the_same_files(tmp_path: Path) -> None:
    paths = write_set(tmp_path, 3)
    by_folder = [file.path for file in files_of(tmp_path)]
    index = make_set(tmp_path / "x.set.json", tmp_path / "x-*.beton")
    assert index.samples == 9 and index.bytes == sum(path.stat().st_size for path in paths)
    for place in (tmp_path, tmp_path / "x.set.json", tmp_path / "x-*.beton", paths, [tmp_path]):
        assert [file.path for file in files_of(place)] == paths == by_folder
        with Loader(place, 9, 1, drop_last=False) as loader:
            assert next(iter(loader))[-1].flatten().tolist() == list(range(9))
    json.loads((tmp_path / "x.set.json").read_bytes())


def test_files_are_added_and_the_index_of_other_files_is_kept(tmp_path: Path) -> None:
    paths = write_set(tmp_path, 2)
    index = tmp_path / "x.set.json"
    make_set(index, paths)
    more = write(tmp_path / "more.beton", [b"more"])
    assert [member.name for member in make_set(index, more, append=True).members] == [
        *(path.name for path in paths),
        "more.beton",
    ]
    before = index.read_bytes()
    make_set(index, more, append=True)
    assert index.read_bytes() == before, "the same command again adds nothing"
    for known in (paths[:1], paths):
        with pytest.raises(OptionError, match="is in .* already"):
            make_set(index, known, append=True)
    with pytest.raises(OptionError, match="exists already"):
        make_set(index, more)
    assert index.read_bytes() == before
    with pytest.raises(OptionError, match="lies in another folder"):
        make_set(tmp_path.parent / "x.set.json", more)


def test_missing_files_of_a_numbered_set_are_named(tmp_path: Path) -> None:
    paths = write_set(tmp_path, 4)
    paths[2].unlink()
    with pytest.raises(OptionError, match="x-00002-of-00004.beton: is missing"):
        files_of(tmp_path)
    paths[3].unlink()
    with pytest.raises(OptionError, match="x-00002-of-00004.beton: is missing"):
        files_of(tmp_path / "*.beton")
    with pytest.raises(OptionError, match="no file fits"):
        files_of(tmp_path / "y-*.beton")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError, match="without .beton files"):
        files_of(tmp_path / "empty")


def test_another_file_under_the_name_is_noticed(tmp_path: Path) -> None:
    paths = write_set(tmp_path, 2)
    make_set(tmp_path / "x.set.json", paths)
    write(tmp_path / "other.beton", [b"0" * k for k in range(3)]).replace(paths[1])
    with pytest.raises(CorruptError, match="has another checksum|bytes and not"):
        Loader(tmp_path, 2)
    for opened in (Reader, open_checked, stats_of):
        with pytest.raises(CorruptError, match="has another checksum|bytes and not"):
            opened(files_of(tmp_path)[1])
    with pytest.raises(CorruptError, match="has another checksum|bytes and not"):
        text_blocks(tmp_path, 2)
    with pytest.raises(CorruptError, match="has another checksum|bytes and not"):
        WeightedOrder.balanced(tmp_path)
    Reader(paths[1]).close()


@pytest.mark.parametrize(
    "content",
    [
        facts(version=2),
        facts(version=True),
        facts(samples=2),
        facts(bytes=1.0),
        facts(files=[]),
        facts(files={}),
        facts(files=[1]),
        facts(files=facts()["files"] * 2, samples=2, bytes=4),
        facts(more=1),
        changed(samples=True),
        changed(samples=-1),
        changed(bytes=1 << 63),
        changed(bytes="2"),
        changed(checksum="0" * 15),
        changed(checksum="G" * 16),
        changed(checksum=0),
        changed(more=1),
        *(changed(name=name) for name in BAD_NAMES),
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "x.set.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BetonError, match="x.set.json"):
        read_index(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"format": "ffprep set", "format": "ffprep set"}', b"[]", b"1" * 10_000],
)
def test_no_index_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.set.json"
    path.write_bytes(content)
    with pytest.raises((CorruptError, NotABetonError)):
        read_index(path)
    other = tmp_path / "x.json"
    other.write_bytes(b'{"NaN": NaN}')
    with pytest.raises(BetonError):
        files_of(other)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40)
@given(st.sampled_from(["format", "version", "samples", "bytes", "files", "name", "checksum"]), json_values)
def test_any_value_anywhere_gives_an_index_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.set.json"
    path.write_text(json.dumps(changed(**{key: value}) if key in ("name", "checksum") else facts(**{key: value})))
    try:
        found = read_index(path)
    except BetonError as error:
        assert str(path) in str(error)
    else:
        assert all(file.path.parent == path.parent for file in found.files())


def test_stock_files_have_a_checksum_of_their_tables(tmp_path: Path) -> None:
    folder = Path(__file__).parents[1] / "beton" / "stock_files"
    data = bytearray(lzma.decompress((folder / "ffcv-1.0.2-numbers-9-w1.beton.xz").read_bytes()))
    copy = tmp_path / "stock.beton"
    copy.write_bytes(data)
    make_set(tmp_path / "s.set.json", copy)
    [file] = files_of(tmp_path)
    with Reader(copy) as reader:
        file.check_tables(reader.head)
        data[-1] ^= 1
        copy.write_bytes(data)
        with pytest.raises(CorruptError, match="another checksum"):
            file.check_tables(reader.head)

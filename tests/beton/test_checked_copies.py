"""A damaged value is not copied, exported or shown as if it were good: a copy of it would have a good checksum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ffprep.beton import Reader, Writer, layout
from ffprep.beton.checksums import open_checked
from ffprep.beton.merge import merge
from ffprep.beton.verify import verify
from ffprep.cli import main
from ffprep.convert.indexing import make_index
from ffprep.dataset import Dataset
from ffprep.errors import CorruptError, DecodeError
from ffprep.fields import BytesField, Field, IntField, NDArrayField

FIELDS: dict[str, Field] = {
    "tokens": NDArrayField(np.dtype("<u2"), (8,)),
    "length": IntField(),
    "caption": BytesField(),
}
CHANGED = r"sample 3 \(3\.txt\), field '(tokens|caption)': the value changed since the file was written"


def write(path: Path) -> Path:
    with Writer(path, FIELDS, 6, overwrite=True) as writer:
        for n in range(6):
            values = [np.arange(8, dtype="<u2") + n, 5, f"caption {n}".encode()]
            encoded = [field.encode(value) for field, value in zip(FIELDS.values(), values, strict=True)]
            writer.write(encoded, f"{n}.txt")
    return path


def damage(path: Path, field: str = "tokens") -> Path:
    """Change a value of sample 3 so that it still decodes."""
    with Reader(path) as reader:
        at = int(reader.extents(field)[0][3])
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    return path


def test_a_merge_does_not_copy_damage(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good.beton"), damage(write(tmp_path / "bad.beton"))
    out = tmp_path / "out.beton"
    with pytest.raises(DecodeError, match=f"bad.beton: {CHANGED}.*ffprep repair"):
        merge([good, bad], out)
    assert not out.exists()
    write(tmp_path / "bad.beton")  # a good copy has come, and the same command goes on
    merge([good, bad], out)
    assert verify(out).ok and len(Reader(out)) == 12


def test_a_merge_compares_tables(tmp_path: Path) -> None:
    path = write(tmp_path / "x.beton")
    with Reader(path) as reader:
        at = layout.records_start(len(FIELDS)) + reader.head.record_type.fields["f1"][1]  # type: ignore[index]
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptError, match=r"x\.beton: .*sample records changed since the file was written"):
        merge([path], tmp_path / "out.beton")


def test_a_merge_looks_at_the_index_of_files_without_checksums(tmp_path: Path) -> None:
    path = write(tmp_path / "stock.beton")
    content = bytearray(path.read_bytes())
    with Reader(path) as reader:
        block, bounds = reader.superblock, reader.head.bounds
    assert block is not None
    content[bounds.start : block.data_start] = bytes(block.data_start - bounds.start)
    content[block.data_end : bounds.end] = bytes(bounds.end - block.data_end)
    path.write_bytes(content)
    make_index(path)
    damage(path)
    with pytest.raises(DecodeError, match="sample 3, field 'tokens': the value changed"):
        merge([path], tmp_path / "out.beton")


@pytest.mark.parametrize("form", ["fairseq", "flat"])
def test_an_export_does_not_copy_damage(tmp_path: Path, form: str) -> None:
    path = damage(write(tmp_path / "x.beton"))
    done = CliRunner().invoke(main, ["export", str(path), "--format", form, "--out", str(tmp_path / "out")])
    assert done.exit_code != 0
    assert sorted(found.name for found in tmp_path.iterdir()) == ["x.beton"]


def test_what_shows_values_says_that_they_changed(tmp_path: Path) -> None:
    path = damage(write(tmp_path / "x.beton"), "caption")
    page = tmp_path / "x.html"
    done = CliRunner().invoke(main, ["preview", str(path), "--out", str(page)])
    assert done.exit_code == 0 and page.read_text().count("the value changed since the file was written") == 1
    with Dataset(path, raw=True) as dataset:
        assert dataset[2]["caption"] == b"caption 2"
        with pytest.raises(DecodeError, match=CHANGED):
            dataset[3]


def test_each_payload_is_compared_once(tmp_path: Path) -> None:
    path = write(tmp_path / "x.beton")
    with open_checked(path) as reader:
        good = reader.value("tokens", 3).tolist()
        damage(path)  # the mapping shows it
        assert reader.value("tokens", 3).tolist() != good

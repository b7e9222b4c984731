"""``repair`` keeps what is as it was written, names what is lost, and restores damaged tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from plain_betons import without_additions

from ffprep.beton import Reader, Writer, layout
from ffprep.beton.damage.repair import repair
from ffprep.beton.verify import verify
from ffprep.cli import main
from ffprep.errors import CorruptError, OptionError
from ffprep.fields import BytesField, Field, IntField, JSONField, RGBImageField, Shared

FIELDS: dict[str, Field] = {
    "image": RGBImageField(write_mode="jpg"),
    "facts": JSONField(),
    "text": BytesField(),
    "label": IntField(),
}
COUNT = 9


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "x.beton"
    rng = np.random.default_rng(0)
    with Writer(path, FIELDS, COUNT, manifest={"source": {"name": "test"}}) as writer:
        for n in range(COUNT):
            pixels = rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)
            values = [pixels, {"n": n}, Shared(n // 2, b"text" * (n // 2)), 5 * n]
            sample = [field.encode_any(value) for field, value in zip(FIELDS.values(), values, strict=True)]
            writer.write(sample, f"{n}.png")
    return path


def contents(path: Path) -> list[dict[str, Any]]:
    with Reader(path) as reader:
        return [
            {
                "name": reader.sample_name(n),
                **{key: bytes(value) if key == "image" else value for key, value in reader.sample(n).items()},
            }
            for n in range(len(reader))
        ]


def damage(path: Path, *places: int) -> None:
    content = bytearray(path.read_bytes())
    for at in places:
        content[at] ^= 0x41
    path.write_bytes(content)


def test_a_whole_file_is_copied(whole: Path, tmp_path: Path) -> None:
    report = repair(whole, tmp_path / "y.beton")
    assert (report.kept, report.lost, report.restored) == (COUNT, [], [])
    assert contents(tmp_path / "y.beton") == contents(whole)
    assert verify(tmp_path / "y.beton").ok
    assert (Reader(tmp_path / "y.beton").manifest or {})["source"] == {"name": "test"}


def test_damaged_payloads_are_left_out_and_named(whole: Path, tmp_path: Path) -> None:
    good = contents(whole)
    reader = Reader(whole)
    places = [int(reader.extents(name)[0][n]) + 3 for name, n in (("image", 2), ("facts", 5), ("text", 6))]
    damage(whole, *places)
    report = repair(whole, tmp_path / "y.beton", workers=2)
    # samples 6 and 7 share their text
    assert [(one.sample, one.name) for one in report.lost] == [(n, f"{n}.png") for n in (2, 5, 6, 7)]
    assert contents(tmp_path / "y.beton") == [good[n] for n in (0, 1, 3, 4, 8)]
    assert "5 samples" in str(report) and "sample 5 (5.png): field 'facts': changed" in str(report)
    assert verify(tmp_path / "y.beton").ok
    assert (Reader(tmp_path / "y.beton").manifest or {})["repaired"]["lost"] == 4


@pytest.mark.parametrize("in_memory", [True, False])
def test_every_table_is_restored(in_memory: bool, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not in_memory:  # as on macOS
        monkeypatch.delattr(os, "memfd_create", raising=False)
    good, content = contents(whole), whole.read_bytes()
    header = layout.Header.unpack(content)
    records = layout.records_start(len(FIELDS))
    place = layout.superblock_offset(Reader(whole).head.bounds.start)
    block = Reader(whole).superblock
    assert block is not None
    [names] = [section for section in block.sections if section.name == "names"]
    cases = [[0], [4], [9], [17], [24], [1065 + 3], [records + 2], [records + 40, records + 95], [place], [place + 20]]
    cases += [[header.alloc_table_ptr + n] for n in (0, 9, 17)] + [[len(content) - 3]]
    cases += [[1, 25, records + 7, place + 3, header.alloc_table_ptr + 30]]
    for case in cases:
        damage(whole, *case)
        report = repair(whole, tmp_path / "y.beton", overwrite=True)
        assert contents(tmp_path / "y.beton") == good and not report.lost, case
        whole.write_bytes(content)
    damage(whole, names.offset + 3)
    repair(whole, tmp_path / "y.beton", overwrite=True)
    assert contents(tmp_path / "y.beton") == [{**sample, "name": ""} for sample in good]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.beton", "y.beton"]


def test_a_file_without_checksums(whole: Path, tmp_path: Path) -> None:
    good, reader = contents(whole), Reader(whole)
    without_additions(whole)
    damage(whole, int(reader.extents("image")[0][2]), int(reader.extents("facts")[0][4]))
    record = layout.records_start(len(FIELDS)) + 7 * reader.head.record_type.itemsize
    damage(whole, record + 12)  # the highest byte of a pointer
    report = repair(whole, tmp_path / "y.beton")
    assert [one.sample for one in report.lost] == [2, 4, 7]
    found = contents(tmp_path / "y.beton")
    assert found == [{**good[n], "name": ""} for n in (0, 1, 3, 5, 6, 8)]


def test_what_cannot_be_repaired(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is read by this command"):
        repair(whole, whole)
    (tmp_path / "other name.beton").hardlink_to(whole)
    with pytest.raises(OptionError, match="is read by this command"):
        repair(whole, tmp_path / "other name.beton", overwrite=True)
    content = whole.read_bytes()
    whole.write_bytes(content[:-100])
    with pytest.raises(CorruptError, match="was cut"):
        repair(whole, tmp_path / "y.beton")
    whole.write_bytes(content)
    block = Reader(whole).superblock
    assert block is not None
    [tables] = [section for section in block.sections if section.name == "tables"]
    damage(whole, 1065 + 3, tables.offset + 40)
    with pytest.raises(CorruptError, match="and their copy are both damaged"):
        repair(whole, tmp_path / "y.beton")
    assert not (tmp_path / "y.beton").exists()


def test_the_command(whole: Path, tmp_path: Path) -> None:
    damage(whole, int(Reader(whole).extents("facts")[0][1]))
    out = tmp_path / "y.beton"
    run = CliRunner().invoke(main, ["repair", str(whole), "--out", str(out)])
    assert run.exit_code == 0 and "8 samples" in run.output and "sample 1 (1.png)" in run.output
    assert CliRunner().invoke(main, ["verify", str(out)]).exit_code == 0


def test_the_same_repair_again_accepts_the_finished_file(whole: Path, tmp_path: Path) -> None:
    with Reader(whole) as reader:
        places = [int(offset) + 3 for offset in reader.extents("image")[0]]
    damage(whole, places[2], layout.records_start(len(FIELDS)) + 5)  # a value and a table
    out = tmp_path / "y.beton"
    first = repair(whole, out)
    content = out.read_bytes()
    assert str(repair(whole, out)) == str(first) and len(first.lost) == 1 and first.restored
    damage(whole, places[4])
    with pytest.raises(OptionError, match="exists already, and is not what this command makes.*--overwrite"):
        repair(whole, out)
    assert out.read_bytes() == content
    assert len(repair(whole, out, overwrite=True).lost) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.beton", "y.beton"]

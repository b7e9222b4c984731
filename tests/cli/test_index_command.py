"""``ffprep index``: what it writes, where, and what ``info`` and ``verify`` say about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ffprep.beton.seek_index import beside
from ffprep.beton.writing.writer import Writer
from ffprep.cli import main
from ffprep.convert.indexing import make_index
from ffprep.errors import ConversionError
from ffprep.fields import IntField, RGBImageField


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def keep(tmp_path: Path, demo_data: Path) -> Path:
    """The photographs, byte for byte, many times over."""
    return written(tmp_path / "keep.beton", demo_data, "keep")


def written(path: Path, demo_data: Path, jpeg: str, copies: int = 30) -> Path:
    fields = {"image": RGBImageField(jpeg=jpeg), "label": IntField()}
    streams = [p.read_bytes() for p in sorted((demo_data / "imagenet").rglob("*.JPEG"))] * copies
    with Writer(path, fields, len(streams)) as writer:
        for i, stream in enumerate(streams):
            writer.write([fields["image"].encode(stream), fields["label"].encode(i)])
    return path


def test_the_command(keep: Path) -> None:
    done = run("index", keep)
    assert done.exit_code == 0 and "180 of 180 JPEGs" in done.stdout and "bytes a JPEG" in done.stdout
    made = beside(keep).read_bytes()
    again = run("index", keep)
    assert again.exit_code == 0 and "is complete" in again.stdout
    for workers in (1, 3):
        assert run("index", keep, "--overwrite", "--workers", workers, "--quiet").output == ""
        assert beside(keep).read_bytes() == made
    assert len(made) < keep.stat().st_size * 0.03
    assert sorted(path.name for path in keep.parent.iterdir()) == ["keep.beton", "keep.beton.index"]
    run("index", keep, "--interval", 64, "--out", keep.with_name("coarse"))
    assert keep.with_name("coarse").stat().st_size < len(made) / 2


def test_info_and_verify(keep: Path, tmp_path: Path, demo_data: Path) -> None:
    assert json.loads(run("info", keep, "--json").stdout)["seek_index"] is None
    run("index", keep)
    facts = json.loads(run("info", keep, "--json").stdout)["seek_index"]
    assert facts == {"path": str(beside(keep)), "bytes": beside(keep).stat().st_size, "jpegs": 180, "indexed": 180}
    assert "for 180 of 180 JPEGs" in run("info", keep).stdout
    checked = run("verify", keep)
    assert checked.exit_code == 0 and "180 indexes" in checked.stdout

    data = bytearray(beside(keep).read_bytes())
    data[-1] ^= 1  # in the last index, which no checksum of head and table covers
    beside(keep).write_bytes(data)
    assert run("verify", "--quick", keep).exit_code == 0
    wrong = run("verify", keep)
    assert wrong.exit_code == 1 and "is wrong for the JPEG at byte" in wrong.stdout and "--overwrite" in wrong.stdout

    data[30] ^= 1
    beside(keep).write_bytes(data)
    wrong = run("verify", "--quick", keep)
    assert wrong.exit_code == 1 and "its head is damaged" in wrong.stdout
    assert "its head is damaged" in run("info", keep).stdout
    assert run("index", keep, "--overwrite").exit_code == 0 and run("verify", keep).exit_code == 0


def test_files_that_need_none(tmp_path: Path, demo_data: Path) -> None:
    seekable = written(tmp_path / "seekable.beton", demo_data, "seekable", 1)
    done = run("index", seekable)
    assert done.exit_code == 0 and "no index written" in done.stdout and not beside(seekable).exists()
    with Writer(tmp_path / "numbers.beton", {"n": IntField()}, 3) as writer:
        for i in range(3):
            writer.write([IntField().encode(i)])
    done = run("index", tmp_path / "numbers.beton")
    assert done.exit_code == 0 and "no JPEGs" in done.stdout and not beside(tmp_path / "numbers.beton").exists()


def test_it_overwrites_indexes_only(keep: Path) -> None:
    before = keep.read_bytes()
    done = run("index", keep, "--out", keep, "--overwrite")
    assert done.exit_code == 2 and "is read by this command" in done.stderr and keep.read_bytes() == before
    done = run("index", keep, keep, "--out", "y")
    assert done.exit_code == 2 and "--out" in done.stderr
    done = run("index", keep, "--out", keep.parent / "no" / "where")
    assert done.exit_code == 2 and "no such folder" in done.stderr


def test_an_interrupt_leaves_nothing(keep: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 70:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_index(keep, progress=stop)
    assert [path.name for path in keep.parent.iterdir()] == ["keep.beton"]


def test_a_full_disk_leaves_nothing(keep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ffprep.beton.seek_index.os.fsync", full)
    with pytest.raises(ConversionError, match="No space left"):
        make_index(keep)
    assert [path.name for path in keep.parent.iterdir()] == ["keep.beton"]


def test_another_index_is_replaced_only_when_asked(keep: Path) -> None:
    place = keep.with_name(keep.name + ".index")
    run("index", keep, "--interval", 64)
    before = place.read_bytes()
    assert run("index", keep, "--interval", 64).exit_code == 0  # the same command again
    refused = run("index", keep, "--interval", 16)
    assert refused.exit_code == 2 and "was made with --interval 64, not 16; --overwrite" in refused.stderr
    assert place.read_bytes() == before
    stale = before[:-1]
    place.write_bytes(stale)
    refused = run("index", keep)
    assert refused.exit_code == 2 and "--overwrite replaces it" in refused.stderr and place.read_bytes() == stale
    assert run("index", keep, "--overwrite").exit_code == 0 and len(place.read_bytes()) > len(before)

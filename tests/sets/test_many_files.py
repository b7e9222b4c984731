"""More files than a process may open, and every command on a set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ffprep.cli import main

sys.path.insert(0, str(Path(__file__).parent))
from making_sets import write, write_set

COUNT = 700
PROGRAM = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
from pathlib import Path
from ffprep.beton.sets import make_set
from ffprep.loader import Loader, OrderOption
folder = Path(sys.argv[1])
make_set(folder / "x.set.json", folder)
for options in ({"order": OrderOption.RANDOM}, {"order": OrderOption.QUASI_RANDOM, "os_cache": False}):
    with Loader(folder, 100, 1, seed=1, drop_last=False, **options) as loader:
        assert len(loader.files) == int(sys.argv[2])
        assert len(os.listdir("/proc/self/fd")) < 64, os.listdir("/proc/self/fd")
        for _ in range(2):  # in the second epoch, batches come to memory and tables of the first
            texts = [bytes(row.tolist()) for batch in loader for row in batch[0]]
            print(texts.count(b"one"), texts.count(b"two"))
"""


def test_more_files_than_descriptors(tmp_path: Path) -> None:
    first = write(tmp_path / f"x-00000-of-{COUNT:05d}.beton", [b"one", b"two"])
    for number in range(1, COUNT):
        os.link(first, tmp_path / f"x-{number:05d}-of-{COUNT:05d}.beton")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path, str(COUNT)], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [str(COUNT)] * 8


def ffprep(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture
def made(tmp_path: Path) -> Path:
    paths = write_set(tmp_path, 3)
    assert "3 files, 9 samples" in ffprep("set", *paths, "--out", tmp_path / "x.set.json")
    return tmp_path / "x.set.json"


def test_commands_take_a_set(made: Path, tmp_path: Path) -> None:
    for place in (made, tmp_path, tmp_path / "x-*.beton"):
        facts = json.loads(ffprep("info", place, "--json"))
        assert facts["samples"] == 9 and len(facts["files"]) == 3
        assert facts["fields"]["label"]["max"] == 8
        reports = json.loads(ffprep("verify", place, "--json"))
        assert [report["ok"] for report in reports] == [True] * 3
        assert json.loads(ffprep("stats", place, "--form", "json"))[0]["samples"] == 9
    assert "3 files" in ffprep("info", made)
    ffprep("set", tmp_path, "--out", made)
    out = tmp_path / "page.html"
    assert "2 samples" in ffprep("preview", made, "--out", out, "--sample", 0, "--sample", 8)
    assert "n8" in out.read_text()
    ffprep("preview", made, "--out", out, "--sample", 9, status=2)
    assert "9 samples of 3 files" in ffprep("merge", made, "--out", tmp_path / "all.beton")
    (tmp_path / "two").mkdir()
    assert "2 files, 9 samples" in ffprep("split", made, "--out", tmp_path / "two" / "y.set.json", "--files", 2)
    ffprep("repair", made, "--out", tmp_path / "repaired")
    assert json.loads(ffprep("info", tmp_path / "repaired", "--json"))["samples"] == 9
    ffprep("index", made)


def test_verify_compares_files_with_the_index(made: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", [b"x"] * 3, 6).replace(tmp_path / "x-00002-of-00003.beton")
    reports = json.loads(ffprep("verify", made, "--json", status=1))
    assert [report["ok"] for report in reports] == [True, True, False]
    assert "made of" in reports[2]["problems"][0]
    assert "made of" in ffprep("info", made, status=1)


def test_a_set_is_never_written_over_by_what_reads_it(made: Path) -> None:
    before = made.read_bytes()
    assert ".set.json is for the index of a set" in ffprep("merge", made, "--out", made, "--overwrite", status=2)
    again = ("--files", 2, "--out", made, "--overwrite")
    assert "is read by this command" in ffprep("split", made, *again, status=2)
    assert made.read_bytes() == before


def test_one_way_to_say_how_to_split(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "y.set.json"
    assert "5 files, 9 samples" in ffprep("split", made, "--samples", 2, "--out", out)
    assert "1 file, 9 samples" in ffprep("split", made, "--size", "1MB", "--out", tmp_path / "z.set.json")
    for given in ([], ["--files", 2, "--size", "1GB"], ["--samples", 2, "--size", "1GB"]):
        assert "one of --files, --size and --samples" in ffprep("split", made, *given, "--out", out, status=2)
    assert "'many' is no size" in ffprep("split", made, "--size", "many", "--out", out, status=2)

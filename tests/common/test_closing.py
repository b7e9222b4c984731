"""Descriptors are closed with the objects that hold them, and nothing is printed at the interpreter's exit."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ffprep.loader.engine.pool import Pipe
from ffprep.loader.engine.readahead import _File
from ffprep.sources.reading.file_sets import _Descriptors
from ffprep.sources.reading.zipped import ZipFiles


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_descriptors_are_closed_with_their_owner(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"a")
    pipe, file, descriptors, files = Pipe(blocking_writes=True), _File(path, None, 4096), _Descriptors(), ZipFiles(path)
    with file.opened() as read_ahead:
        held = [pipe.reads, pipe.writes, read_ahead, descriptors.get(path), files._fd]
    assert all(map(is_open, held))
    del pipe, file, descriptors, files
    assert not any(map(is_open, held))


ABANDONED = """
import string
import sys
from pathlib import Path

from ffprep.loader.engine import pool, readahead
from ffprep.sources.reading import file_sets, zipped

here, archive = Path(sys.argv[1]), Path(sys.argv[2])
descriptors = file_sets._Descriptors()
descriptors.get(here)
# Modules still in use at the end lose their names, those imported last first: so these go before what string holds.
sys.modules_in_use = [pool, readahead, file_sets, zipped, string]
string.kept = [pool.Pipe(blocking_writes=True), readahead._File(here, None, 4096), descriptors]
string.kept += [zipped.ZipFiles(archive)]
"""


@pytest.mark.parametrize("flags", [[], ["-X", "dev"]])
def test_nothing_is_printed_at_exit(tmp_path: Path, flags: list[str]) -> None:
    script, archive = tmp_path / "abandoned.py", tmp_path / "a.zip"
    script.write_text(ABANDONED)
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("a.jpg", b"a")
    run = subprocess.run(
        [sys.executable, *flags, script, script, archive],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")

"""Outputs: what is there is not written over unasked, and what is read never."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ffprep.common.files.outputs import check_output, refuse_inputs
from ffprep.errors import OptionError


def test_what_is_there_is_kept_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "x"
    check_output(path)
    path.write_bytes(b"")
    with pytest.raises(OptionError, match=r"x: exists already; .*--overwrite"):
        check_output(path)
    check_output(path, overwrite=True)
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(OptionError, match="exists already"):
        check_output(tmp_path / "dangling")


def test_folders_and_devices(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none: no such folder"):
        check_output(tmp_path / "none" / "x")
    with pytest.raises(OptionError, match="is a folder"):
        check_output(tmp_path, overwrite=True)
    with pytest.raises(OptionError, match="is a device or a pipe"):
        check_output(Path(os.devnull), overwrite=True)
    check_output(Path(os.devnull), device=True)


def test_an_input_is_no_output_under_any_name(tmp_path: Path) -> None:
    read = tmp_path / "in"
    read.write_bytes(b"data")
    (tmp_path / "soft").symlink_to("in")
    (tmp_path / "hard").hardlink_to(read)
    (tmp_path / "folder").symlink_to(tmp_path)
    for path in (read, tmp_path / "soft", tmp_path / "hard", tmp_path / "folder" / "in"):
        with pytest.raises(OptionError, match="is read by this command"):
            refuse_inputs([tmp_path / "new", path], [read])
    refuse_inputs([tmp_path / "new"], [read, tmp_path, tmp_path / "gone"])


def test_files_of_an_input_folder(tmp_path: Path) -> None:
    inside = tmp_path / "data" / "n01" / "a.JPEG"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(b"")
    with pytest.raises(OptionError, match="lies in .*data, which this command reads"):
        refuse_inputs([inside], [tmp_path / "data"])
    earlier = tmp_path / "data" / "train.beton"
    earlier.write_bytes(b"")
    refuse_inputs([earlier], [tmp_path / "data"])


def test_one_file_is_not_written_twice(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("x")
    for other in (tmp_path / "x", tmp_path / "link", tmp_path / ".." / tmp_path.name / "x"):
        with pytest.raises(OptionError, match="written twice"):
            refuse_inputs([tmp_path / "x", other], [])
    refuse_inputs([Path(os.devnull), Path(os.devnull)], [])

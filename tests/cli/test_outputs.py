"""No command writes over what it was not told to, and the same command again ends well."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from ffprep.beton import Writer
from ffprep.beton.seek_index import beside
from ffprep.cli import main
from ffprep.commands._shared.files import FileCommand, OutputFile
from ffprep.fields import IntField

OUTPUTS = ("out", "report", "export")


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:  # a data set without a plan
            continue
        if isinstance(command, click.Group):
            yield from ((f"{group.name} {below}", found) for below, found in commands(command, context))
        else:
            yield f"{group.name} {name}", command


def test_every_output_of_every_command_is_checked() -> None:
    """A new command has its outputs checked, or fails here; folders and plans have rules of their own."""
    found = 0
    for name, command in commands(main, click.Context(main)):
        for parameter in command.params:
            if parameter.name not in OUTPUTS or "plan" in name or "download" in name or name.endswith("demo"):
                continue
            assert isinstance(parameter.type, OutputFile), (name, parameter.name)
            assert isinstance(command, FileCommand), name
            found += 1
    assert found > 20


@pytest.fixture
def folder(demo_data: Path) -> Path:
    return demo_data / "imagenet"


@pytest.fixture
def beton(tmp_path: Path) -> Path:
    with Writer(tmp_path / "x.beton", {"n": IntField()}, 5) as writer:
        for index in range(5):
            writer.write([IntField().encode(index)])
    return tmp_path / "x.beton"


@pytest.mark.parametrize("how", ["itself", "soft", "hard"])
@pytest.mark.parametrize("command", ["preview", "merge", "index", "export"])
def test_a_file_is_not_written_over_by_what_is_made_of_it(beton: Path, command: str, how: str) -> None:
    out = beton.with_name("other")
    if how == "itself":
        out = beton
    elif how == "soft":
        out.symlink_to(beton)
    else:
        out.hardlink_to(beton)
    before = beton.read_bytes()
    options = ["--format", "flat"] if command == "export" else []
    done = run(command, beton, "--out", out, "--overwrite", *options)
    assert done.exit_code == 2 and "cannot be written by it" in done.stderr and str(out) in done.stderr
    assert beton.read_bytes() == before


@pytest.mark.parametrize("command", ["preview", "merge"])
def test_what_is_there_is_kept_unless_asked(beton: Path, command: str) -> None:
    out = beton.with_name("letter")
    out.write_bytes(b"a letter to grandmother")
    done = run(command, beton, "--out", out)
    assert done.exit_code == 2 and "letter: exists already" in done.stderr and "--overwrite" in done.stderr
    assert out.read_bytes() == b"a letter to grandmother"
    assert run(command, beton, "--out", out, "--overwrite").exit_code == 0
    assert out.read_bytes() != b"a letter to grandmother"


def test_a_merge_accepts_its_own_file(beton: Path) -> None:
    out = beton.with_name("y.beton")
    assert run("merge", beton, beton, "--out", out).exit_code == 0
    before = out.stat()
    assert run("merge", beton, beton, "--out", out).exit_code == 0
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    done = run("merge", beton, "--out", out)
    assert done.exit_code == 2 and "exists already" in done.stderr


def test_an_index_elsewhere_is_replaced_on_request_only(beton: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no index")
    done = run("index", beton, "--out", tmp_path / "text")
    assert done.exit_code == 2 and "exists and is no seek index" in done.stderr
    assert (tmp_path / "text").read_text() == "no index"


def test_reports(folder: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "x.beton", tmp_path / "report.json"
    command = ["convert", "imagenet", "--source", folder, "--out", out, "--report", report]
    report.write_text('{"samples": "of mine"}')
    done = run(*command)
    assert done.exit_code == 2 and "report.json: exists already" in done.stderr and not out.exists()
    report.unlink()
    first = run(*command)
    assert first.exit_code == 0, first.output
    facts = report.read_bytes()
    again = run(*command)
    assert again.exit_code == 0 and "nothing was done" in again.stdout and report.read_bytes() == facts
    report.unlink()
    assert run(*command).exit_code == 0
    assert json.loads(report.read_bytes())["samples"] == json.loads(facts)["samples"]
    part = [*command[:-1], tmp_path / "part.json", "--part", "1/2"]
    assert run(*part).exit_code == 0
    facts = (tmp_path / "part.json").read_bytes()
    assert run(*part).exit_code == 0 and (tmp_path / "part.json").read_bytes() == facts
    other = run(*command[:-1], out)
    assert other.exit_code == 2 and "written twice" in other.stderr
    image = next(path for path in folder.rglob("*") if path.is_file())
    done = run(*command[:-1], image, "--overwrite")
    assert done.exit_code == 2 and "which this command reads" in done.stderr


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "socket"])
@pytest.mark.parametrize("suffix", [".partial", ".journal"])
def test_what_is_no_file_beside_an_output(folder: Path, tmp_path: Path, suffix: str, kind: str) -> None:
    """One error names it, it stays as it is, and nothing is written; a finished file is accepted beside it."""
    out, odd = tmp_path / "x.beton", tmp_path / f"x.beton{suffix}"
    bound = socket.socket(socket.AF_UNIX)
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "folder":
        odd.mkdir()
    elif kind == "device":
        odd.symlink_to(os.devnull)
    else:
        bound.bind(str(odd))
    bound.close()
    command = ["convert", "imagenet", "--source", folder, "--out", out]
    for options in ([], ["--restart"]):
        done = run(*command, *options)
        assert done.exit_code == 2, done.output
        assert re.search(rf"x\.beton\{suffix}: is a (folder|device or a pipe), where", done.stderr)
        assert len(done.stderr.splitlines()) == 1
        assert [path.name for path in tmp_path.iterdir() if path != folder] == [odd.name]
    finished = tmp_path / "y.beton"
    assert run(*command[:-1], finished).exit_code == 0
    finished.rename(out)
    assert run(*command).exit_code == 0
    assert odd.exists()


def test_a_missing_index_is_made_with_a_finished_file(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"
    command = ["convert", "imagenet", "--source", folder, "--jpeg", "keep", "--index", "--out", out]
    assert run(*command).exit_code == 0
    index = beside(out).read_bytes()
    beside(out).unlink()
    assert run(*command).exit_code == 0
    assert beside(out).read_bytes() == index


def test_resume_is_accepted_and_contradicts_a_restart(folder: Path, tmp_path: Path) -> None:
    command = ["convert", "imagenet", "--source", folder, "--out", tmp_path / "x.beton"]
    assert run(*command, "--resume").exit_code == 0
    done = run(*command, "--resume", "--restart")
    assert done.exit_code == 2 and "--restart" in done.stderr
    done = run(*command, "--restart")
    assert done.exit_code == 2 and "exists already" in done.stderr


def test_tokens_that_cannot_become_blocks_leave_no_parts_behind(tmp_path: Path) -> None:
    few, out = tmp_path / "few.bin", tmp_path / "x.beton"
    few.write_bytes(bytes(100))
    command = ["convert", "tokens", "--source", few, "--vocabulary", "gpt2", "--out", out]
    done = run(*command)
    assert done.exit_code == 1 and "fewer than a block of 192; give smaller blocks with --block" in done.stderr
    few.write_bytes(b"\xff" * 100)
    assert "token 0 is 65535" in run(*command).stderr
    few.write_bytes(bytes(100))
    assert run(*command, "--block", 16).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"few.bin", "x.beton"}

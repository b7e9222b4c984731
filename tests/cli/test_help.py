"""What each command's help shows, completion, and progress for programs."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ffprep.cli import main
from ffprep.commands._shared.help import Command, title_of
from ffprep.convert.progress import JsonProgress, ShownProgress

Words = tuple[str, ...]


def all_commands(group: click.Group = main, path: Words = ()) -> Iterator[tuple[Words, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


COMMANDS = dict(all_commands())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_examples_that_the_command_understands(path: Words) -> None:
    command = COMMANDS[path]
    assert isinstance(command, Command) and command.examples
    shown = CliRunner().invoke(main, [*path, "--help"], prog_name="ffprep").output
    assert shown.index("Examples:") > shown.index("--help")
    for what, line in command.examples:
        assert f"  # {what}\n  {line}\n" in shown
        words = shlex.split(line)
        assert tuple(words[1 : 1 + len(path)]) == path and words[0] == "ffprep"
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        assert not [word for word in words if word.startswith("--") and word not in known]
        given, _, _ = command.make_parser(click.Context(command)).parse_args(words[1 + len(path) :])
        missing = [p.name for p in command.params if p.required and p.name not in given]
        assert not missing, line


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_many_options_stand_in_groups(path: Words) -> None:
    options = [p for p in COMMANDS[path].params if isinstance(p, click.Option) and not p.hidden]
    titles = [title_of(option) for option in options]
    assert len(options) <= 9 or len(set(titles)) > 1
    assert max(titles.count(title) for title in titles) <= 11 if titles else True
    shown = CliRunner().invoke(main, [*path, "--help"], prog_name="ffprep").output
    for option, title in zip(options, titles, strict=True):
        heading = f"\n{title}:\n"
        section = shown[shown.index(heading) + len(heading) :].partition("\n\n")[0]
        assert f"  {option.opts[0]}" in section


def complete(line: str) -> list[str]:
    words = shlex.split(line)
    code = "from ffprep.cli import main; main(prog_name='ffprep')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "_FFPREP_COMPLETE": "bash_complete"}
    environment |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return [text.partition(",")[2] for text in done.stdout.splitlines()]


def test_completion() -> None:
    assert complete("ffprep convert im") == ["imagenet", "images"]
    assert complete("ffprep convert imagenet --max") == ["--max-side", "--max-pixels"]
    assert complete("ffprep convert imagenet --jpeg re") == ["reencode"]


def test_json_progress_of_a_conversion(tmp_path: Path, demo_data: Path) -> None:
    arguments = ["--source", demo_data / "imagenet", "--out", tmp_path / "x.beton", "--json-progress", "--quiet"]
    done = CliRunner().invoke(main, ["convert", "imagenet", *map(str, arguments)])
    assert done.exit_code == 0 and done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["ended"] for line in lines] == [False] * (len(lines) - 1) + [True]
    last = lines[-1]
    assert (last["done"], last["total"], last["failed"]) == (6, 6, 0) and last["bytes"] > 60_000
    assert last["seconds_left"] == 0 and last["per_second"] > 0


def test_json_progress_writes_once_a_second() -> None:
    now, out = [0.0], io.StringIO()
    progress = JsonProgress("x", 100, 10, out=out, clock=lambda: now[0])
    for second, done in ((0.5, 20), (1.0, 30), (1.2, 40), (2.0, 50)):
        now[0] = second
        progress.update(done, done * 7, 3)
    now[0] = 4.5
    progress.close()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["seconds"], line["done"]) for line in lines] == [(0.5, 20), (2.0, 50), (4.5, 50)]
    assert lines[1] == {
        "label": "x", "done": 50, "total": 100, "bytes": 350, "failed": 3, "seconds": 2.0, "per_second": 20.0,
        "seconds_left": 2.5, "ended": False,
    }  # fmt: skip


def test_failures_are_part_of_the_line() -> None:
    now, out = [0.0], io.StringIO()
    shown = ShownProgress("x", 100, out=out, clock=lambda: now[0])
    now[0] = 10.0
    shown.update(50, 0, 1234)
    assert out.getvalue() == "x: 50 of 100 (50.0 %), 5/s, 10.0 s left, 1,234 failed\n"


def test_the_reference_is_of_these_commands() -> None:
    """But for what versions of click put into brackets."""
    root = Path(__file__).resolve().parents[2]
    spec = importlib.util.spec_from_file_location("command_reference", root / "scripts" / "command_reference.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made, there = (re.sub(r"\[[^\]]*\]", "", text) for text in (script.page(), script.PAGE.read_text()))
    assert made == there, "run scripts/command_reference.py"

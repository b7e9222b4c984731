"""Write docs/commands.md, the reference of the command line, from the commands themselves.

    .venv/bin/python scripts/command_reference.py

A test compares the page with what this makes, so run it after a change to a command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from ffprep.cli import main
from ffprep.commands._shared.help import Command, title_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
HEAD = """\
# Command line

Every command shows this with `--help`. An error is one line on standard error that says what is wrong, where, and what
to do; `-v` anywhere on the command line also shows where in ffprep it came from. The exit status is 0 if all is well, 1
if the data is bad, 2 if the command is wrong, and 130 after Ctrl-C.

**Completion.** For bash, put `eval "$(_FFPREP_COMPLETE=bash_source ffprep)"` into `~/.bashrc`; for zsh `zsh_source`
into `~/.zshrc`; for fish `_FFPREP_COMPLETE=fish_source ffprep > ~/.config/fish/completions/ffprep.fish`. Commands,
options and their choices are then completed with the Tab key.

**Progress** is a bar on a terminal and a line every ten seconds elsewhere, on standard error. `--json-progress` writes
a line of JSON a second instead, and a last one at the end: `label`, `done`, `total`, `bytes`, `failed`, `seconds`,
`per_second`, `seconds_left` and `ended`. `--quiet` shows nothing.

**Configurations.** `ffprep convert FILE.yaml` takes a command's options without their dashes from a file; see
[a whole study](study.md).

This page is made by `scripts/command_reference.py`.
"""


def commands(group: click.Group, path: str) -> Iterator[tuple[str, Command]]:
    """All commands of a group with the words that call them."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        elif isinstance(command, Command):
            yield f"{path} {name}", command


def cell(text: str) -> str:
    """A text as it stands in a cell of a table."""
    return re.sub(r"([|<>*_])", r"\\\1", " ".join(text.split()))


def section(path: str, command: Command) -> str:
    """The section about one command."""
    context = click.Context(command, info_name=path)
    text = " ".join((command.help or "").split())
    lines = [f"## {path}", "", re.sub(r"([<>*_])", r"\\\1", text), "", "```console"]
    lines.append("$ " + command.get_usage(context).partition(": ")[2])
    lines += ["```", ""]
    title = None
    rows: dict[str, list[str]] = {}
    for option in command.params:
        shown = option.get_help_record(context)
        if shown is not None and isinstance(option, click.Option):
            title = title_of(option)
            rows.setdefault(title, []).append(f"| `{shown[0].replace('|', chr(92) + '|')}` | {cell(shown[1])} |")
    for title, cells in rows.items():
        lines += [f"| {title} | |", "|---|---|", *cells, ""]
    lines.append("```console")
    for what, line in command.examples:
        lines += [f"# {what}", f"$ {line}"]
    return "\n".join([*lines, "```", ""])


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(path, command) for path, command in commands(main, "ffprep"))])


if __name__ == "__main__":
    PAGE.write_text(page())

"""Files and tests that the documentation names exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from ffprep.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
NAMED = re.compile(
    r"(?<![\w/.])((?:benchmarks|tests|scripts|examples|ffprep|configs)/[\w/]+\.(?:py|c|h|sh|yaml|toml))(?:::(\w+))?"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path) -> None:
    for path, test in NAMED.findall(page.read_text()):
        assert (ROOT / path).exists(), f"{page.name} names {path}"
        assert not test or f"def {test}(" in (ROOT / path).read_text(), f"{page.name} names {test} in {path}"


@pytest.mark.parametrize("room", ["ffprep", "benchmarks", "examples"])
def test_what_a_module_names_exists(room: str) -> None:
    for module in (ROOT / room).rglob("*.py"):
        for path, _ in NAMED.findall(module.read_text()):
            assert (ROOT / path).exists(), f"{module.relative_to(ROOT)} names {path}"


def commands(page: Path) -> list[list[str]]:
    """The ffprep commands in a page's blocks of shell commands."""
    found = []
    for block in re.findall(r"```(?:console|sh)?\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|\|", line.removeprefix("$ ")):
                if part.split()[:1] == ["ffprep"] and "..." not in part:
                    found.append(shlex.split(part, comments=True)[1:])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_have_these_options(page: Path) -> None:
    for words in commands(page):
        command: click.Command = main
        given = list(words)
        while isinstance(command, click.Group) and given and not given[0].endswith(".yaml"):
            if given[0] == "--from-manifest":
                given = []  # takes the options of the command that it repeats
                break
            found = command.get_command(click.Context(command), given.pop(0))
            assert found is not None, f"{page.name}: {words}"
            command = found
        shown = {name for option in command.params if not getattr(option, "hidden", False) for name in option.opts}
        shown |= {name for option in command.params for name in option.secondary_opts}
        unknown = [word for word in given if word.startswith("--") and word.partition("=")[0] not in shown]
        assert isinstance(command, click.Group) or not unknown, f"{page.name}: {words} has {unknown}"


def test_pages_have_commands() -> None:
    assert len(commands(ROOT / "docs" / "study.md")) > 10

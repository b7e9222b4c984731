"""The options of a conversion as its file's manifest records them, and the same conversion again.

Recorded is what the samples depend on, defaults included. Places on this machine are not: the same source gives the
same bytes wherever it lies. Nor is what may be given otherwise when an interrupted conversion goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ffprep.commands._shared.files import GIVEN, named_files
from ffprep.commands._shared.group import opposites, switches
from ffprep.convert.config import overrides_of, to_arguments
from ffprep.errors import OptionError

RENAMED = "ffprep.renamed"
"""Key of the options that were given by an old name, with their new ones, in the context's ``meta``."""

_NOT_RECORDED = frozenset(
    {
        "out", "val_out", "report", "quiet", "workers", "engine", "address", "part", "limit", "page_size", "resume",
        "restart", "overwrite", "on_error", "index", "gpt2_files", "vocab", "settings", "streaming",
    }
)  # fmt: skip
"""Where files go and how the work is done. ``limit`` and the size of pages are in the file anyway."""


def configuration(**changes: Any) -> dict[str, Any]:
    """The running command's options as JSON values.

    Parameters
    ----------
    **changes : str
        Options of which this file has another value than was given, such as one task of all.

    Returns
    -------
    dict
        ``dataset``, the command; ``options``, by their names without dashes; ``places``, the names of those that are
        files or folders of this machine.
    """
    context = click.get_current_context()
    given = {**context.meta.get(GIVEN, context.params), **changes}
    for old, new in context.meta.get(RENAMED, {}).items():
        given[new] = given.pop(old)
    options: dict[str, Any] = {}
    places = []
    for parameter in context.command.params:
        name = parameter.name or ""
        value = given.get(name)
        empty = value is None or value == () or (parameter.hidden and not value)  # type: ignore[attr-defined]
        if not isinstance(parameter, click.Option) or name in _NOT_RECORDED or empty:
            continue
        spelled = spelling(parameter)
        if any(isinstance(one, Path) or named_files(parameter, one) for one in _each(value)):
            places.append(spelled)
        else:
            options[spelled] = list(value) if isinstance(value, tuple) else value
    recorded: dict[str, Any] = {"dataset": context.command.name, "options": options}
    return {**recorded, "places": sorted(places)} if places else recorded


def spelling(option: click.Option) -> str:
    """The name of an option without its dashes."""
    return next(name for name in option.opts if name.startswith("--"))[2:]


def _each(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (tuple, list)) else [value]


def again(
    command: click.Command, recorded: Mapping[str, Any], words: Sequence[str], where: str
) -> tuple[list[str], bool]:
    """The command line that repeats a recorded conversion, and whether `words` make it another one.

    Parameters
    ----------
    command : click.Command
        That of the data set.
    recorded : mapping
        What `configuration` returned; anything, if the file was made to deceive.
    words : sequence of str
        Options to add or to replace: ``KEY=VALUE``, or as on the command line.
    where : str
        The file, for messages.

    Raises
    ------
    OptionError
        The record is damaged, a place is missing, an option unknown.
    """
    known = switches(command)
    options, places = recorded.get("options"), recorded.get("places", [])
    names = [spelling(option) for option in command.params if option.name in _NOT_RECORDED]  # type: ignore[arg-type]
    if not isinstance(options, dict) or not isinstance(places, list) or not known.keys() >= {*places}:
        raise OptionError(f"{where}: its record of the conversion is damaged")
    if refused := sorted({*options} & {*names}):
        raise OptionError(f"{where}: its record of the conversion holds {refused[0]}, which no conversion records")
    own, rest = _divide(words, known)
    overrides = overrides_of(own)
    given = {word.partition("=")[0][2:] for word in rest if word.startswith("--")} | set(overrides)
    if missing := [place for place in places if place not in given]:
        raise OptionError(
            f"{where}: does not record where its source lay, since a file is the same wherever that is; add "
            + " ".join(f"--{place} PATH" for place in missing)
        )
    arguments = to_arguments({**options, **overrides}, known, where, opposites(command))
    return [*arguments, *rest], not given <= {*places, *names}


def _divide(words: Sequence[str], known: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """Separate ``KEY=VALUE`` from options of the command line and their values."""
    own, rest, value = [], [], False
    for word in words:
        if not value and "=" in word and not word.startswith("-"):
            own.append(word)
        else:
            rest.append(word)
        value = word.startswith("--") and "=" not in word and not known.get(word[2:], True)
    return own, rest

"""Paths that commands read and write, and the one check that every output passes before anything happens."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ffprep.commands._shared.help import Command
from ffprep.common.files.expansion import DENSEST, allowing
from ffprep.common.files.outputs import check_output, refuse_inputs
from ffprep.common.files.replacing import write_file
from ffprep.common.names import missing_file
from ffprep.errors import OptionError

NAMING_INPUTS = frozenset({"source", "files", "shards", "settings", "numbering", "tokens", "index", "only"})
"""Parameters whose value is text and may name files, or something else such as a data set of the hub."""

GIVEN = "ffprep.given"
"""Where the values of the running command's options are kept in the meta of its context."""

_LARGEST_REPORT = 1 << 26


OUTPUT = (
    "output goes to local disk only; write it there, in parts if it is large (--part), and copy the finished files to "
    "the store"
)
INPUT = "this is read from local disk only; copy it there first"
CACHE = "pages of remote files are kept on local disk only; name a folder there"


def refuse_url(value: Any, why: str = OUTPUT) -> None:
    """Refuse a URL in the place of a path.

    Raises
    ------
    OptionError
    """
    if "://" in str(value):
        raise OptionError(f"{value}: {why}")


class LocalPath(click.Path):
    """The type of options that name a file or a folder on local disk, there already or not.

    Parameters
    ----------
    why : str
        What to say of a URL.
    **options
        Those of ``click.Path``.
    """

    def __init__(self, why: str = OUTPUT, **options: Any) -> None:
        super().__init__(path_type=Path, **options)
        self._why = why

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; a URL is refused."""
        refuse_url(value, self._why)
        return super().convert(value, param, ctx)


class OutputFile(click.Path):
    """The type of every parameter that names a file to write: what is there is kept unless ``--overwrite`` is given.

    Parameters
    ----------
    folders : bool
        Whether it may be a folder.
    own_rule : bool
        Whether the command decides itself what may be replaced or accepted, since it knows the files that it makes.
    device : bool
        Whether it may be a device or a pipe, such as ``/dev/stdout``.
    """

    def __init__(self, *, folders: bool = False, own_rule: bool = False, device: bool = False) -> None:
        super().__init__(dir_okay=folders, path_type=Path)
        self.own_rule = own_rule
        self.device = device

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; a URL is refused, since a file has its name only when it is complete and on the disk."""
        refuse_url(value)
        return super().convert(value, param, ctx)

    def check(self, path: Path, context: click.Context) -> None:
        """Refuse a path that must not be written to."""
        check_output(path, overwrite=self.own_rule or bool(context.params.get("overwrite")), device=self.device)


class BetonFile(OutputFile):
    """A ``.beton`` file to make; the command decides itself what may be replaced."""

    def __init__(self) -> None:
        super().__init__(own_rule=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; the name of an index is refused, since a file of that name is read as one."""
        if str(value).endswith(".set.json"):
            raise OptionError(
                f"{value}: .set.json is for the index of a set, and this makes a .beton file; give another ending"
            )
        return super().convert(value, param, ctx)


class ReportFile(OutputFile):
    """A report: an earlier one about the same file may be replaced, so that the same command can be given again."""

    def check(self, path: Path, context: click.Context) -> None:
        out = context.params.get("out")
        if out is not None and (part := context.params.get("part")):
            from ffprep.beton.parts import Part

            out = Part.parse(part).path(out)
        if out is None or not is_report(path, out):
            super().check(path, context)


class FolderOrFile(OutputFile):
    """A file or a folder; the conversions to it check each of their files."""

    def check(self, path: Path, context: click.Context) -> None:
        """Nothing is known yet."""


def check_there(path: str) -> None:
    """Refuse a path to read that leads nowhere, and name files beside it that are spelled like it.

    Raises
    ------
    OptionError
    """
    if not os.path.exists(path):  # noqa: PTH110 - an empty path does not exist
        refuse_url(path, INPUT)
        raise OptionError(f"{path or repr(path)}: {missing_file(path)}")


class Existing(click.Path):
    """The type of options that name a file or a folder to read.

    Parameters
    ----------
    file_okay : bool
        Whether it may be a file.
    """

    def __init__(self, *, file_okay: bool = True) -> None:
        super().__init__(exists=True, file_okay=file_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        check_there(str(value))
        return super().convert(value, param, ctx)


class SetOfFiles(click.Path):
    """The type of arguments that are ``.beton`` files to read: a file, an index, a folder or a pattern.

    Its value is a list of `ffprep.beton.sets.SetFile`.

    Parameters
    ----------
    indexed : bool
        Whether a folder stands for the index in it; otherwise it stands for all its files in any case.
    remote : bool
        Whether it may be a URL.
    """

    def __init__(self, *, indexed: bool = True, remote: bool = False) -> None:
        super().__init__(exists=True, path_type=Path)
        self.indexed = indexed
        self.remote = remote

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the files that an argument stands for."""
        from ffprep.beton.sets import files_of

        if isinstance(value, list):
            return value
        if "://" in str(value) and not Path(value).exists():
            if self.remote:
                return files_of(str(value))
            raise OptionError(
                f"{value}: this command reads files on local disk only; copy this one there first (info, verify, "
                "preview, stats, bench and loaders take URLs)"
            )
        if not self.indexed and Path(value).is_dir():
            value = os.path.join(glob.escape(str(value)), "*.beton")  # noqa: PTH118 - a pattern
        pattern = glob.has_magic(str(value)) and not Path(value).exists()
        if not pattern:
            check_there(str(value))
        return files_of(str(value) if pattern else str(super().convert(value, param, ctx)))


FILES = SetOfFiles()
ANYWHERE = SetOfFiles(remote=True)
BARE_FILES = SetOfFiles(indexed=False)
PAGE = OutputFile(own_rule=True, device=True)
BETON = BetonFile()
OWN_RULE = OutputFile(own_rule=True)
BETONS = FolderOrFile(folders=True, own_rule=True)
SET = OutputFile(own_rule=True)
REPORT = ReportFile(device=True)


class ReadingCommand(Command):
    """A command that may have ``--max-expansion``, which holds while the command runs and is no argument of it."""

    def invoke(self, ctx: click.Context) -> Any:
        with allowing(ctx.params.pop("max_expansion", DENSEST)):
            return super().invoke(ctx)


class FileCommand(ReadingCommand):
    """A command with outputs. Before it begins, they are compared with its inputs and with what is there."""

    def invoke(self, ctx: click.Context) -> Any:
        ctx.meta[GIVEN] = dict(ctx.params)
        outputs = list(outputs_of(ctx))
        refuse_inputs([path for _, path in outputs], inputs_of(ctx))
        for kind, path in outputs:
            kind.check(path, ctx)
        return super().invoke(ctx)


def outputs_of(context: click.Context) -> Iterator[tuple[OutputFile, Path]]:
    """The outputs that were given, with their types."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if isinstance(parameter.type, OutputFile) and value is not None:
            yield parameter.type, value


def inputs_of(context: click.Context) -> list[Path]:
    """The files and folders that a command's parameters name for reading."""
    found: list[Path] = []
    for parameter in context.command.params:
        if isinstance(parameter.type, OutputFile):
            continue
        value = context.params.get(parameter.name or "")
        for one in value if isinstance(value, (tuple, list)) else [value]:
            if isinstance(one, Path):
                found.append(one)
            elif isinstance(parameter.type, SetOfFiles):
                found += paths_of([one] if not isinstance(one, list) else one)
            else:
                found += named_files(parameter, one)
    return found


def named_files(parameter: click.Parameter, value: Any) -> list[Path]:
    """The files and folders that a parameter's text names, if it names any."""
    return list(_named(value)) if isinstance(value, str) and parameter.name in NAMING_INPUTS else []


def paths_of(files: Iterable[Any]) -> list[Path]:
    """The paths of `SetFile`, or of lists of them, and of the indexes that list them."""
    found: dict[Path, None] = {}
    for one in files:
        for file in one if isinstance(one, list) else [one]:
            found[file.path] = None
            if file.index is not None:
                found[file.index] = None
    return list(found)


def _named(text: str) -> Iterable[Path]:
    try:
        if Path(text).exists():
            return [Path(text)]
        return map(Path, glob.glob(text)) if glob.has_magic(text) else []  # noqa: PTH207 - absolute patterns too
    except (OSError, ValueError):  # too long, or with a NUL: no path
        return []


def write_report(path: Path, facts: dict[str, Any], out: Path) -> None:
    """Write a report about a file, as JSON."""
    write_file(path, json.dumps({"file": out.name, **facts}, indent=1) + "\n")


def is_report(path: Path, out: Path) -> bool:
    """Whether a file is a report about `out` that `write_report` wrote."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_REPORT:
            return False
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("file") == out.name and "seconds" in found


def check_restart(resume: bool, restart: bool) -> None:
    """Refuse two options that contradict each other.

    Raises
    ------
    OptionError
    """
    if resume and restart:
        raise OptionError("--resume and --restart: give one of them; without them, the same command goes on")

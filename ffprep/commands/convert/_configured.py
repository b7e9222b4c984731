"""Conversions that a file describes: a configuration, or the manifest of a file that is to be made again."""

from __future__ import annotations

import filecmp
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ffprep.commands._shared.files import INPUT, LocalPath, check_there, outputs_of
from ffprep.commands._shared.group import opposites, switches
from ffprep.commands._shared.recorded import again
from ffprep.commands.convert._expected import Expected, check_all
from ffprep.common.files.outputs import refuse_inputs
from ffprep.common.formatting import one_line
from ffprep.convert.config import read_config, to_arguments
from ffprep.errors import ConversionError, OptionError

FROM_MANIFEST = "--from-manifest"

Known = Callable[[click.Context, str, str], click.Command]
"""Gives the command of a data set, for a context, its name and where that is written."""


def configured(path: Path, known: Known) -> click.Command:
    """The command that runs the conversions of a YAML file."""

    @click.command(name=str(path), help="Run the conversions of a configuration.")
    @click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
    @click.pass_context
    def run(ctx: click.Context, overrides: tuple[str, ...]) -> None:
        parent = ctx.parent or ctx
        jobs, expected = [], []
        for conversion in read_config(path, overrides):
            dataset = conversion.pop("dataset")
            expected.append(Expected.read(conversion, str(path)))
            command = known(parent, dataset, str(path))
            arguments = to_arguments(conversion, switches(command), str(path), opposites(command))
            jobs.append((command, command.make_context(dataset, arguments, parent=parent)))
        for command, context in jobs:  # all were checked before the first one starts
            with context:
                command.invoke(context)
        check_all(expected)

    return run


def repetition(known: Known) -> click.Command:
    """The command that makes a file again."""

    @click.command(
        FROM_MANIFEST,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
        help="Repeat the conversion that made a file.",
    )
    @click.argument("path", type=LocalPath(INPUT))
    @click.argument("words", metavar="[KEY=VALUE|OPTION]...", nargs=-1, type=click.UNPROCESSED)
    @click.pass_context
    def run(ctx: click.Context, path: Path, words: tuple[str, ...]) -> None:
        check_there(str(path))
        parent = ctx.parent or ctx
        recorded, more = _recorded(path)
        command = known(parent, recorded["dataset"], str(path))
        arguments, changed = again(command, recorded, words, str(path))
        context = command.make_context(str(recorded["dataset"]), [*more, *arguments], parent=parent)
        refuse_inputs([out for _, out in outputs_of(context)], [path])
        with context:
            command.invoke(context)
            if not changed:
                _compare(path, context)

    return run


def _recorded(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The configuration that a file records, and options that follow from the rest of it."""
    from ffprep.beton.reader import Reader

    with Reader(path) as reader:
        manifest, page_size = reader.manifest or {}, reader.page_size
    for made in ("merged", "split", "repaired"):
        if made in manifest:
            raise OptionError(f"{path}: was {made}; repeat the conversions of the files that it was made from")
    recorded = manifest.get("configuration")
    if not isinstance(recorded, dict) or not isinstance(recorded.get("dataset"), str):
        raise OptionError(
            f"{path}: does not record its configuration, so its conversion cannot be repeated; commands of this "
            "version record theirs, the Python interface does not"
        )
    more = [f"--page-size={page_size}"]
    if isinstance(limit := manifest.get("limit"), int):
        more.append(f"--limit={limit}")
    part, report = manifest.get("part"), manifest.get("report")
    if isinstance(part, dict):
        more.append(f"--part={part.get('number')}/{part.get('count')}")
    if isinstance(report, dict) and (report.get("refused_count") or report.get("left_out_causes")):
        more.append("--on-error=skip")
    return recorded, more


def _compare(path: Path, context: click.Context) -> None:
    """Say whether the file that was made is the one that was to be repeated."""
    from ffprep.beton.parts import Part
    from ffprep.beton.reader import Reader
    from ffprep.beton.writing.conditions import differences, listed

    out: Path = context.params["out"]
    if out.is_dir():
        return
    if context.params.get("part"):
        out = Part.parse(context.params["part"]).path(out)
    if filecmp.cmp(path, out, shallow=False):
        if not context.params.get("quiet"):
            click.echo(f"{one_line(out)} and {one_line(path)} are the same, byte for byte")
        return
    with Reader(path) as one, Reader(out) as other:
        found = differences(one.manifest, other.manifest)
    why = listed(found) if found else "their manifests are the same"
    raise ConversionError(f"{out}: is not the same as {path} ({why}); is it the same source, and the same ffprep?")

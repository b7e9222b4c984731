"""``ffprep convert glue`` and ``ffprep plan glue``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import BETONS, FileCommand, ReadingCommand
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.options import (
    reading_options,
    take_writing,
)
from ffprep.commands._shared.planning import planning_options, take_planning
from ffprep.commands.convert.texts._shared import (
    row_options,
    take_loaded_vocabulary,
    vocabulary_options,
    writing_options_with,
)
from ffprep.errors import OptionError, SourceError

if TYPE_CHECKING:
    from ffprep.sources.glue import Task

NAMES = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")


def _source_options(tasks: list[str]) -> Callable[..., Any]:
    return apply_options(
        click.option(
            "--source",
            default="nyu-mll/glue",
            show_default=True,
            metavar="PATH_OR_HUB",
            help="GLUE's folder, or a task's, with tsv (or the hub's parquet) files, one such file, or a hub data set.",
        ),
        click.option("--task", type=click.Choice(tasks, case_sensitive=False), required=True),
        click.option(
            "--split",
            default="train",
            show_default=True,
            metavar="train|validation|test|all",
            help="MNLI has validation_matched and validation_mismatched, and so for test; validation means both.",
        ),
        reading_options,
    )


@click.command(
    "glue",
    cls=FileCommand,
    examples=[
        ("One task", "ffprep convert glue --source /data/glue --task sst2 --out sst2.beton"),
        (
            "All tasks and splits, a file each",
            "ffprep convert glue --source /data/glue --task all --split all --out glue/",
        ),
    ],
)
@_source_options([*NAMES, "all"])
@vocabulary_options
@row_options
@writing_options_with(type=BETONS, help="The .beton file, or a folder for several.")
def command(source: str, task: str, split: str, all_files: bool, length: int, keep_text: bool, **values: Any) -> None:
    """GLUE's tasks: fields "tokens", "length", "label" and, with --keep-text, the texts.

    Several tasks or splits make several files: --out is then a folder, or a name that theirs start with, and so is the
    name of --report.
    """
    from ffprep.sources.glue import TASKS, open_glue, splits_of, tasks_there

    chosen = tasks_there(source) if task == "all" else [TASKS[task]]
    jobs = [(t, s) for t in chosen for s in splits_of(t, split)]
    if not jobs:
        raise OptionError(f"{source}: holds none of GLUE's tasks")
    skip, skip_labels = _skips(values), values["on_error"] == "skip"
    vocabulary = take_loaded_vocabulary(values)
    writing, _ = take_writing(values)
    for one, part in jobs:
        if len(jobs) > 1 and not _there(source, one, part, all_files):
            click.echo(f"note: {one.name} has no {part} split there", err=True)
            continue
        rows = open_glue(source, one, part, vocabulary, length, keep_text, skip, skip_labels, all_files)
        if not writing.quiet:
            click.echo(f"{one.name} {part}: {rows.summary()}", err=True)
        out, report = writing.out, writing.report
        if len(jobs) > 1:
            out = _name(out, one, part)
            report = None if report is None else report.with_name(f"{report.stem}-{one.name}-{part}{report.suffix}")
        replace(writing, out=out, report=report, on_error="raise").run(rows, task=one.name, split=part)


def _skips(values: dict[str, Any]) -> bool:
    """Whether to leave out rows of the wrong shape: by default yes, as in the hub's copy (QQP has such rows)."""
    context = click.get_current_context()
    given = context.get_parameter_source("on_error") is not click.core.ParameterSource.DEFAULT
    return not given or values["on_error"] == "skip"


def _there(source: str, task: Task, split: str, all_files: bool) -> bool:
    from ffprep.common.names import Clutter
    from ffprep.sources.glue import find_file

    if not Path(source).is_dir():
        return True
    try:
        find_file(Path(source), task, split, Clutter(all_files))
    except SourceError as error:
        return "no file of the split" not in str(error)
    return True


def _name(out: Path, task: Task, split: str) -> Path:
    if out.suffix == ".beton":
        return out.with_name(f"{out.stem}-{task.name}-{split}.beton")
    out.mkdir(parents=True, exist_ok=True)
    return out / f"{task.name}-{split}.beton"


@click.command(
    "glue", cls=ReadingCommand, examples=[("Bytes, time, room", "ffprep plan glue --source /data/glue --task qqp")]
)
@_source_options(list(NAMES))
@vocabulary_options
@row_options
@planning_options
def plan_command(
    source: str,
    task: str,
    split: str,
    all_files: bool,
    length: int,
    keep_text: bool,
    **values: Any,
) -> None:
    """Bytes, time and room that converting a split of a task will take."""
    from ffprep.sources.glue import TASKS, open_glue, splits_of

    planning, rest = take_planning(values)
    vocabulary = take_loaded_vocabulary(rest)
    for part in splits_of(TASKS[task], split):
        rows = open_glue(
            source, TASKS[task], part, vocabulary, length, keep_text, skip_labels=True, all_files=all_files
        )
        planning.run(rows)

"""``ffprep verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import ANYWHERE, ReadingCommand
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.numbers import WORKERS
from ffprep.commands._shared.options import EXISTING, expansion_option, followed, progress_option, terminable
from ffprep.commands._shared.vocabulary import FOLDER
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile
    from ffprep.beton.verify import VerifyReport
    from ffprep.convert.against import Origin


_against_options = apply_options(
    click.option(
        "--against",
        multiple=True,
        metavar="SOURCE",
        help="Also compare every sample with the data set that the file was made of: names, sizes, labels, tokens, "
        "pixels. What was --source, --images, --shards or --files of the conversion; repeatable, as those are. "
        "Of a set, files that are parts of one conversion, or were split, are each compared with their share of it.",
    ),
    click.option("--annotations", type=EXISTING, help="With --against: the annotations of COCO or Visual Genome."),
    click.option(
        "--masks",
        type=EXISTING,
        multiple=True,
        help="With --against: as for convert masks and coco-panoptic. Repeatable.",
    ),
    click.option("--images", type=EXISTING, help="With --against: as for convert images, for tables of paths."),
    click.option("--labels", type=EXISTING, help="With --against: as for convert imagenet."),
    click.option("--devkit", type=EXISTING, help="With --against: as for convert imagenet."),
    click.option("--classes", type=EXISTING, help="With --against: as for convert imagenet."),
    click.option("--gpt2-files", type=FOLDER, help="With --against: folder with GPT-2's vocabulary."),
    title="Comparing with the source",
)


@click.command(
    "verify",
    cls=ReadingCommand,
    examples=[
        ("Everything, every image decoded", "ffprep verify train.beton"),
        ("Compare every sample with what it was made of", "ffprep verify train.beton --against /data/ILSVRC2012"),
        ("Checksums alone, in a job that must be quick", "ffprep verify train.beton --quick"),
    ],
)
@click.argument("paths", nargs=-1, required=True, type=ANYWHERE)
@click.option("--quick", is_flag=True, help="Tables and checksums only; do not decode every sample.")
@_against_options
@expansion_option
@click.option("--workers", type=WORKERS, help="Threads that decode; all processors by default.")
@click.option("--json", "as_json", is_flag=True, help="The result for programs.")
@progress_option
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[list[SetFile], ...],
    quick: bool,
    against: tuple[str, ...],
    annotations: Path | None,
    masks: tuple[Path, ...],
    images: Path | None,
    labels: Path | None,
    devkit: Path | None,
    classes: Path | None,
    gpt2_files: Path | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Check .beton files and sets: tables, pointers, checksums, that every sample decodes and, if asked, the source."""
    from ffprep.beton.verify import Problem, verify
    from ffprep.beton.verify.indexes import differs_from_first, differs_from_index

    files = [file for some in paths for file in some]

    if against:
        from ffprep.convert.against import Origin
        from ffprep.sources.reading.synsets import Hints

        if len(files) > 1 and not all(_share_of_a_source(file.path) for file in files):
            raise OptionError("--against is the source of one file, or of the parts of one: verify others one by one")
        origin = Origin(against, annotations, Hints(labels, devkit, classes), gpt2_files, masks, images)
    elif masks or any(given is not None for given in (annotations, images, labels, devkit, classes, gpt2_files)):
        raise OptionError(
            "--annotations, --masks, --images, --labels, --devkit, --classes and --gpt2-files belong to --against"
        )
    reports = []
    firsts = {some[0].index: some[0] for some in reversed(paths) if some}
    for file in files:
        with followed(file.path.name) as progress:
            reports.append(verify(file.path, deep=not quick, workers=workers, progress=progress))
        if problem := differs_from_index(file):
            reports[-1].problems.append(Problem(problem))
        if file.index is not None and (problem := differs_from_first(file, firsts[file.index])):
            reports[-1].problems.append(Problem(problem))
        if against:
            _compare(file.path, origin, reports[-1], workers)
        if not as_json:
            click.echo(str(reports[-1]))
    if as_json:
        facts = [
            {
                "path": str(report.path),
                "ok": report.ok,
                "samples": report.samples,
                "checked": report.checked,
                "problems": [str(problem) for problem in report.problems],
                "all_problems": report.complete,
            }
            for report in reports
        ]
        click.echo(json.dumps(facts, indent=1))
    ctx.exit(0 if all(report.ok for report in reports) else 1)


def _share_of_a_source(path: Path) -> bool:
    from ffprep.beton.reader import Reader
    from ffprep.convert.against import holds_share
    from ffprep.errors import BetonError

    try:
        with Reader(path, check=False) as reader:
            return holds_share(reader)
    except BetonError:  # verifying it says what is wrong
        return True


def _compare(path: Path, origin: Origin, report: VerifyReport, workers: int | None) -> None:
    from ffprep.beton.reader import Reader
    from ffprep.beton.verify import Problem
    from ffprep.common.workers.cpus import usable_cpus
    from ffprep.convert.against import compare, reopened
    from ffprep.errors import BetonError

    try:
        reader = Reader(path)
    except BetonError as error:
        report.problems.append(Problem(f"cannot be compared with its source: {error}"))
        return
    threads = workers or usable_cpus()
    with (
        terminable(),
        reader,
        reopened(reader, origin, threads) as source,
        followed("against the source") as progress,
    ):
        compare(reader, source, report, workers=threads, progress=progress)

"""What the commands for text have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ffprep.commands._shared.files import BETON, check_restart, inputs_of, is_report, write_report
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.numbers import WORKERS, Whole
from ffprep.commands._shared.options import (
    continuing_options,
    page_size_option,
    progress_display,
    reporting_options,
    terminable,
    writing_options,
)
from ffprep.commands._shared.recorded import configuration
from ffprep.commands._shared.vocabulary import take_vocabulary, vocabulary_options
from ffprep.common.formatting import one_line

if TYPE_CHECKING:
    from ffprep.convert.corpus import CorpusReport
    from ffprep.sources.openwebtext import Corpus
    from ffprep.text.tokens.vocabulary import Vocabulary

__all__ = [
    "block_options",
    "block_writing_options",
    "row_options",
    "run_corpus",
    "show_corpus",
    "take_loaded_vocabulary",
    "vocabulary_options",
    "writing_options_with",
]

F = TypeVar("F", bound=Callable[..., Any])


def writing_options_with(**changes: Any) -> Callable[[F], F]:
    """The options of all conversions, with changes to ``--out``: ``required``, ``type`` or ``help``."""

    def decorate(function: F) -> F:
        function = writing_options(function)
        for parameter in getattr(function, "__click_params__", []):
            if parameter.name == "out":
                for name, value in changes.items():
                    setattr(parameter, name, value)
        return function

    return decorate


def take_loaded_vocabulary(values: dict[str, Any]) -> Vocabulary:
    """Take the vocabulary options out of a command's values, and load the vocabulary now rather than later."""
    found = take_vocabulary(values)
    assert found is not None
    found.encode("")
    return found


row_options = apply_options(
    click.option(
        "--length",
        type=Whole(2, 65535),
        default=128,
        show_default=True,
        help="Tokens in a row, marks included; longer pairs lose from the longer text first.",
    ),
    click.option("--keep-text", is_flag=True, help="Store the texts as well."),
    title="Rows",
)
"""How texts become rows."""


block_options = apply_options(
    click.option(
        "--block",
        type=Whole(2, 65535),
        default=192,
        show_default=True,
        help="Tokens in a block.",
    ),
    click.option(
        "--padded",
        is_flag=True,
        help="Cut blocks within documents and fill up the last one of each; otherwise blocks run across "
        "documents, which a separator follows.",
    ),
    click.option(
        "--blocks-per-sample",
        type=Whole(1, 65535),
        help="Blocks in a sample of the file; by default what makes the smallest file. 1 for stock ffcv "
        "loaders that shuffle single blocks, at 8 % more.",
    ),
    title="Blocks",
)
"""How documents become blocks."""


block_writing_options = apply_options(
    click.option("--out", type=BETON, required=True, help="The .beton file to make."),
    click.option("--workers", type=WORKERS, help="Threads that tokenise; all processors by default."),
    continuing_options,
    click.option(
        "--on-error",
        type=click.Choice(["raise", "skip"]),
        default="raise",
        show_default=True,
        help="A row of a table that cannot be used: stop there, or leave it out and report it.",
    ),
    page_size_option,
    reporting_options,
    title="Output",
)
"""Where the file goes and how the conversion runs."""


def run_corpus(
    corpus: Corpus, vocabulary: Vocabulary, report: Path | None, quiet: bool, values: dict[str, Any]
) -> CorpusReport:
    """Convert a corpus as the remaining options say, and show the report."""
    from ffprep.convert.corpus import convert_corpus

    if not quiet:
        for note in corpus.notes:
            click.echo(f"note: {note}", err=True)
    return show_corpus(
        lambda **options: convert_corpus(
            corpus, vocabulary=vocabulary, inputs=inputs_of(click.get_current_context()), **options
        ),
        report,
        quiet,
        values,
    )


def show_corpus(
    convert: Callable[..., CorpusReport], report: Path | None, quiet: bool, values: dict[str, Any]
) -> CorpusReport:
    """Run a conversion to blocks with the remaining options, and show the report."""
    check_restart(values.pop("resume"), values["restart"])
    values["per_sample"] = values.pop("blocks_per_sample")
    with terminable():
        made = convert(configuration=configuration(), progress=progress_display(quiet), **values)
    if report is not None and not (made.report.found and is_report(report, values["out"])):
        write_report(report, made.to_json(), values["out"])
    if not quiet:
        click.echo(f"{one_line(values['out'])}\n{made.table()}")
    return made

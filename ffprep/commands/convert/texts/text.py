"""``ffprep convert text``: texts from any table."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import FileCommand
from ffprep.commands._shared.group import opposites, switches
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.options import reading_options, take_writing
from ffprep.commands.convert._expected import Expected, check_all
from ffprep.commands.convert.texts._shared import (
    block_options,
    row_options,
    run_corpus,
    take_loaded_vocabulary,
    vocabulary_options,
    writing_options_with,
)
from ffprep.convert.config import read_config, to_arguments
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.sources.text import TableChoice
    from ffprep.text.tokens.vocabulary import Vocabulary


_table_options = apply_options(
    click.option(
        "--files",
        multiple=True,
        metavar="PATTERN",
        help="JSON (lines or an array), CSV, TSV or parquet files: names, folders or patterns; or one hub data set. "
        "Repeatable.",
    ),
    click.option("--format", "format_", type=click.Choice(["jsonl", "csv", "tsv", "parquet"]), help="Of the files."),
    apply_options(
        click.option("--text", default="text", show_default=True, metavar="COLUMN", help="Column of the text."),
        click.option("--text-pair", metavar="COLUMN", help="Column of the second text of pairs."),
        click.option("--label", metavar="COLUMN", help="Column of the label."),
        click.option(
            "--labels",
            multiple=True,
            metavar="NAME",
            help="Names of the labels in the order of their numbers. Repeatable; by default that of the alphabet.",
        ),
        click.option("--label-kind", type=click.Choice(["auto", "int", "float"]), default="auto", show_default=True),
        title="Columns",
    ),
    click.option("--delimiter", help="Between values, where it is no comma (csv) or tab (tsv)."),
    click.option("--quotes/--no-quotes", default=None, help="Whether double quotes quote values; in csv they do."),
    click.option("--columns", multiple=True, metavar="NAME", help="Columns of files without a header. Repeatable."),
    click.option("--split", metavar="NAME", help="Split of a hub data set; train by default."),
    click.option("--config", "config_name", metavar="NAME", help="Configuration of a hub data set."),
    click.option(
        "--layout",
        type=click.Choice(["rows", "blocks"]),
        default="rows",
        show_default=True,
        help="A sample for each row of the table, or blocks of tokens as of a corpus.",
    ),
    reading_options,
)


@click.command(
    "text",
    cls=FileCommand,
    examples=[
        (
            "Texts and labels of a table as rows",
            "ffprep convert text --files reviews.csv --text review --label stars --out reviews.beton",
        ),
        (
            "Pairs",
            "ffprep convert text --files nli.jsonl --text premise --text-pair hypothesis --label label --out nli.beton",
        ),
    ],
)
@click.argument("settings", nargs=-1, metavar="[CONFIG.yaml [KEY=VALUE]...]")
@_table_options
@vocabulary_options
@row_options
@block_options
@writing_options_with(required=False)
@click.pass_context
def command(context: click.Context, /, settings: tuple[str, ...], **values: Any) -> None:
    """One or two texts and a label from JSON lines, CSV or parquet: "tokens", "length", "label".

    A configuration holds the options below without their dashes; options on the command line come first.
    """
    if settings:
        _run_configuration(context, settings)
        return

    if values["out"] is None or not values["files"]:
        raise OptionError("say where the data is and where the file goes: --files and --out, or a configuration")
    choice = _take_choice(values)
    vocabulary = take_loaded_vocabulary(values)
    if values.pop("layout") == "blocks":
        _convert_blocks(choice, vocabulary, values)
    else:
        _convert_rows(choice, vocabulary, values)


def _run_configuration(context: click.Context, settings: tuple[str, ...]) -> None:
    conversions = read_config(Path(settings[0]), [*settings[1:], "dataset=text"])
    given = {
        parameter.opts[0][2:]: context.params[parameter.name]
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and parameter.name is not None
        and context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
    }
    jobs, expected = [], []
    for conversion in conversions:
        conversion.pop("dataset")
        conversion.update({name: list(v) if isinstance(v, tuple) else v for name, v in given.items()})
        expected.append(Expected.read(conversion, settings[0]))
        arguments = to_arguments(conversion, switches(command), settings[0], opposites(command))
        jobs.append(command.make_context("text", arguments, parent=context.parent))
    for job in jobs:  # all were checked before the first one starts
        with job:
            command.invoke(job)
    check_all(expected)


def _take_choice(values: dict[str, Any]) -> TableChoice:
    from ffprep.sources.text import TableChoice

    renamed = {"format": "format_", "config": "config_name"}
    return TableChoice(**{f.name: values.pop(renamed.get(f.name, f.name)) for f in fields(TableChoice)})


def _convert_rows(choice: TableChoice, vocabulary: Vocabulary, values: dict[str, Any]) -> None:
    from ffprep.sources.text import open_rows

    writing, rest = take_writing(values)
    rows = open_rows(choice, vocabulary, rest["length"], rest["keep_text"], writing.on_error == "skip")
    if not writing.quiet:
        click.echo(rows.summary(), err=True)
    writing.run(rows)


def _convert_blocks(choice: TableChoice, vocabulary: Vocabulary, values: dict[str, Any]) -> None:
    from ffprep.sources.openwebtext import Corpus
    from ffprep.sources.text import open_table
    from ffprep.text.documents.documents import RowsUnit

    for name in ("limit", "shuffle", "part"):
        if values.pop(name) is not None:
            raise OptionError(f"--{name} is for rows, not for blocks")
    for name in ("length", "keep_text"):
        values.pop(name)
    parts, notes = open_table(choice, [choice.text])
    facts = {"columns": [choice.text], "files": len(parts), **choice.facts}
    corpus = Corpus("text", [RowsUnit(part) for part in parts], facts=facts, notes=notes)
    run_corpus(corpus, vocabulary, values.pop("report"), values.pop("quiet"), values)

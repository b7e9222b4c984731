"""``ffprep convert openwebtext``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.engine import conversion_engine
from ffprep.commands._shared.files import FileCommand, ReadingCommand
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.options import reading_options
from ffprep.commands._shared.planning import planning_options, take_planning
from ffprep.commands.convert.texts._shared import (
    block_options,
    block_writing_options,
    run_corpus,
    take_loaded_vocabulary,
    vocabulary_options,
)
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.sources.openwebtext import Corpus

_source_options = apply_options(
    click.option(
        "--source",
        required=True,
        metavar="PATH_OR_HUB",
        help="Folder with the published chunks (urlsf_subset00.tar, nested or unpacked), an archive of text, "
        "a folder or file of text, JSON lines, CSV or parquet, or a hub data set (Skylion007/openwebtext).",
    ),
    click.option(
        "--split",
        type=click.Choice(["train", "val"]),
        help="Chunks 0-5 or 6; where there are no chunks, the same share of the documents.",
    ),
    click.option("--chunks", metavar="0-5", help="Numbers of the chunks to take; 0-5 by default."),
    click.option("--files", metavar="0-22", help="Numbers of the files to take, in the order of their names, from 0."),
    click.option(
        "--share",
        metavar="0-6/21",
        help="Part of the documents to take, by the hash of each: for forms without chunks.",
    ),
    click.option("--column", default="text", show_default=True, help="Where tables have the text."),
    reading_options,
)


def _take_corpus(values: dict[str, Any]) -> Corpus:
    """Open the corpus that a command's values name, and take these out of them."""
    from ffprep.sources.openwebtext import Choice, open_corpus

    choice = Choice(**{name: values.pop(name) for name in ("split", "chunks", "files", "share")})
    return open_corpus(values.pop("source"), choice, values.pop("column"), all_files=values.pop("all_files"))


@click.command(
    "openwebtext",
    cls=FileCommand,
    examples=[
        (
            "The published chunks: blocks of 192 tokens with fairseq's numbering",
            "ffprep convert openwebtext --source /data/openwebtext --split train --out owt.beton",
        ),
        (
            "Any folder of text, in blocks of 1,024 with GPT-2's own ids",
            "ffprep convert openwebtext --source corpus/ --vocabulary gpt2 --block 1024 --out corpus.beton",
        ),
    ],
)
@_source_options
@vocabulary_options
@block_options
@conversion_engine
@block_writing_options
def command(report: Path | None, quiet: bool, **values: Any) -> None:
    """OpenWebText, or any corpus of documents: blocks of GPT-2 tokens, field "tokens"."""
    vocabulary = take_loaded_vocabulary(values)
    run_corpus(_take_corpus(values), vocabulary, report, quiet, values)


@click.command(
    "openwebtext",
    cls=ReadingCommand,
    examples=[("Bytes, time, room on the disk", "ffprep plan openwebtext --source /data/openwebtext --split train")],
)
@_source_options
@vocabulary_options
@block_options
@planning_options
def plan_command(**values: Any) -> None:
    """Bytes, time and room that tokenising a corpus will take; samples are blocks here."""
    from ffprep.convert.corpus_planning import plan_corpus

    planning, rest = take_planning(values)
    if planning.limit is not None:
        raise OptionError("--limit: a corpus is limited by --chunks, --files or --share")
    vocabulary, corpus = take_loaded_vocabulary(rest), _take_corpus(rest)
    made = plan_corpus(
        corpus, planning.out, vocabulary, block=rest["block"], padded=rest["padded"], workers=planning.workers
    )
    planning.show(made)

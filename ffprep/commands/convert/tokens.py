"""``ffprep convert tokens``: token files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ffprep.commands._shared.files import FileCommand
from ffprep.commands.convert._text import FOLDER, block_options, block_writing_options, show_corpus


@click.command("tokens", cls=FileCommand)
@click.option(
    "--source",
    required=True,
    type=click.Path(path_type=Path),
    help="PREFIX of fairseq's PREFIX.bin and PREFIX.idx, or a flat file of 16-bit tokens.",
)
@click.option(
    "--numbering",
    metavar="fairseq|gpt2|DICT.TXT",
    help="Numbers of the tokens. By default as recorded beside the file (FILE.json, or dict.txt beside fairseq's), "
    "else fairseq's for fairseq's files and GPT-2's for flat ones.",
)
@click.option("--vocab", type=FOLDER, help="Folder with GPT-2's vocabulary.")
@block_options
@block_writing_options
def command(
    source: Path,
    numbering: str | None,
    vocab: Path | None,
    report: Path | None,
    quiet: bool,
    **values: Any,
) -> None:
    """Blocks from tokens that another program made: fairseq's memory-mapped files or one flat file."""
    from ffprep.convert.corpus import convert_parts
    from ffprep.text.blocks.exchange import import_parts, recorded_vocabulary
    from ffprep.text.blocks.indexed import paths_of
    from ffprep.text.tokens.vocabulary import open_vocabulary

    if numbering is not None:
        vocabulary = open_vocabulary(numbering, vocab)
    else:
        usual = "fairseq" if paths_of(source)[1].is_file() else "gpt2"
        vocabulary = recorded_vocabulary(source, vocab) or open_vocabulary(usual, vocab)
    values.pop("on_error")
    files = [path for path in paths_of(source) if path.is_file()] or [path for path in [source] if path.is_file()]
    identity = {"files": {path.name: path.stat().st_size for path in files}}
    facts = {"form": "fairseq" if paths_of(source)[1].is_file() else "flat"}

    def parts(folder: Path, padded: int, workers: int, progress: Any) -> Any:
        return import_parts(source, vocabulary, folder, padded)

    def convert(**options: Any) -> Any:
        return convert_parts(parts, "tokens", facts, vocabulary, identity=identity, inputs=files, **options)

    show_corpus(convert, report, quiet, values)

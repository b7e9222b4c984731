"""``ffprep convert tokens``: token files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import INPUT, FileCommand, LocalPath, check_there
from ffprep.commands._shared.vocabulary import GPT2_IDS, gpt2_files_options, take_vocabulary, tokenizer_options
from ffprep.commands.convert.texts._shared import block_options, block_writing_options, show_corpus
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.text.tokens.vocabulary import Vocabulary


@click.command(
    "tokens",
    cls=FileCommand,
    examples=[
        ("fairseq's train.bin and train.idx", "ffprep convert tokens --source data-bin/train --out train.beton"),
        (
            "nanoGPT's train.bin",
            "ffprep convert tokens --source train.bin --vocabulary gpt2 --block 1024 --out train.beton",
        ),
    ],
)
@click.option(
    "--source",
    required=True,
    type=LocalPath(INPUT),
    help="PREFIX of fairseq's or Megatron's PREFIX.bin and PREFIX.idx, or a flat file of tokens.",
)
@click.option(
    "--vocabulary",
    metavar=GPT2_IDS,
    help="Ids of GPT-2's tokens. By default as recorded beside the file (FILE.json, or dict.txt beside fairseq's), "
    "else fairseq's for fairseq's files and GPT-2's for flat ones; Megatron's need it, or --tokenizer.",
)
@click.option("--numbering", hidden=True)
@tokenizer_options
@gpt2_files_options
@click.option(
    "--dtype",
    type=click.Choice(["uint16", "int16", "uint32", "int32", "uint64", "int64"]),
    help="Type of a flat file's numbers, little-endian; by default as recorded in FILE.json, else uint16.",
)
@block_options
@block_writing_options
def command(
    source: Path,
    dtype: str | None,
    report: Path | None,
    quiet: bool,
    **values: Any,
) -> None:
    """Blocks from tokens that another program made: fairseq's or Megatron's memory-mapped files, or one flat file."""
    from ffprep.convert.corpus import convert_parts
    from ffprep.text.blocks.exchange import import_parts
    from ffprep.text.blocks.flat import DTYPES
    from ffprep.text.blocks.indexed import is_megatron, paths_of
    from ffprep.text.blocks.part_files import ends_hash

    form = "flat"
    if paths_of(source)[1].is_file():
        form = "megatron" if is_megatron(source) else "fairseq"
    if dtype is not None and form != "flat":
        raise OptionError(f"--dtype is for flat files; {paths_of(source)[1]} says what its tokens are")
    files = [path for path in paths_of(source) if path.is_file()] or [path for path in [source] if path.is_file()]
    if not files:
        check_there(str(source))
    vocabulary = _vocabulary(source, form, values, quiet)
    values.pop("on_error")
    identity = {"files": {path.name: [path.stat().st_size, ends_hash(path)] for path in files}}
    facts = {"form": form}

    def parts(folder: Path, padded: int, workers: int, progress: Any) -> Any:
        return import_parts(source, vocabulary, folder, padded, None if dtype is None else DTYPES[dtype])

    def convert(**options: Any) -> Any:
        return convert_parts(parts, "tokens", facts, vocabulary, identity=identity, inputs=files, **options)

    show_corpus(convert, report, quiet, values)


def _vocabulary(source: Path, form: str, values: dict[str, Any], quiet: bool) -> Vocabulary:
    """Take the vocabulary that the options name, else what is recorded beside the file, else the form's usual one."""
    from ffprep.text.blocks.exchange import recorded_vocabulary
    from ffprep.text.tokens.vocabulary import open_vocabulary

    folder = values["gpt2_files"] or values["vocab"]
    found, why = take_vocabulary(values, default=""), "as asked for"
    if found is None:
        found, why = recorded_vocabulary(source, folder), "as recorded beside them"
    if found is None and form == "megatron":
        raise OptionError(
            f"{source}: is Megatron's, which does not say whose tokens it holds; name them: --vocabulary gpt2 for "
            "GPT-2's own ids, --vocabulary fairseq, the path of a dict.txt, or --tokenizer"
        )
    if found is None:
        found = open_vocabulary("fairseq" if form == "fairseq" else "gpt2", folder)
        why = "which is an assumption: --vocabulary or --tokenizer names another"
    if not quiet:
        whose = "GPT-2's tokens, numbered as " if found.kind in ("fairseq", "gpt2", "dict") else "tokens of "
        click.echo(f"note: the ids are taken for {whose}{found.label} ({found.size:,} ids), {why}", err=True)
    return found

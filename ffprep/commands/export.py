"""``ffprep export``: tokens of a .beton file for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from ffprep.commands._shared.files import BETON, FileCommand, inputs_of
from ffprep.commands.convert._text import FOLDER
from ffprep.common.outputs import check_output, refuse_inputs


@click.command("export", cls=FileCommand)
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["fairseq", "flat"]),
    required=True,
    help="fairseq: PREFIX.bin, PREFIX.idx and dict.txt, a sequence a document or row. flat: one file of 16-bit tokens, "
    "as nanoGPT reads it.",
)
@click.option("--out", type=BETON, required=True, help="PREFIX of fairseq's files, or the flat file.")
@click.option(
    "--numbering",
    metavar="fairseq|gpt2|DICT.TXT",
    help="Give the tokens other numbers than the file has, such as GPT-2's own for nanoGPT.",
)
@click.option("--vocab", type=FOLDER, help="Folder with GPT-2's vocabulary; needed for another numbering only.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.pass_context
def command(
    ctx: click.Context,
    path: Path,
    form: str,
    out: Path,
    numbering: str | None,
    vocab: Path | None,
    overwrite: bool,
) -> None:
    """Write the tokens of PATH, blocks or rows, as files of other programs. "ffprep convert tokens" reads them."""
    from ffprep.beton import Reader
    from ffprep.text.blocks.exchange import export_fairseq, export_flat, targets_of
    from ffprep.text.tokens.vocabulary import open_vocabulary

    wanted = open_vocabulary(numbering, vocab) if numbering is not None else None
    with Reader(path) as reader:
        targets = targets_of(reader, out, form, wanted)
        refuse_inputs(targets, inputs_of(ctx))
        for target in targets:
            check_output(target, overwrite=True)  # those that are there are compared when they are written
        made = (export_fairseq if form == "fairseq" else export_flat)(reader, out, wanted, overwrite=overwrite)
    for written in made.paths:
        click.echo(str(written))
    click.echo(f"  {made.tokens:>14,}  tokens\n  {made.sequences:>14,}  documents or rows")

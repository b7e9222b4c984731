"""``ffprep export``: tokens of a .beton file for other programs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import FILES, OWN_RULE, FileCommand, inputs_of
from ffprep.commands._shared.vocabulary import GPT2_IDS, gpt2_files_options, take_vocabulary
from ffprep.common.files.outputs import check_output, refuse_inputs
from ffprep.common.formatting import one_line

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "export",
    cls=FileCommand,
    examples=[
        (
            "As fairseq reads them: train.bin, train.idx, dict.txt",
            "ffprep export owt.beton --format fairseq --out train",
        ),
        (
            "One file with GPT-2's own ids, as nanoGPT reads it",
            "ffprep export owt.beton --format flat --vocabulary gpt2 --out train.bin",
        ),
    ],
)
@click.argument("path", type=FILES)
@click.option(
    "--format",
    "form",
    type=click.Choice(["fairseq", "flat"]),
    required=True,
    help="fairseq: PREFIX.bin, PREFIX.idx and dict.txt, a sequence a document or row. flat: one file of tokens, of 16 "
    "bits (32 if the vocabulary has more ids), as nanoGPT reads it.",
)
@click.option("--out", type=OWN_RULE, required=True, help="PREFIX of fairseq's files, or the flat file.")
@click.option(
    "--vocabulary",
    metavar=GPT2_IDS,
    help="Give GPT-2's tokens other ids than the file has, such as GPT-2's own for nanoGPT.",
)
@click.option("--numbering", hidden=True)
@gpt2_files_options
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.pass_context
def command(ctx: click.Context, /, path: list[SetFile], form: str, out: Path, overwrite: bool, **values: Any) -> None:
    """Write the tokens of PATH, blocks or rows, as files of other programs. "ffprep convert tokens" reads them."""
    from ffprep.beton.checksums import open_checked
    from ffprep.text.blocks.exchange import export_fairseq, export_flat, targets_of

    wanted = take_vocabulary(values, default="")
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(open_checked(file)) for file in path]
        targets = targets_of(readers[0], out, form, wanted)
        refuse_inputs(targets, inputs_of(ctx))
        for target in targets:
            check_output(target, overwrite=True)  # those that are there are compared when they are written
        made = (export_fairseq if form == "fairseq" else export_flat)(readers, out, wanted, overwrite=overwrite)
    for written in made.paths:
        click.echo(one_line(written))
    click.echo(f"  {made.tokens:>14,}  tokens\n  {made.sequences:>14,}  documents or rows")

"""Merging files of token blocks: one stream of tokens after the other, cut into blocks as a conversion cuts them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.beton.checksums import open_checked
from ffprep.beton.merge import (
    check_continued,
    check_local,
    check_same_numbering,
    holds_blocks,
    merge,
    merged_manifest,
    origin,
)
from ffprep.beton.reader import Reader
from ffprep.beton.sets import Place, files_of
from ffprep.beton.writing.conditions import accept_finished, differs_from_finished
from ffprep.beton.writing.writer import Writer
from ffprep.common.files.outputs import check_output, refuse_inputs
from ffprep.errors import OptionError
from ffprep.text.blocks.block_source import BlockSource
from ffprep.text.blocks.blocks import TokenBlocks, open_blocks, source_facts
from ffprep.text.blocks.part_files import LENGTH, Part, Statistics
from ffprep.text.tokens.vocabulary import Tokens


class JoinedBlocks(BlockSource):
    """The blocks of several files as one source. Streams are joined and cut anew; padded blocks stay what they are.

    Parameters
    ----------
    files : sequence of TokenBlocks
    name : str
        What the source is called in messages.

    Raises
    ------
    OptionError
        The files have blocks of different lengths, or only some have padded ones.
    CorruptError
        The first file does not say how its tokens are numbered.
    SourceError
        Tokens that were left over after the last blocks do not make a block together, and there is no other.
    """

    def __init__(self, files: Sequence[TokenBlocks], name: str) -> None:
        first = files[0]
        for file in files[1:]:
            for what, one, other in (
                ("blocks of {} tokens", first.block, file.block),
                ("padded blocks: {}", first.padded, file.padded),
            ):
                if one != other:
                    raise OptionError(
                        f"{first.reader.path} has {what.format(one)}, {file.reader.path} has {what.format(other)}; "
                        "convert the text again with the same options"
                    )
        self._files = list(files)
        parts = [
            Part(
                file.reader.path,
                file.reader.path if file.padded else None,
                file.count * file.block + len(file.tail),
                Statistics(),
            )
            for file in files
        ]
        super().__init__(parts, first.vocabulary, first.block, name=name)

    def _read_part(self, number: int, start: int, count: int, lengths: bool) -> Tokens:
        file = self._files[number]
        field, dtype, each = ("length", LENGTH, 1) if lengths else ("tokens", file.dtype, file.block)
        stored, stop = file.count * each, start + count
        in_sample = file.per_sample * each
        pieces = [np.empty(0, dtype)]
        for sample in range(start // in_sample, -(-min(stop, stored) // in_sample)):
            values = file.reader.payload(field, sample).view(dtype)
            begin = sample * in_sample
            pieces.append(values[max(start - begin, 0) : min(stop, stored) - begin])
        if stop > stored:
            pieces.append(file.tail[max(start - stored, 0) : stop - stored])
        found: Tokens = np.concatenate(pieces)
        return found


def merge_files(paths: Place | Sequence[Place], out: str | os.PathLike[str], **options: Any) -> str:
    """Merge files of any kind: those with blocks of tokens by `merge_blocks`, others by ``beton.merge.merge``.

    Both describe the parameters and what is raised.

    Returns
    -------
    str
        What was written: ``1,200 samples``, or ``7,000 blocks of tokens``.
    """
    files = files_of(paths)
    for file in files:
        with Reader(file, check=False) as reader:
            if holds_blocks(reader):
                return f"{merge_blocks(files, out, **options):,} blocks of tokens"
            if "tokens" not in reader.fields:
                break
    return f"{merge(files, out, **options):,} samples"


def merge_blocks(
    paths: Place | Sequence[Place],
    out: str | os.PathLike[str],
    *,
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Join the tokens of several files of blocks into the blocks of a new file.

    The result has the blocks that converting all the texts at once would have given: the tokens that a file has after
    its last block are followed by the first tokens of the next file, and padding is at the very end alone.

    Parameters
    ----------
    paths : path, or a sequence of paths
        Files with blocks of the same length, or indexes of sets, folders or patterns.
    out : str or Path
    restart : bool
        Drop what an interrupted merge left, and begin anew.
    overwrite : bool
        Replace a finished file. Without it, the finished file of a merge of the same files is accepted.
    progress : callable, optional
        Called with (samples written, samples).

    Returns
    -------
    int
        Blocks written.

    Raises
    ------
    OptionError
        The files number their tokens differently or do not all say how, have other blocks, or another file is there.
    BetonError
        A file cannot be used.
    DecodeError
        A value changed since its file was written. What was merged is kept.
    """
    readers = [open_checked(file) for file in files_of(paths)]
    if not readers:
        raise OptionError("merge wants at least one file")
    check_local(readers)
    target = Path(out)
    refuse_inputs([target], [reader.path for reader in readers])
    opened = [open_blocks(reader) for reader in readers]
    check_same_numbering(readers)
    source = JoinedBlocks(opened, str(target))
    origins = [origin(reader) for reader in readers]
    manifest = merged_manifest(readers, origins)
    facts = source.manifest()
    if (counts := _statistics(opened)) is None:
        del facts["text"]
    else:
        facts["text"] = counts.as_dict()
    manifest.pop("fields", None)  # samples of another number of blocks
    manifest["source"] = {**manifest.get("source", {}), **facts}
    if target.exists() and not (overwrite or restart):
        check_output(target, overwrite=True)
        accept_finished(target, differs_from_finished(target, source.fields, manifest, None))
        return source.blocks
    with Writer(
        target, source.fields, len(source), manifest=manifest, resume=True, restart=restart, overwrite=overwrite
    ) as writer:
        check_continued(writer, origins)
        for index in range(writer.num_written, len(source)):
            values = zip(source.fields.values(), source.sample(index), strict=True)
            writer.write([field.encode(value) for field, value in values], source.sample_name(index))
            if progress is not None:
                progress(writer.num_written, len(source))
        writer.close()
    return source.blocks


def _statistics(files: Sequence[TokenBlocks]) -> Statistics | None:
    """Return the sums of what the files say of their texts, or None if one does not say it."""
    total = Statistics()
    try:
        for file in files:
            total.add(Statistics.from_dict(source_facts(file.reader)["text"]))
    except (KeyError, TypeError, AttributeError):
        return None
    return total

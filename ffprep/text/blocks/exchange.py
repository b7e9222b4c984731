"""Exports ``.beton`` files to the token files of other programs, and imports such files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.common.replacing import replacing
from ffprep.errors import ConversionError, CorruptError, OptionError, SourceError
from ffprep.fields import IntField, NDArrayField
from ffprep.text.blocks.blocks import open_blocks, source_facts
from ffprep.text.blocks.indexed import IndexedWriter, open_indexed, paths_of
from ffprep.text.blocks.part_files import Part, PartWriter, Statistics, TokenSink
from ffprep.text.tokens.vocabulary import Tokens, Vocabulary, fairseq, from_dict, from_manifest

if TYPE_CHECKING:
    from ffprep.beton import Reader

Ends = npt.NDArray[np.int64]
STEP = 1 << 22
"""Tokens that are processed at a time."""


@dataclass(frozen=True)
class Exported:
    """The files that an export wrote, and the number of sequences and tokens in them."""

    paths: tuple[Path, ...]
    sequences: int
    tokens: int


def runs(reader: Reader, vocabulary: Vocabulary) -> Iterator[tuple[Tokens, Ends]]:
    """Tokens of a file without padding, in runs; for each run, the number of tokens before each end of a sequence.

    Sequences are documents or, in files of rows, rows.
    """
    length = reader.fields.get("length")
    if isinstance(length, IntField):
        yield from _row_runs(reader)
        return
    for ids in open_blocks(reader).stream():
        yield ids, np.flatnonzero(ids == vocabulary.eos) + 1


def _row_runs(reader: Reader) -> Iterator[tuple[Tokens, Ends]]:
    field = reader.fields.get("tokens")
    if not isinstance(field, NDArrayField) or field.dtype != np.dtype("<u2") or len(field.shape) != 1:
        raise OptionError(f"{reader.path}: no rows or blocks of 16-bit tokens to export")
    lengths = reader.column("length")
    if len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= field.shape[0]:
        raise CorruptError(f"{reader.path}: lengths go from {lengths.min()} to {lengths.max()} of {field.shape[0]}")
    for index in range(reader.num_samples):
        size = int(lengths[index])
        yield reader.payload("tokens", index).view("<u2")[:size], np.array([size])


def renumbering(old: Vocabulary, new: Vocabulary) -> npt.NDArray[np.int32]:
    """The new id of every old one, as an array of shape (65536,) with -1 for ids that have none."""
    table = np.full(65536, -1, np.int32)
    known = np.flatnonzero(old.inverse >= 0)
    words = new.table[old.inverse[known]].astype(np.int32)
    table[known] = words if new.unk is None else np.where(words == new.unk, -1, words)
    names = new.specials
    for name, number in old.specials.items():
        if name in names:
            table[number] = names[name]
    table[old.eos] = new.eos
    return table


def _renumbered(
    found: Iterator[tuple[Tokens, Ends]], old: Vocabulary, new: Vocabulary | None
) -> Iterator[tuple[Tokens, Ends]]:
    table = renumbering(old, new) if new is not None and not new.same_as(old) else None
    for ids, ends in found:
        if table is None:
            yield ids, ends
            continue
        changed = table[ids]
        if (changed < 0).any():
            lost = int(ids[np.flatnonzero(changed < 0)[0]])
            raise ConversionError(
                f"token {lost} ({old.decode([lost], specials=True)!r}) has no number in the new order"
            )
        yield changed.astype(np.uint16), ends


def targets_of(reader: Reader, out: Path, form: str, numbering: Vocabulary | None = None) -> list[Path]:
    """The files that an export writes: ``form`` is ``fairseq``, and ``out`` their prefix, or ``flat``."""
    if form == "flat":
        return [out, out.with_name(out.name + ".json")]
    written = numbering or from_manifest(source_facts(reader).get("vocabulary"))
    return [*paths_of(out), *([out.parent / "dict.txt"] if written.kind != "gpt2" else [])]


def export_fairseq(
    reader: Reader, prefix: Path, numbering: Vocabulary | None = None, *, overwrite: bool = True
) -> Exported:
    """Write ``PREFIX.bin`` and ``PREFIX.idx`` with a sequence for each document or row, and a ``dict.txt``.

    Parameters
    ----------
    reader : Reader
        A file of blocks or rows.
    prefix : Path
        Path of the two files without their endings. The ``dict.txt`` is written in the same folder.
    numbering : Vocabulary, optional
        The ids to write, if not those of the file.
    overwrite : bool
        Whether other files may be replaced; those that have the same contents are left.

    Raises
    ------
    OptionError, ConversionError
    """
    vocabulary = from_manifest(source_facts(reader).get("vocabulary"))
    with IndexedWriter(prefix, overwrite=overwrite) as writer:
        for ids, ends in _renumbered(runs(reader, vocabulary), vocabulary, numbering):
            writer.write(ids, ends)
    written = numbering or vocabulary
    paths = [writer.bin_path, writer.idx_path]
    if written.kind != "gpt2":
        paths.append(write_dictionary(written, prefix.parent / "dict.txt", overwrite=overwrite))
    return Exported(tuple(paths), writer.sequences, writer.tokens)


def write_dictionary(vocabulary: Vocabulary, path: Path, *, overwrite: bool = True) -> Path:
    """Write a fairseq ``dict.txt`` with the vocabulary's numbering. All counts are 1, since they are unknown."""
    words = vocabulary.inverse[4 : vocabulary.size - 1]
    lines = [str(word) if word >= 0 else f"madeupword{place:04}" for place, word in enumerate(words.tolist())]
    if vocabulary.kind == "fairseq":
        lines[50256] = "50256"
    with replacing(path, overwrite=overwrite) as file:
        file.write("".join(f"{line} 1\n" for line in lines).encode())
    return path


def export_flat(reader: Reader, path: Path, numbering: Vocabulary | None = None, *, overwrite: bool = True) -> Exported:
    """Write all tokens to one file of little-endian uint16, as nanoGPT reads it, and their numbering to ``PATH.json``.

    Parameters
    ----------
    reader : Reader
        A file of blocks or rows.
    path : Path
        The file to write.
    numbering : Vocabulary, optional
        The ids to write, if not those of the file.
    overwrite : bool
        As in `export_fairseq`.
    """
    vocabulary = from_manifest(source_facts(reader).get("vocabulary"))
    sequences = tokens = 0
    with replacing(path, overwrite=overwrite) as file:
        for ids, ends in _renumbered(runs(reader, vocabulary), vocabulary, numbering):
            file.write(np.ascontiguousarray(ids, "<u2").data)
            sequences += len(ends)
            tokens += len(ids)
    record = {"dtype": "<u2", "tokens": tokens, "vocabulary": (numbering or vocabulary).manifest()}
    facts = path.with_name(path.name + ".json")
    with replacing(facts, overwrite=overwrite) as file:
        file.write(f"{json.dumps(record)}\n".encode())
    return Exported((path, facts), sequences, tokens)


# import


def recorded_vocabulary(source: Path, directory: Path | None = None) -> Vocabulary | None:
    """The numbering of a token file, as an export's ``PATH.json`` or fairseq's ``dict.txt`` in its folder tells it."""
    facts = source.with_name(source.name + ".json")
    if facts.is_file():
        try:
            record = json.loads(facts.read_text())["vocabulary"]
        except (ValueError, KeyError, TypeError):
            raise SourceError(f"{facts}: does not say how the tokens are numbered; give --numbering") from None
        return from_manifest(record, directory)
    if paths_of(source)[1].is_file() and (source.parent / "dict.txt").is_file():
        found = from_dict(source.parent / "dict.txt", directory)
        plain = fairseq(directory)
        return plain if np.array_equal(found.table, plain.table) and found.size == plain.size else found
    return None


def import_parts(source: Path, vocabulary: Vocabulary, folder: Path, padded: int = 0) -> list[Part]:
    """Write the tokens of fairseq's files, or of a flat file, as a part.

    In fairseq's files, ``</s>`` is added after each sequence that does not end with it. A flat file is taken as it is;
    its separators divide it into documents.

    Parameters
    ----------
    source : Path
        ``PREFIX``, ``PREFIX.bin`` or ``PREFIX.idx`` of fairseq's files, or a flat file of uint16.
    vocabulary : Vocabulary
        The numbering of the tokens.
    folder : Path
        Folder for the part.
    padded : int
        As in ``Settings``.

    Raises
    ------
    SourceError
        When the files are damaged or contain ids that the vocabulary does not have.
    """
    statistics = Statistics()
    eos = vocabulary.eos
    with ExitStack() as stack:
        writer = PartWriter(folder, 0, vocabulary, padded, stack)
        open_tokens = 0
        for ids, ends in _token_runs(source, eos):
            low, high = (int(ids.min()), int(ids.max())) if len(ids) else (0, 0)
            if low < 0 or high >= vocabulary.size:
                bad = low if low < 0 else high
                raise SourceError(f"{source}: holds the id {bad}; the numbering has {vocabulary.size}; see --numbering")
            tokens, stops = _separated(ids.astype(np.uint16), ends, eos)
            open_tokens = _give(writer.sink, tokens, stops, open_tokens)
            statistics.documents += len(stops)
            statistics.tokens += len(tokens)
        statistics.documents += open_tokens > 0
        if open_tokens and padded:
            writer.sink.end()
            statistics.tokens += 1
        writer.finish()
    return [writer.part(statistics)]


def _token_runs(source: Path, eos: int) -> Iterator[tuple[npt.NDArray[Any], Ends | None]]:
    """Tokens in runs, with the ends of sequences; these are None if only separators show where documents end."""
    bin_path, idx_path = paths_of(source)
    if idx_path.is_file():
        yield from open_indexed(bin_path).runs(STEP)
        return
    if not source.is_file():
        raise SourceError(f"{source}: no such file of tokens")
    size = source.stat().st_size
    if size % 2:
        raise SourceError(f"{source}: {size:,} bytes are no whole number of 16-bit tokens")
    with source.open("rb") as file:
        while data := file.read(2 * STEP):
            yield np.frombuffer(data, "<u2"), None


def _separated(ids: Tokens, ends: Ends | None, eos: int) -> tuple[Tokens, Ends]:
    """The tokens with a separator at the end of each document, and the positions of the separators."""
    if ends is None:
        return ids, np.flatnonzero(ids == eos)
    sizes = np.diff(ends, prepend=0)
    lacking = (sizes == 0) | (ids[np.maximum(ends - 1, 0)] != eos if len(ids) else True)
    if lacking.any():
        ids = np.insert(ids, ends[lacking], eos)
        ends = ends + np.cumsum(lacking)
    return ids, ends - 1


def _give(sink: TokenSink, ids: Tokens, stops: Ends, open_tokens: int) -> int:
    """Put tokens into a sink; documents that began in an earlier run or continue in the next one are put as pieces.

    Parameters
    ----------
    sink : TokenSink
    ids : (n,) uint16
    stops : (m,) int64
        Positions of the separators.
    open_tokens : int
        Tokens of the last document so far, if an earlier run did not end it.

    Returns
    -------
    int
        The same for the next run.
    """
    start = 0
    if open_tokens and len(stops):
        start = int(stops[0]) + 1
        sink.piece(ids[: start - 1])
        sink.end()
        stops = stops[1:]
        open_tokens = 0
    whole = int(stops[-1]) + 1 if len(stops) else start
    if len(stops):
        sink.documents(ids[start:whole], stops - start)
    if whole < len(ids):
        sink.piece(ids[whole:])
    return open_tokens + len(ids) - whole

"""Exports ``.beton`` files to the token files of other programs, and imports such files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.common.files.replacing import naming, replacing
from ffprep.errors import ConversionError, CorruptError, OptionError, SourceError
from ffprep.fields import IntField, NDArrayField
from ffprep.text.blocks.blocks import TOKENS, open_blocks, source_facts
from ffprep.text.blocks.flat import DTYPES, STEP, flat_runs
from ffprep.text.blocks.indexed import IndexedWriter, is_megatron, open_indexed, paths_of
from ffprep.text.blocks.part_files import Part, PartWriter, Statistics, TokenSink
from ffprep.text.tokens.fairseq_dict import from_dict, write_dictionary
from ffprep.text.tokens.vocabulary import Numbering, Tokens, Vocabulary, fairseq, from_manifest

if TYPE_CHECKING:
    from ffprep.beton import Reader

Ends = npt.NDArray[np.int64]


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
    if not isinstance(field, NDArrayField) or field.dtype not in TOKENS or len(field.shape) != 1:
        raise OptionError(f"{reader.path}: no rows or blocks of tokens to export")
    lengths = reader.column("length")
    if len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= field.shape[0]:
        raise CorruptError(f"{reader.path}: lengths go from {lengths.min()} to {lengths.max()} of {field.shape[0]}")
    for index in range(reader.num_samples):
        size = int(lengths[index])
        yield reader.payload("tokens", index).view(field.dtype)[:size], np.array([size])


def renumbering(old: Numbering, new: Numbering) -> npt.NDArray[np.int32]:
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
    table = None
    if new is not None and not new.same_as(old):
        if not isinstance(old, Numbering) or not isinstance(new, Numbering):
            raise OptionError(
                f"tokens of {old.label} cannot be turned into those of {new.label}; convert the text anew"
            )
        table = renumbering(old, new)
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
        yield changed.astype(new.dtype if new is not None else ids.dtype), ends


def targets_of(reader: Reader, out: Path, form: str, numbering: Vocabulary | None = None) -> list[Path]:
    """The files that an export writes: ``form`` is ``fairseq``, and ``out`` their prefix, or ``flat``.

    Raises
    ------
    OptionError
        The file has no tokens.
    """
    if "tokens" not in reader.fields:
        raise OptionError(f"{reader.path}: has no field of tokens, but {', '.join(reader.fields)}; give a file of text")
    if form == "flat":
        return [out, out.with_name(out.name + ".json")]
    written = numbering or from_manifest(source_facts(reader).get("vocabulary"))
    numbered = isinstance(written, Numbering) and written.kind != "gpt2"
    return [*paths_of(out), *([out.parent / "dict.txt"] if numbered else [])]


def _runs_of_all(readers: Sequence[Reader], vocabulary: Vocabulary) -> Iterator[tuple[Tokens, Ends]]:
    for reader in readers:
        own = from_manifest(source_facts(reader).get("vocabulary"))
        if not own.same_as(vocabulary):
            raise OptionError(
                f"the tokens of {readers[0].path} are numbered as {vocabulary.label}, those of {reader.path} as "
                f"{own.label}; export them separately"
            )
        yield from runs(reader, vocabulary)


def export_fairseq(
    readers: Reader | Sequence[Reader], prefix: Path, numbering: Vocabulary | None = None, *, overwrite: bool = True
) -> Exported:
    """Write ``PREFIX.bin`` and ``PREFIX.idx`` with a sequence for each document or row, and a ``dict.txt``.

    There is a ``dict.txt`` for GPT-2's tokens alone: fairseq's dictionary says nothing of other tokenizers.

    Parameters
    ----------
    readers : Reader, or sequence of Reader
        A file of blocks or rows, or several, whose sequences follow one another.
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
    files = list(readers) if isinstance(readers, Sequence) else [readers]
    vocabulary = from_manifest(source_facts(files[0]).get("vocabulary"))
    with IndexedWriter(prefix, (numbering or vocabulary).dtype, overwrite=overwrite) as writer:
        for ids, ends in _renumbered(_runs_of_all(files, vocabulary), vocabulary, numbering):
            writer.write(ids, ends)
    written = numbering or vocabulary
    paths = [writer.bin_path, writer.idx_path]
    if isinstance(written, Numbering) and written.kind != "gpt2":
        paths.append(write_dictionary(written, prefix.parent / "dict.txt", overwrite=overwrite))
    return Exported(tuple(paths), writer.sequences, writer.tokens)


def export_flat(
    readers: Reader | Sequence[Reader], path: Path, numbering: Vocabulary | None = None, *, overwrite: bool = True
) -> Exported:
    """Write all tokens to one file, as nanoGPT reads it, and what they are to ``PATH.json``.

    They are little-endian uint16, or int32 if the vocabulary has more than 65,536 ids.

    Parameters
    ----------
    readers : Reader, or sequence of Reader
        A file of blocks or rows, or several, whose sequences follow one another.
    path : Path
        The file to write.
    numbering : Vocabulary, optional
        The ids to write, if not those of the file.
    overwrite : bool
        As in `export_fairseq`.
    """
    files = list(readers) if isinstance(readers, Sequence) else [readers]
    vocabulary = from_manifest(source_facts(files[0]).get("vocabulary"))
    sequences = tokens = 0
    dtype = (numbering or vocabulary).dtype
    with replacing(path, overwrite=overwrite) as file:
        for ids, ends in _renumbered(_runs_of_all(files, vocabulary), vocabulary, numbering):
            file.write(np.ascontiguousarray(ids, dtype).data)
            sequences += len(ends)
            tokens += len(ids)
    record = {"dtype": dtype.str, "tokens": tokens, "vocabulary": (numbering or vocabulary).manifest()}
    facts = path.with_name(path.name + ".json")
    with replacing(facts, overwrite=overwrite) as file:
        file.write(f"{json.dumps(record)}\n".encode())
    return Exported((path, facts), sequences, tokens)


# import


def recorded_vocabulary(source: Path, directory: Path | None = None) -> Vocabulary | None:
    """The vocabulary of a token file, as an export's ``PATH.json`` or fairseq's ``dict.txt`` in its folder tells it.

    Megatron's files are not fairseq's: a ``dict.txt`` beside them says nothing.
    """
    record = recorded_facts(source)
    if record is not None:
        return from_manifest(record.get("vocabulary"), directory)
    if not paths_of(source)[1].is_file() or not (source.parent / "dict.txt").is_file() or is_megatron(source):
        return None
    found, plain = from_dict(source.parent / "dict.txt", directory), fairseq(directory)
    return plain if found.same_as(plain) else found


def recorded_facts(source: Path) -> dict[str, Any] | None:
    """What an export recorded beside a flat file, in ``PATH.json``; None if there is no such file."""
    facts = source.with_name(source.name + ".json")
    if not facts.is_file():
        return None
    try:
        with naming(facts):
            record = json.loads(facts.read_text(encoding="utf-8"))
        if isinstance(record["vocabulary"], dict):
            return dict(record)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise SourceError(f"{facts}: does not say how the tokens are numbered; remove it and give --vocabulary")


def flat_dtype(source: Path) -> np.dtype[Any] | None:
    """The type of a flat file's numbers, as an export's ``PATH.json`` tells it."""
    name = (recorded_facts(source) or {}).get("dtype")
    for dtype in DTYPES.values():
        if dtype.str == name:
            return dtype
    return None


def import_parts(
    source: Path, vocabulary: Vocabulary, folder: Path, padded: int = 0, dtype: np.dtype[Any] | None = None
) -> list[Part]:
    """Write the tokens of fairseq's or Megatron's files, or of a flat file, as a part.

    In fairseq's files, ``</s>`` is added after each sequence that does not end with it, in Megatron's after each
    document. A flat file is taken as it is; its separators divide it into documents.

    Parameters
    ----------
    source : Path
        ``PREFIX``, ``PREFIX.bin`` or ``PREFIX.idx`` of fairseq's or Megatron's files, or a flat file.
    vocabulary : Vocabulary
        The numbering of the tokens.
    folder : Path
        Folder for the part.
    padded : int
        As in ``Settings``.
    dtype : numpy dtype, optional
        Type of a flat file's numbers, one of ``flat.DTYPES``; by default what `flat_dtype` finds, else uint16.

    Raises
    ------
    SourceError
        When the files are damaged, are of another type, or contain ids that the vocabulary does not have.
    """
    statistics = Statistics()
    eos = vocabulary.eos
    with ExitStack() as stack:
        writer = PartWriter(folder, 0, vocabulary, padded, stack)
        open_tokens = 0
        read = 0
        for ids, ends in _token_runs(source, dtype):
            _check_ids(source, ids, read, vocabulary, ends is None)
            read += len(ids)
            tokens, stops = _separated(ids.astype(vocabulary.dtype), ends, eos)
            open_tokens = _give(writer.sink, tokens, stops, open_tokens)
            statistics.documents += len(stops)
            statistics.tokens += len(tokens)
        statistics.documents += open_tokens > 0
        if open_tokens and padded:
            writer.sink.end()
            statistics.tokens += 1
        writer.finish()
    return [writer.part(statistics)]


def _check_ids(source: Path, ids: npt.NDArray[Any], before: int, vocabulary: Vocabulary, flat: bool) -> None:
    """Check that a vocabulary has the ids; `before` tokens precede them."""
    low, high = (int(ids.min()), int(ids.max())) if len(ids) else (0, 0)
    if low < 0 or high >= vocabulary.size:
        bad = low if low < 0 else high
        place = before + int(np.flatnonzero(ids == bad)[0])
        hint = ", or the type of the numbers with --dtype" if flat else ""
        raise SourceError(
            f"{source}: token {place:,} is {bad}; the {vocabulary.label} vocabulary has {vocabulary.size} ids; "
            f"name the right one with --vocabulary or --tokenizer{hint}"
        )


def _token_runs(source: Path, dtype: np.dtype[Any] | None) -> Iterator[tuple[npt.NDArray[Any], Ends | None]]:
    """Tokens in runs, with the ends of documents; these are None if only separators show where documents end."""
    bin_path, idx_path = paths_of(source)
    if idx_path.is_file():
        yield from open_indexed(bin_path).runs(STEP)
        return
    dtype = dtype if dtype is not None else flat_dtype(source)
    for ids in flat_runs(source, dtype or DTYPES["uint16"], given=dtype is not None):
        yield ids, None


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
    ids : (n,) of the vocabulary's dtype
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

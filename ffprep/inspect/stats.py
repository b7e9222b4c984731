"""The table of its data that a paper prints: examples, images, captions per image, lengths of captions."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.checksums import open_checked
from ffprep.beton.reader import Reader
from ffprep.beton.sets import SetFile
from ffprep.beton.shared import count_images
from ffprep.common.formatting import one_line, size_text
from ffprep.errors import FfprepError, OptionError
from ffprep.text.blocks.blocks import open_blocks, source_facts
from ffprep.text.tokens.vocabulary import from_manifest

SAMPLED = 200_000
"""How many captions have their words counted, and blocks their marks; of more, some at even distances are taken."""
_CHUNK = 4096
UNLABELLED = -1
_HEADS = {"words": "mean words", "tokens": "mean tokens"}


@dataclass(frozen=True)
class Stats:
    """Counts of one file, or of several together.

    Attributes
    ----------
    file : str
    samples : int or None
        What a loader gives one of at a time; None for several files whose samples are not alike.
    images : int or None
        Distinct images, shared ones counted once.
    pairs : int or None
        Captions, each with its image.
    blocks : int or None
        Blocks of tokens.
    rows : int or None
        Texts, or pairs of texts, that are a sample each.
    captions_per_image : float or None
    words, tokens : float or None
        Average length of a caption: words between blanks, and tokens. For blocks and rows, the average number of tokens
        in one. Tokens are always counted without marks and padding.
    classes : int or None
        Distinct labels; None if no sample has one.
    bytes : int
        Size of the file.
    """

    file: str
    samples: int | None
    images: int | None
    pairs: int | None
    blocks: int | None
    rows: int | None
    captions_per_image: float | None
    words: float | None
    tokens: float | None
    classes: int | None
    bytes: int

    @property
    def kind(self) -> str:
        """What the samples are; only samples of one kind can be added."""
        if self.pairs is not None:
            return "pairs" if self.pairs == self.samples else "grouped"
        return "blocks" if self.blocks is not None else "rows" if self.rows is not None else "samples"


def stats_of(path: str | os.PathLike[str]) -> Stats:
    """Count the samples of one .beton file.

    Raises
    ------
    BetonError
        The file is no .beton file, or is damaged.
    """
    with open_checked(path) as reader:
        images = pairs = blocks = rows = classes = None
        words = tokens = None
        samples = reader.num_samples
        if "image" in reader.fields and reader.fields["image"].type_id == 2:
            images = count_images(reader)
        lengths = _caption_lengths(reader)
        if lengths is not None and images is not None:
            pairs = len(lengths)
            tokens = float(np.maximum(lengths - _marks(reader, False), 0).mean()) if pairs else None
            words = _average_words(reader)
        elif images is None and "blocks" in source_facts(reader):
            samples, tokens = _blocks(reader)
            blocks = samples
        elif images is None and "tokens" in reader.fields:
            rows = samples
            if lengths is None:
                tokens = float(np.prod(getattr(reader.fields["tokens"], "shape", (0,))))
            elif samples:
                tokens = float(np.maximum(lengths - _row_marks(reader), 0).mean())
        if "label" in reader.fields and reader.fields["label"].type_id == 1:
            labels = np.unique(reader.column("label"))
            classes = int(np.count_nonzero(labels != UNLABELLED)) or None
        return Stats(
            reader.path.name,
            samples,
            images,
            pairs,
            blocks,
            rows,
            pairs / images if pairs is not None and images else None,
            words,
            tokens,
            classes,
            reader.head.size,
        )


def _row_marks(reader: Reader) -> int:
    """How many marks each row has: ``<s> a </s>`` or ``<s> a </s> b </s>``; none if the file does not say."""
    facts = source_facts(reader).get("rows")
    return _marks(reader, bool(facts.get("pair"))) if isinstance(facts, dict) else 0


def _marks(reader: Reader, pair: bool) -> int:
    """How many marks the vocabulary puts around a text, or around two; as GPT-2's if it is not known."""
    try:
        return sum(map(len, from_manifest(source_facts(reader).get("vocabulary")).marks(pair)))
    except FfprepError:
        return 3 if pair else 2


def _blocks(reader: Reader) -> tuple[int, float]:
    """Number of token blocks, and mean tokens in a block without padding and marks."""
    blocks = open_blocks(reader)
    try:
        vocabulary = blocks.vocabulary
    except FfprepError:
        lengths = blocks.lengths()
        return blocks.count, float(blocks.block if lengths is None else lengths.mean())
    marks = [mark for mark in (vocabulary.bos, vocabulary.pad, vocabulary.eos, vocabulary.mask) if mark is not None]
    chosen = np.arange(0, blocks.count, max(1, -(-blocks.count // SAMPLED)))
    texts = 0
    for start in range(0, len(chosen), _CHUNK):
        texts += int(np.isin(blocks.rows(chosen[start : start + _CHUNK]), marks, invert=True).sum())
    return blocks.count, texts / len(chosen) if len(chosen) else 0.0


def _caption_lengths(reader: Reader) -> npt.NDArray[np.int64] | None:
    """Length of every caption (pairs or grouped) or text in tokens, including the marks at its ends."""
    if "length" not in reader.fields:
        return None
    if reader.fields["length"].type_id == 1:
        return np.asarray(reader.column("length"), np.int64)
    if "captions" not in reader.fields or reader.fields["length"].type_id != 4:
        return None
    counts = np.asarray(reader.column("captions"))
    rows = [np.asarray(reader.value("length", i))[: int(n)] for i, n in enumerate(counts)]
    return np.concatenate(rows).astype(np.int64) if rows else np.zeros(0, np.int64)


def _average_words(reader: Reader) -> float | None:
    """Mean words of a caption, from its text or else from its tokens; None if neither can be read."""
    step = max(1, -(-reader.num_samples // SAMPLED))
    text = _stored_text(reader) if "caption" in reader.fields else _decoded_text(reader)
    if text is None or not reader.num_samples:
        return None
    words = captions = 0
    try:
        for i in range(0, reader.num_samples, step):
            for caption in text(i):
                words += len(caption.split())
                captions += 1
    except FfprepError:
        return None
    return words / captions if captions else None


def _stored_text(reader: Reader) -> Callable[[int], Sequence[str]]:
    def text(i: int) -> Sequence[str]:
        value = reader.value("caption", i)
        return value if isinstance(value, list) else [bytes(value).decode("utf-8", "replace")]

    return text


def _decoded_text(reader: Reader) -> Callable[[int], Sequence[str]] | None:
    source = (reader.manifest or {}).get("source")
    try:
        vocabulary = from_manifest(source.get("vocabulary") if isinstance(source, dict) else None)
        vocabulary.decode(np.zeros(0, np.uint16))
    except FfprepError:
        return None

    def text(i: int) -> Sequence[str]:
        tokens, length = reader.value("tokens", i), reader.value("length", i)
        if np.ndim(length) == 0:
            return [vocabulary.decode(tokens[: int(length)])]
        return [vocabulary.decode(row[: int(n)]) for row, n in zip(tokens, length, strict=True) if n]

    return text


def total(rows: Sequence[Stats]) -> Stats:
    """The counts of all files together, as far as they are of the same things.

    Averages are weighted by captions, or by samples if there are no captions.
    """

    def add(name: str) -> int | None:
        known = [getattr(row, name) for row in rows if getattr(row, name) is not None]
        return sum(known) if known else None

    def average(name: str) -> float | None:
        known = [row for row in rows if getattr(row, name) is not None]
        if len({"captions" if row.pairs is not None else row.kind for row in known}) > 1:
            return None
        weight = sum(row.pairs or row.samples or 0 for row in known)
        return sum(getattr(row, name) * (row.pairs or row.samples or 0) for row in known) / weight if weight else None

    with_pairs = [row for row in rows if row.pairs is not None and row.images]
    images = sum(row.images or 0 for row in with_pairs)
    return Stats(
        "total",
        add("samples") if len({row.kind for row in rows}) == 1 else None,
        add("images"),
        add("pairs"),
        add("blocks"),
        add("rows"),
        sum(row.pairs or 0 for row in with_pairs) / images if images else None,
        average("words"),
        average("tokens"),
        None,
        sum(row.bytes for row in rows),
    )


def stats_of_set(files: Sequence[SetFile]) -> Stats:
    """Count the samples of a file, or of the files of a set together.

    Raises
    ------
    BetonError
        A file is no .beton file, or is damaged.
    """
    rows = [stats_of(file) for file in files]
    if len(rows) == 1:
        return rows[0]
    name = files[0].index.name if files[0].index is not None else f"{rows[0].file} and {len(rows) - 1} more"
    return replace(total(rows), file=name)


def render(rows: Sequence[Stats], form: str) -> str:
    """The table as ``text``, ``markdown``, ``csv`` or ``json``.

    Raises
    ------
    OptionError
        The form is none of these.
    """
    if form == "json":
        return json.dumps([asdict(row) for row in rows], indent=1)
    if form == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, [field.name for field in fields(Stats)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
        return out.getvalue().rstrip("\n")
    heads = [_HEADS.get(field.name, field.name.replace("_", " ")) for field in fields(Stats)]
    used = [i for i, field in enumerate(fields(Stats)) if any(getattr(row, field.name) is not None for row in rows)]
    cells = [[heads[i] for i in used]]
    cells += [[_cell(fields(Stats)[i].name, getattr(row, fields(Stats)[i].name)) for i in used] for row in rows]
    if form == "markdown":
        rule = ["---"] + ["---:"] * (len(used) - 1)
        return "\n".join(f"| {' | '.join(line)} |" for line in (cells[0], rule, *cells[1:]))
    if form == "text":
        widths = [max(len(line[i]) for line in cells) for i in range(len(used))]
        return "\n".join(_line(line, widths) for line in cells)
    raise OptionError(f"form {form!r}: there are text, markdown, csv and json")


def _line(line: Sequence[str], widths: Sequence[int]) -> str:
    first = line[0].ljust(widths[0])
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "bytes":
        return size_text(value)
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else one_line(value)

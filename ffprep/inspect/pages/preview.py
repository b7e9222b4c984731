"""Some samples of a .beton file as a page that needs nothing else, or as a contact sheet."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.beton.checksums import open_checked
from ffprep.beton.reader import Reader
from ffprep.beton.sets import SetFile
from ffprep.common.files.replacing import write_file
from ffprep.errors import OptionError
from ffprep.inspect.histograms import histograms_of
from ffprep.inspect.info import describe_set, info_text
from ffprep.inspect.pages.cards import Card, block_card, card_of
from ffprep.inspect.pages.figures import CROPS, SCALES, Figure, batches_figure, crops_figure
from ffprep.inspect.pages.originals import Originals
from ffprep.inspect.pages.page import page_of
from ffprep.inspect.pages.sheet import check_sheet_name, write_sheet
from ffprep.inspect.pages.values import Words
from ffprep.text.blocks.blocks import TokenBlocks, open_blocks, source_facts

MANY, SIDE = 100, 256
"""With more samples than `MANY`, pictures are shrunk to `SIDE` pixels, so that a page of 2,000 stays below 30 MB."""
LARGEST = 20_000_000
"""Bytes of pictures beyond which they are shrunk as well."""
SAMPLES = "samples"
_FIGURE_IMAGES = {CROPS: 4}
_BATCH = 16


@dataclass(frozen=True)
class PreviewOptions:
    """What a page shows.

    Attributes
    ----------
    count : int
        Samples, spread evenly over the file.
    indices : sequence of int, optional
        The samples to show instead.
    seed : int, optional
        Choose `count` samples at random instead, with this seed.
    side : int, optional
        Shrink pictures whose longer side has more pixels; by default to 256 where more than 100 samples are shown, or
        more than 20 MB.
    show : sequence of str
        ``samples``, ``crops``, or presets and policies of ``figures``.
    scales : sequence of (float, float)
        Of the random crops.
    originals : bool
        Whether to write the originals of shrunk pictures into a folder beside the page.
    words : mapping of str to str
        What classes are called in words.
    boxes : {'xyxy', 'xywh', 'cxcywh'}
        How boxes are stored.
    overwrite : bool
        Whether other files may be replaced; the same page is left.
    """

    count: int = 24
    indices: Sequence[int] | None = None
    seed: int | None = None
    side: int | None = None
    show: Sequence[str] = (SAMPLES,)
    scales: Sequence[tuple[float, float]] = SCALES
    originals: bool = True
    words: Mapping[str, str] = field(default_factory=dict)
    boxes: str = "xyxy"
    overwrite: bool = True


@dataclass(frozen=True)
class Shown:
    """What was written.

    Attributes
    ----------
    samples : int
    folder : Path or None
        Where the originals are, if they are not in the page.
    """

    samples: int
    folder: Path | None = None


def write_preview(
    path: Path | Sequence[SetFile], out: Path | None, options: PreviewOptions, png: Path | None = None
) -> Shown:
    """Write the page, a contact sheet, or both.

    Parameters
    ----------
    path : Path, or sequence of SetFile
        The .beton file, or those of a set.
    out : Path, optional
        The HTML file to make. Originals go to a folder beside it, ``X_files`` for ``X.html``.
    options : PreviewOptions
    png : Path, optional
        The picture to make.

    Raises
    ------
    OptionError
        There is no such sample, or the file does not have what is to be shown.
    BetonError
        A file cannot be used.
    """
    files = [SetFile(path)] if isinstance(path, Path) else list(path)
    if png is not None:
        check_sheet_name(png)
    facts = describe_set(files)
    title, folder = Path(facts["path"]).name, None
    with contextlib.ExitStack() as stack:
        samples = _Samples(files, facts, stack)
        chosen = samples.choose(options)
        figures = _figures(files, chosen, options)
        originals = stack.enter_context(Originals(out or Path(title), options.originals and out is not None))
        cards = []
        side = options.side
        if side is None and (len(chosen) > MANY or samples.bytes_of_pictures(chosen) > LARGEST):
            side = SIDE
        for number, index in enumerate(chosen if SAMPLES in options.show else []):
            cards.append(samples.card(index, options, side))
            originals.take(number, cards[-1])
        if out is not None:
            page = page_of(title, info_text(facts), cards, histograms_of(files), figures)
            write_file(out, page, overwrite=options.overwrite)
            folder = originals.keep()
        if png is not None:
            write_sheet(png, title, cards, figures, overwrite=options.overwrite)
    return Shown(len(chosen), folder)


class _Samples:
    """The samples of all files of a set; in files of token blocks a sample is a block."""

    def __init__(self, files: Sequence[SetFile], facts: dict[str, Any], stack: contextlib.ExitStack) -> None:
        self.files, self.path, self.stack = files, facts["path"], stack
        self.opened: dict[int, tuple[Reader, TokenBlocks | None]] = {}
        self.words: dict[int, Words] = {}
        first, _ = self._file(0)
        if "blocks" in source_facts(first):
            sizes = [self._count(number) for number in range(len(files))]
        else:
            sizes = [one["samples"] for one in facts.get("files", [facts])]
        self.starts = np.cumsum([0, *sizes])
        self.total = int(self.starts[-1])

    def choose(self, options: PreviewOptions) -> list[int]:
        """The samples to show."""
        count = min(options.count, self.total)
        if options.indices is not None:
            wrong = next((index for index in options.indices if not 0 <= index < self.total), None)
            if wrong is not None:
                raise OptionError(f"{self.path}: has no sample {wrong}; there are {self.total:,}, from 0")
            return list(options.indices)
        if options.seed is not None:
            return sorted(np.random.default_rng(options.seed).choice(self.total, count, replace=False).tolist())
        return [int(one) for one in np.unique(np.linspace(0, max(0, self.total - 1), count).astype(int))]

    def bytes_of_pictures(self, chosen: Sequence[int]) -> int:
        """Bytes of all images of the chosen samples."""
        total = 0
        for file, own in map(self._place, chosen):
            reader, _ = self._file(file)
            for name, kind in reader.fields.items():
                if kind.type_id == 2:
                    total += int(reader.extents(name)[1][own])
        return total

    def card(self, index: int, options: PreviewOptions, side: int | None) -> Card:
        """The card of one sample."""
        file, own = self._place(index)
        reader, blocks = self._file(file)
        words = self.words.get(file)
        if words is None:
            words = self.words[file] = Words(reader, options.words)
        if blocks is None:
            return card_of(reader, own, words, side, options.boxes)
        group, row = divmod(own, blocks.per_sample)
        tokens = reader.payload("tokens", group).view(blocks.dtype).reshape(-1, blocks.block)
        return block_card(own, tokens[row], words)

    def _count(self, file: int) -> int:
        reader, blocks = self._file(file)
        return reader.num_samples if blocks is None else blocks.count

    def _place(self, index: int) -> tuple[int, int]:
        file = int(np.searchsorted(self.starts, index, side="right")) - 1
        return file, index - int(self.starts[file])

    def _file(self, number: int) -> tuple[Reader, TokenBlocks | None]:
        if number not in self.opened:
            reader = self.stack.enter_context(open_checked(self.files[number]))
            blocks = open_blocks(reader) if "blocks" in source_facts(reader) else None
            self.opened[number] = (reader, blocks)
        return self.opened[number]


def _figures(files: Sequence[SetFile], chosen: Sequence[int], options: PreviewOptions) -> list[Figure]:
    found = []
    seed = options.seed or 0
    for what in options.show:
        if what == CROPS:
            found.append(crops_figure(files, chosen[: _FIGURE_IMAGES[CROPS]], options.scales, seed=seed))
        elif what != SAMPLES:
            found.append(batches_figure(files, chosen[:_BATCH], what, seed=seed))
    return found

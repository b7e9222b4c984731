"""Converting a corpus of documents to a .beton file of token blocks: tokenised in parts, which are then joined."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffprep.common.formatting import duration_text, size_text
from ffprep.convert.conversion import convert, processors
from ffprep.convert.progress import ProgressDisplay, SilentProgress
from ffprep.convert.report import ConversionReport
from ffprep.errors import OptionError
from ffprep.sources.openwebtext import Corpus
from ffprep.text.blocks.block_source import BlockSource
from ffprep.text.blocks.part_files import Part, Statistics
from ffprep.text.blocks.parts import Settings, make_parts
from ffprep.text.tokens.vocabulary import Vocabulary

SMALLEST_BLOCK, LARGEST_BLOCK = 2, 1 << 16


@dataclass(frozen=True)
class CorpusReport:
    """What the conversion of a corpus did.

    Attributes
    ----------
    report : ConversionReport
        Report of writing the samples.
    statistics : Statistics
        Counts of the documents.
    blocks, block, per_sample : int
        Blocks in the file, tokens in each, blocks in a sample.
    tail : int
        Tokens after the last whole block, which are kept in the manifest.
    size : int
        Bytes of the file.
    seconds, tokenising : float
        Time in all, and for tokenising. Parts that an earlier run left took no time.
    """

    report: ConversionReport
    statistics: Statistics
    blocks: int
    block: int
    per_sample: int
    tail: int
    size: int
    seconds: float
    tokenising: float

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "documents": self.statistics.as_dict(),
            "blocks": self.blocks,
            "block": self.block,
            "blocks_per_sample": self.per_sample,
            "tail": self.tail,
            "file_size": self.size,
            "overhead": round(self.size / (2 * self.blocks * self.block) - 1, 5),
            "seconds": round(self.seconds, 3),
            "tokenising_seconds": round(self.tokenising, 3),
            "tokens_per_second": round(self.statistics.tokens / self.seconds, 1),
            "bytes_per_second": round(self.statistics.size / self.seconds, 1),
            "workers": self.report.workers,
        }

    def table(self) -> str:
        """The report as text for the screen."""
        s = self.statistics
        counts = [
            (s.documents, f"documents, {size_text(s.size)} of text, {s.tokens:,} tokens with separators"),
            (s.empty, "documents without text"),
            (s.outside, "documents outside the share"),
            (s.ignored, "files that are no text"),
            (s.bad, "rows that cannot be used"),
            (s.unknown, "tokens the dictionary lacks"),
            (s.cut_words, "cuts inside words of more than a million characters"),
            (s.removed.blank_lines, "blank lines removed"),
            (s.removed.newlines, "carriage returns made newlines"),
            (s.removed.nul, "NUL characters removed"),
            (s.removed.invalid, "invalid bytes replaced"),
            (s.removed.bom, "byte order marks removed"),
            (s.removed.utf16, "documents read as UTF-16"),
        ]
        lines = [f"  {count:>14,}  {what}" for count, what in counts if count]
        lines += [f"                    {name}: {reason}" for name, reason in s.bad_rows[:10]]
        extra = 100 * (self.size / (2 * self.blocks * self.block) - 1)
        lines.append(
            f"  {self.blocks:>14,}  blocks of {self.block}, {self.per_sample} a sample; "
            f"{size_text(self.size)} ({extra:+.2f} %)"
        )
        lines.append(f"  {self.tail:>14,}  tokens after the last block, kept in the manifest")
        rate = s.tokens / self.seconds
        lines.append(
            f"  {rate:>14,.0f}  tokens/s, {size_text(s.size / self.seconds)}/s in {duration_text(self.seconds)} "
            f"with {self.report.workers} worker{'s' * (self.report.workers != 1)}"
        )
        return "\n".join(lines)


def convert_corpus(
    corpus: Corpus,
    out: Path,
    vocabulary: Vocabulary,
    *,
    block: int = 192,
    padded: bool = False,
    per_sample: int | None = None,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_error: str = "raise",
    page_size: int | None = None,
    progress: Callable[[str, int, int], ProgressDisplay] = lambda label, total, done: SilentProgress(),
) -> CorpusReport:
    """Tokenise a corpus and write its blocks.

    While this runs, a folder ``OUT.parts`` beside the file holds the tokens of the units that are done; it needs as
    much disk space as the file. The file's bytes depend only on the corpus and the options.

    Parameters
    ----------
    corpus : Corpus
        The documents.
    out : Path
        The file to make.
    vocabulary : Vocabulary
        Numbering of the tokens.
    block : int
        Tokens in a block.
    padded : bool
        Cut blocks within documents and pad the last block of each. Otherwise each document is followed by a separator
        and the next document, and blocks run across documents.
    per_sample : int, optional
        Blocks in a sample; by default the number that makes the smallest file.
    workers : int, optional
        Threads that tokenise; by default one for each processor.
    resume : bool
        Use the parts that an interrupted conversion with the same options left.
    overwrite : bool
        Replace an existing file.
    on_error : {"raise", "skip"}
        What to do about table rows that cannot be used.
    page_size : int, optional
        As in ``Writer``.
    progress : callable
        Makes a ``ProgressDisplay`` from a label, the number of steps and how many are done.

    Raises
    ------
    SourceError
        Documents cannot be read, or there are fewer tokens than a block has.
    """
    if on_error not in ("raise", "skip"):
        raise OptionError(f"on_error is 'raise' or 'skip', not {on_error!r}")

    def parts(folder: Path, padding: int, count: int, shown: Callable[[str, int, int], ProgressDisplay]) -> list[Part]:
        settings = Settings(vocabulary, padding, corpus.share, on_error == "skip")
        with contextlib.closing(shown("tokenising", len(corpus.units), 0)) as bar:
            return make_parts(corpus.units, settings, folder, count, bar.update)

    return convert_parts(
        parts,
        corpus.name,
        corpus.facts,
        vocabulary,
        out=out,
        block=block,
        padded=padded,
        per_sample=per_sample,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
        page_size=page_size,
        progress=progress,
    )


def convert_parts(
    make: Callable[[Path, int, int, Callable[[str, int, int], ProgressDisplay]], list[Part]],
    name: str,
    facts: Mapping[str, Any],
    vocabulary: Vocabulary,
    *,
    out: Path,
    block: int = 192,
    padded: bool = False,
    per_sample: int | None = None,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    page_size: int | None = None,
    progress: Callable[[str, int, int], ProgressDisplay] = lambda label, total, done: SilentProgress(),
) -> CorpusReport:
    """Make parts and write their blocks.

    Parameters
    ----------
    make : callable
        Makes the parts, given the folder for them, the tokens to pad documents to (0: a stream), the number of workers
        and ``progress``.
    name : str
        Name of the data set.
    facts : mapping
        JSON values for the manifest.
    vocabulary, out, block, padded, per_sample, workers, resume, overwrite, page_size, progress
        As in ``convert_corpus``.
    """
    if not SMALLEST_BLOCK <= block <= LARGEST_BLOCK - 1:
        raise OptionError(f"block {block}: give {SMALLEST_BLOCK} to {LARGEST_BLOCK - 1} tokens")
    if out.exists() and not overwrite:
        raise OptionError(f"{out}: exists already; delete it or ask for overwriting")
    if not out.parent.is_dir():
        raise OptionError(f"{out.parent}: no such folder; make it first")
    count = processors(workers)
    begun = time.perf_counter()
    folder = out.with_name(out.name + ".parts")
    with _parts_folder(folder, resume):
        parts = make(folder, block if padded else 0, count, progress)
        tokenised = time.perf_counter()
        source = BlockSource(parts, vocabulary, block, per_sample, name, facts)
        report = convert(
            source,
            out,
            workers=count,
            resume=resume,
            overwrite=overwrite,
            page_size=page_size,
            progress=progress,
        )
    shutil.rmtree(folder, ignore_errors=True)
    return CorpusReport(
        report,
        source.statistics,
        source.blocks,
        block,
        source.per_sample,
        len(source.tail),
        out.stat().st_size,
        time.perf_counter() - begun,
        tokenised - begun,
    )


@contextlib.contextmanager
def _parts_folder(folder: Path, resume: bool) -> Iterator[None]:
    """The folder of parts, locked for this process, and emptied unless a conversion is resumed."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OptionError(f"{folder}: another conversion to this file is running") from None
        if not resume:
            for path in folder.iterdir():
                if path.name != "lock":
                    path.unlink()
        yield

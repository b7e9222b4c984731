"""Converting a corpus of documents to a .beton file of token blocks: tokenised in parts, which are then joined."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ffprep.beton.reader import Reader
from ffprep.beton.sections import canonical_json
from ffprep.beton.writing.conditions import accept_finished
from ffprep.common.files.locking import LockedError
from ffprep.common.files.outputs import check_output
from ffprep.common.formatting import duration_text, size_text
from ffprep.common.names import left_behind
from ffprep.convert.clusters.tokens import make_parts_on_cluster
from ffprep.convert.conversion import check_engine, convert, processors
from ffprep.convert.parts_folder import drop, drop_left, folder_of, parts_folder
from ffprep.convert.progress import ProgressDisplay, SilentProgress
from ffprep.convert.report import ConversionReport
from ffprep.errors import BetonError, OptionError, SourceError
from ffprep.sources.openwebtext import Corpus
from ffprep.text.blocks.block_source import BlockSource
from ffprep.text.blocks.part_files import Part, Statistics
from ffprep.text.blocks.parts import Settings, make_parts
from ffprep.text.tokens.vocabulary import Vocabulary

SMALLEST_BLOCK, LARGEST_BLOCK = 2, 1 << 16
COMPARED = 8
"""The most units that are tokenised again when the finished file is there."""


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
            (s.clutter, left_behind(s.clutter, s.clutter_names)),
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
    resume: bool = True,
    restart: bool = False,
    overwrite: bool = False,
    on_error: str = "raise",
    engine: str = "local",
    address: str | None = None,
    page_size: int | None = None,
    inputs: Sequence[Path] = (),
    configuration: Mapping[str, Any] | None = None,
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
        Has no effect any more: parts that an interrupted conversion with the same options left are always used.
    restart : bool
        Drop what an interrupted conversion left, and begin anew.
    overwrite : bool
        Replace a finished file. Without it, the finished file of the same source and options is accepted.
    on_error : {"raise", "skip"}
        What to do about table rows that cannot be used.
    engine, address
        As in ``convert``. The tasks of a cluster tokenise units; the blocks are written here.
    page_size : int, optional
        As in ``Writer``.
    inputs : sequence of Path
        Files and folders that all nodes of a cluster have to see.
    configuration : mapping, optional
        As in ``convert``.
    progress : callable
        Makes a ``ProgressDisplay`` from a label, the number of steps and how many are done.

    Raises
    ------
    SourceError
        Documents cannot be read, or there are fewer tokens than a block has.
    OptionError
        An option is wrong, another file is there, or what an interrupted conversion left is of another source.
    """
    if on_error not in ("raise", "skip"):
        raise OptionError(f"on_error is 'raise' or 'skip', not {on_error!r}")
    check_engine(engine, address)
    padding = block if padded else 0
    settings = Settings(vocabulary, padding, corpus.share, on_error == "skip")
    identity = {
        "units": [unit.key for unit in corpus.units],
        "vocabulary": vocabulary.manifest(),
        "share": list(corpus.share),
        "on_error": on_error,
        "settings": settings.fingerprint(),
    }

    def parts(folder: Path, padding: int, count: int, shown: Callable[[str, int, int], ProgressDisplay]) -> list[Part]:
        with contextlib.closing(shown("tokenising", len(corpus.units), 0)) as bar:
            if engine == "ray":
                return make_parts_on_cluster(
                    corpus.units,
                    settings,
                    folder,
                    address=address,
                    most=workers,
                    inputs=inputs,
                    progress=bar.update,
                )
            return make_parts(corpus.units, settings, folder, count, bar.update)

    def changed(digests: Mapping[str, str], count: int) -> list[str]:
        chosen = [int(number) for number in digests if int(number) < len(corpus.units)]
        with tempfile.TemporaryDirectory(prefix="ffprep-compared-") as folder:
            made = make_parts([corpus.units[number] for number in chosen], settings, Path(folder), count)
            pairs = zip(chosen, made, strict=True)
            return [
                f"{corpus.units[number].key} is not what it was when it was tokenised"
                for number, part in pairs
                if part.digest != digests[str(number)]
            ]

    return convert_parts(
        parts,
        corpus.name,
        corpus.facts,
        vocabulary,
        identity=identity,
        out=out,
        block=block,
        padded=padded,
        per_sample=per_sample,
        workers=workers,
        restart=restart,
        overwrite=overwrite,
        page_size=page_size,
        configuration=configuration,
        progress=progress,
        changed=changed,
    )


def convert_parts(
    make: Callable[[Path, int, int, Callable[[str, int, int], ProgressDisplay]], list[Part]],
    name: str,
    facts: Mapping[str, Any],
    vocabulary: Vocabulary,
    *,
    identity: Mapping[str, Any],
    out: Path,
    block: int = 192,
    padded: bool = False,
    per_sample: int | None = None,
    workers: int | None = None,
    restart: bool = False,
    overwrite: bool = False,
    page_size: int | None = None,
    configuration: Mapping[str, Any] | None = None,
    inputs: Sequence[Path] = (),
    progress: Callable[[str, int, int], ProgressDisplay] = lambda label, total, done: SilentProgress(),
    changed: Callable[[Mapping[str, str], int], list[str]] = lambda digests, count: [],
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
    identity : mapping
        JSON values that tell the source and what was chosen of it from all others, the same on every machine.
    inputs : sequence of Path
        Files whose times matter to the parts, if `make` makes these each time.
    vocabulary, out, block, padded, per_sample, workers, restart, overwrite, page_size, configuration, progress
        As in ``convert_corpus``.
    changed : callable
        Says in what the source differs from what it was, given the digests of some units by number and the number of
        workers. Called when the finished file is there.
    """
    if not SMALLEST_BLOCK <= block <= LARGEST_BLOCK - 1:
        raise OptionError(f"block {block}: give {SMALLEST_BLOCK} to {LARGEST_BLOCK - 1} tokens")
    check_output(out, overwrite=overwrite or not restart)
    count = processors(workers)
    begun = time.perf_counter()
    chosen = {"source": identity, "block": block, "padded": padded, "per_sample": per_sample, "facts": facts}
    made_by = xxhash.xxh3_128_hexdigest(canonical_json(chosen))
    if out.exists() and not (overwrite or restart):
        return _finished(out, made_by, page_size, count, changed)
    with parts_folder(out, chosen, restart=restart) as folder:
        parts = make(folder, block if padded else 0, count, progress)
        tokenised = time.perf_counter()
        digests = {str(number): parts[number].digest for number in compared_units(len(parts))}
        recorded = {**facts, "conversion": made_by, "units": {"count": len(parts), "digests": digests}}
        try:
            source = BlockSource(parts, vocabulary, block, per_sample, name, recorded)
        except SourceError:  # of which going on would not change anything
            drop(folder)
            raise
        report = convert(
            source,
            out,
            workers=count,
            restart=restart,
            overwrite=overwrite,
            page_size=page_size,
            configuration=configuration,
            inputs=inputs,
            progress=progress,
        )
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


def compared_units(count: int) -> list[int]:
    """The units by which a finished file is compared with its source: the first, the last, and some between."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, COMPARED))})


def _finished(
    out: Path,
    made_by: str,
    page_size: int | None,
    workers: int,
    changed: Callable[[Mapping[str, str], int], list[str]],
) -> CorpusReport:
    """The report of a finished file, if its manifest says that the conversion at hand made it.

    The units whose digests it records are tokenised again.
    """
    found: list[str] = []
    manifest: dict[str, Any] = {}
    size = page_size
    try:
        with Reader(out) as reader:
            manifest = reader.manifest or {}
            size = reader.page_size
    except (BetonError, OSError) as error:
        found.append(str(error))
    source = manifest.get("source")
    source = source if isinstance(source, dict) else {}
    if page_size not in (None, size):
        found.append(f"page_size: was {size}, is {page_size}")
    if source.get("conversion") != made_by:
        found.append("it was made of another source or with other options")
    units = source.get("units")
    if not found and isinstance(units, dict) and isinstance(units.get("digests"), dict):
        found += changed(units["digests"], workers)
    accept_finished(out, found)
    if not out.with_name(out.name + ".partial").exists() and folder_of(out).is_dir():
        with contextlib.suppress(LockedError, OSError):  # another command makes the file anew
            drop_left(folder_of(out))
    blocks = source["blocks"]
    return CorpusReport(
        ConversionReport(dict(manifest["report"]), workers=workers, found=True),
        Statistics.from_dict(source["text"]),
        blocks["count"],
        blocks["block"],
        blocks["per_sample"],
        len(blocks["tail"]),
        out.stat().st_size,
        1e-9,
        0.0,
    )

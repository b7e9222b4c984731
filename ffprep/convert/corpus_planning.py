"""Estimating what tokenising a corpus will cost, by tokenising a few of its units."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ffprep.convert.planning import ConversionPlan, existing_folder
from ffprep.errors import SourceError
from ffprep.sources.openwebtext import Corpus
from ffprep.text.blocks.blocks import best_per_sample, overhead
from ffprep.text.blocks.part_files import Statistics
from ffprep.text.blocks.parts import Settings, make_part
from ffprep.text.documents.documents import Unit
from ffprep.text.tokens.vocabulary import Vocabulary

TRIED = 6
LARGEST = 1 << 26
"""Largest unit, in bytes, that is tokenised for an estimate."""


@dataclass(frozen=True)
class CorpusPlan(ConversionPlan):
    """A plan with disk space for the file and for the parts it is joined from, which are as large."""

    @property
    def fits(self) -> bool:
        return 2 * self.bytes_out <= self.free

    def table(self) -> str:
        return super().table() + "\n  while it works, the tokens take as much room once more beside the file"


def plan_corpus(
    corpus: Corpus, out: Path, vocabulary: Vocabulary, *, block: int = 192, padded: bool = False, workers: int = 1
) -> ConversionPlan:
    """Tokenise some units, spread over the corpus, and extrapolate from their sizes.

    Parameters
    ----------
    corpus, out, vocabulary, block, padded
        As in ``convert_corpus``.
    workers : int
        Threads that the estimate assumes.

    Returns
    -------
    ConversionPlan
        ``samples`` counts blocks.

    Raises
    ------
    SourceError
        No unit is small enough to try, or those tried contain no text.
    """
    chosen = _chosen(corpus.units)
    settings = Settings(vocabulary, block if padded else 0, corpus.share, skip=True)
    found = Statistics()
    written = size = 0
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ffprep-plan-") as folder:
        for number, unit in enumerate(chosen):
            part = make_part(unit, settings, Path(folder), number)
            written += part.count
            size += unit.size
            found.add(part.statistics)
    seconds = time.perf_counter() - begun
    total = sum(unit.size for unit in corpus.units)
    if not found.tokens or not size:
        raise SourceError(f"{corpus.name}: the {len(chosen)} units tried hold no text")
    scale = total / size
    blocks = max(1, round(written * scale / block))
    itemsize = vocabulary.dtype.itemsize
    per_sample = best_per_sample(min(blocks, 1 << 20), block, padded, itemsize=itemsize)
    return CorpusPlan(
        samples=blocks,
        bytes_in=total,
        bytes_out=blocks * (itemsize * block + 2 * padded)
        + overhead(blocks, block, per_sample, padded, itemsize=itemsize),
        seconds=max(1e-9, seconds * scale / workers),
        workers=workers,
        free=shutil.disk_usage(existing_folder(out.absolute().parent)).free,
        tried=found.documents + found.bad,
        actions={"documents empty": found.empty / (found.documents + found.empty or 1)} if found.empty else {},
        refused=found.bad,
    )


def _chosen(units: list[Unit]) -> list[Unit]:
    small = [unit for unit in units if 0 < unit.size <= LARGEST]
    if not small:
        raise SourceError(f"nothing to try that has less than {LARGEST >> 20} MiB; what it costs is not known before")
    places = sorted({i * (len(small) - 1) // max(1, TRIED - 1) for i in range(TRIED)})
    return [small[i] for i in places]

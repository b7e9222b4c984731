"""Tokenises a corpus unit by unit, into files that are joined afterwards.

Each unit becomes a part: a file of little-endian tokens, for padded blocks a second file with their lengths, and
a JSON record, which is written last and shows that the part is finished. Units do not depend on each other. Therefore
the parts are the same for any number of workers, in whatever order units finish, and after any interruption.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ffprep.common.files.replacing import naming
from ffprep.errors import ConversionError, OptionError, SourceError
from ffprep.text.blocks.part_files import (
    LISTED,
    Part,
    PartWriter,
    Statistics,
    TokenSink,
    digest_of,
    file_hash,
    part_paths,
)
from ffprep.text.documents.cleaning import WHOLE, clean, clean_pieces, clean_text
from ffprep.text.documents.documents import Document, Ignored, LeftBehind, Unit
from ffprep.text.documents.segments import SEGMENT, Cuts, segments
from ffprep.text.documents.table_rows import BadRow
from ffprep.text.tokens.vocabulary import Tokens, Vocabulary

BATCH = 1 << 18
"""Small documents are collected until they have this many characters, and then tokenised in one call."""
VERSION = 2
"""Increased whenever the same settings come to give other parts."""


@dataclass(frozen=True)
class Settings:
    """What a part depends on besides its unit.

    Attributes
    ----------
    vocabulary : Vocabulary
    padded : int
        0 for a single stream of tokens. Otherwise each document is cut into blocks of this many tokens, and its last
        block is padded.
    share : tuple of float
        Only documents whose hash, as a fraction of its range, lies in this half-open interval are taken. (0, 1) takes
        all.
    skip : bool
        Whether to skip bad rows; otherwise the first one is an error.
    """

    vocabulary: Vocabulary
    padded: int = 0
    share: tuple[float, float] = (0.0, 1.0)
    skip: bool = False

    def fingerprint(self) -> str:
        """A short string that is equal for equal settings, which give equal parts."""
        record = [VERSION, self.vocabulary.manifest(), self.padded, list(self.share), self.skip]
        return xxhash.xxh3_128_hexdigest(json.dumps(record, sort_keys=True).encode())


class _Tokeniser:
    """Cleans the documents of a unit and gives their tokens to a sink; small documents are tokenised together."""

    def __init__(self, settings: Settings, sink: TokenSink, unit: Unit) -> None:
        self._settings = settings
        self._vocabulary = settings.vocabulary
        self._sink = sink
        self._unit = unit
        self._batch: list[str] = []
        self._characters = 0
        self._cuts = Cuts()
        self._everything = settings.share == (0.0, 1.0)
        self.statistics = Statistics()

    def run(self, stopped: Callable[[], bool]) -> Statistics:
        for item in self._unit.documents():
            if stopped():
                raise Stopped
            if isinstance(item, Document):
                self._document(item)
            elif isinstance(item, BadRow):
                self._bad(item)
            elif isinstance(item, Ignored):
                self.statistics.ignored += 1
            elif isinstance(item, LeftBehind):
                self.statistics.leave_out(item.name)
        self._flush()
        self.statistics.cut_words = self._cuts.inside_words
        return self.statistics

    def _bad(self, item: BadRow) -> None:
        if not self._settings.skip:
            raise SourceError(f"{item.name}: {item.reason}; --on-error skip leaves such rows out")
        self.statistics.bad += 1
        if len(self.statistics.bad_rows) < LISTED:
            self.statistics.bad_rows.append([item.name, item.reason])

    def _document(self, document: Document) -> None:
        content = document.content
        if not isinstance(content, (bytes, str)):
            self._long(content)
            return
        if not (self._everything or self._inside(content)):
            return
        removed = self.statistics.removed
        text = clean(content, removed) if isinstance(content, bytes) else clean_text(content, removed)
        if not text:
            self.statistics.empty += 1
        elif len(text) > SEGMENT:
            self._flush()
            self._segments(iter([text]))
        else:
            self.statistics.documents += 1
            self._batch.append(text)
            self._characters += len(text)
            if self._characters >= BATCH:
                self._flush()

    def _inside(self, content: bytes | str) -> bool:
        """Whether a document belongs to the share, by the hash of its first ``WHOLE`` bytes."""
        data = content[:WHOLE]
        data = data.encode("utf-8", "surrogatepass")[:WHOLE] if isinstance(data, str) else data
        low, high = self._settings.share
        if low <= xxhash.xxh3_64_intdigest(data) / 2.0**64 < high:
            return True
        self.statistics.outside += 1
        return False

    def _long(self, pieces: Iterator[bytes]) -> None:
        first = next(pieces, b"")
        if not (self._everything or self._inside(first)):
            return
        self._flush()
        self._segments(clean_pieces(chain([first], pieces), self.statistics.removed))

    def _segments(self, texts: Iterator[str]) -> None:
        found = False
        for text in segments(texts, self._cuts):
            found = True
            self.statistics.size += len(text.encode("utf-8", "surrogatepass"))
            ids = self._vocabulary.encode(text)
            self._count(ids)
            self._sink.piece(ids)
        if found:
            self._sink.end()
            self.statistics.documents += 1
            self.statistics.tokens += 1
        else:
            self.statistics.empty += 1

    def _flush(self) -> None:
        if not self._batch:
            return
        ids, ends = self._vocabulary.encode_batch(self._batch)
        self.statistics.size += sum(len(t) if t.isascii() else len(t.encode("utf-8")) for t in self._batch)
        self._count(ids)
        self._sink.documents(ids, ends)
        self._batch, self._characters = [], 0

    def _count(self, ids: Tokens) -> None:
        self.statistics.tokens += len(ids)
        if self._vocabulary.unk is not None and self._vocabulary.kind != "fairseq":
            self.statistics.unknown += int(np.count_nonzero(ids == self._vocabulary.unk))


class Stopped(Exception):
    """Raised in a worker because another unit has failed."""


def make_part(
    unit: Unit, settings: Settings, folder: Path, number: int, stopped: Callable[[], bool] = lambda: False
) -> Part:
    """Tokenise a unit, unless its part is there already.

    Parameters
    ----------
    unit : Unit
    settings : Settings
    folder : Path
        Folder of the parts.
    number : int
        Number of the unit in the corpus, which names the part's files.
    stopped : callable
        Called before each document; when it returns True, `Stopped` is raised.
    """
    done = find_part(unit, settings, folder, number)
    if done is None:
        return _new_part(unit, settings, folder, number, stopped)
    part, before = done
    if before["stamp"] != unit.stamp():
        _check_same(unit, settings, folder, number, before["hashes"], stopped)
    return part


def _check_same(
    unit: Unit, settings: Settings, folder: Path, number: int, hashes: list[str], stopped: Callable[[], bool]
) -> None:
    """Tokenise a unit whose files have another time than they had, and compare the tokens."""
    with tempfile.TemporaryDirectory(prefix="compared-", dir=folder) as compared:
        _new_part(unit, settings, Path(compared), number, stopped)
        with naming(folder):
            record = json.loads(part_paths(Path(compared), number)[2].read_text())
    if record["hashes"] != hashes:
        raise OptionError(
            f"{folder}: its source changed: {unit.key} is not what it was when it was tokenised; --restart drops what "
            "is done and begins anew"
        )


def _new_part(unit: Unit, settings: Settings, folder: Path, number: int, stopped: Callable[[], bool]) -> Part:
    record_path = part_paths(folder, number)[2]
    record_path.unlink(missing_ok=True)
    stamp = unit.stamp()
    with ExitStack() as stack:
        writer = PartWriter(folder, number, settings.vocabulary, settings.padded, stack)
        statistics = _Tokeniser(settings, writer.sink, unit).run(stopped)
        hashes = writer.finish()
    record = {
        "unit": unit.key,
        "stamp": stamp,
        "settings": settings.fingerprint(),
        "count": writer.count,
        "hashes": hashes,
        "statistics": statistics.as_dict(),
    }
    temporary = record_path.with_name(record_path.name + ".tmp")
    with naming(temporary):
        temporary.write_text(json.dumps(record))
        temporary.replace(record_path)
    return writer.part(statistics)


def find_part(unit: Unit, settings: Settings, folder: Path, number: int) -> tuple[Part, dict[str, Any]] | None:
    """The finished part of a unit and its record, if there is one that is undamaged and has the same settings."""
    tokens_path, lengths_path, record_path = part_paths(folder, number)
    try:
        record = json.loads(record_path.read_text())
        if record["unit"] != unit.key or record["settings"] != settings.fingerprint():
            return None
        hashes = [file_hash(tokens_path), file_hash(lengths_path) if settings.padded else ""]
        if record["hashes"] != hashes:
            return None
        statistics = Statistics.from_dict(record["statistics"])
        lengths = lengths_path if settings.padded else None
        part = Part(tokens_path, lengths, int(record["count"]), statistics, digest_of(hashes))
        return part, {"stamp": record["stamp"], "hashes": hashes}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make_parts(
    units: Sequence[Unit],
    settings: Settings,
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None] = lambda done, size: None,
) -> list[Part]:
    """Tokenise all units in threads: tokenising, decompression and hashing release the interpreter's lock.

    Parts may be finished in any order, unlike the results of `ordered_map`: a long unit does not hold up others, and
    the first error is raised at once.

    Parameters
    ----------
    units : sequence of Unit
    settings : Settings
    folder : Path
        Folder for the parts, created when needed. Parts that are in it already are kept.
    workers : int
        Number of threads.
    progress : callable
        Called with the number of finished units and their size in bytes.

    Returns
    -------
    list of Part
        One for each unit, in their order.

    Raises
    ------
    SourceError, ConversionError, OSError
        The first error of any unit. Finished parts are kept.
    OptionError
        A unit is not what it was when its part was made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    results: dict[int, Part] = {}
    size = 0
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="ffprep-tokenise") as pool:
        try:
            running = {
                pool.submit(make_part, unit, settings, folder, number, stop.is_set): number
                for number, unit in enumerate(units)
            }
            for future in as_completed(running):
                number = running[future]
                results[number] = future.result()
                size += units[number].size
                progress(len(results), size)
        except BaseException as error:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(error, MemoryError):
                raise ConversionError("out of memory while tokenising; give fewer --workers") from error
            raise
    return [results[number] for number in range(len(units))]

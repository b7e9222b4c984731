"""Random reading of files that are larger than memory: exactly what the next batches need is asked for, ahead of them.

Left to itself, the system reads a piece of the file around each page that is missing, of which a random order needs
little: in a file of a gigabyte, with 400 MiB of memory, 58 times as many bytes as the samples had.
"""

from __future__ import annotations

import mmap
import queue
import threading
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.common.files.mapping import advise
from ffprep.loader.block_reader import BlockReader
from ffprep.loader.files import Files, Ids

AHEAD = 1 << 26
"""Bytes that are asked for before the batches that need them are published to the workers."""


class ExtentsAhead:
    """Follows an epoch and asks the system for the payloads of its next samples.

    Parameters
    ----------
    files : Files
    payloads : sequence of str
        The fields that are read.
    ids : callable of (start, stop)
        Returns the numbers of the samples that this rank has at these positions, int64.
    first, length : int
        Position at which the epoch begins, and where it ends.
    step : int
        Positions of a batch on all ranks.
    memory : int
        Bytes that may be used.
    """

    def __init__(
        self,
        files: Files,
        payloads: Sequence[str],
        ids: Callable[[int, int], Ids],
        first: int,
        length: int,
        step: int,
        memory: int = 8 * AHEAD,
    ) -> None:
        self._ids, self._length, self._step = ids, length, step
        self._files = files
        self._asked = first
        self._queue: queue.SimpleQueue[Ids | None] = queue.SimpleQueue()
        share = len(ids(first, first + step)) / step
        each = sum(_payload_bytes(reader) for reader in files.readers) / max(1, files.num_samples)
        self._most = max(step, int(min(AHEAD, memory / 8) / max(1.0, each * share)) // step * step)
        self._say(mmap.MADV_RANDOM)
        self._thread = threading.Thread(
            target=_ask, args=(self._queue, files, list(payloads)), name="ffprep-extents", daemon=True
        )
        self._end = weakref.finalize(self, self._queue.put, None)
        self._thread.start()
        self.published(first)

    def published(self, position: int) -> None:
        """Ask for further samples, now that everything before `position` has been published to the workers."""
        wanted = min(self._length, position + self._most)
        if wanted > self._asked and (wanted - self._asked >= self._step or wanted == self._length):
            self._queue.put(self._ids(self._asked, wanted))
            self._asked = wanted

    def finished(self, position: int) -> None:
        """Do nothing: the system finds out by itself what was used least lately."""

    def close(self) -> None:
        """Ask for nothing more, and let the thread end."""
        if self._end.alive:
            self._end()
            self._say(mmap.MADV_NORMAL)

    def _say(self, advice: int) -> None:
        for reader in self._files.readers:
            if len(reader.data):
                advise(_address(reader.data) + reader.head.bounds.start, _payload_bytes(reader), advice)


def _payload_bytes(reader: Reader) -> int:
    return reader.head.bounds.end - reader.head.bounds.start


def _address(data: npt.NDArray[np.uint8]) -> int:
    return int(data.__array_interface__["data"][0])


def _ask(requests: queue.SimpleQueue[Ids | None], files: Files, payloads: Sequence[str]) -> None:
    """Ask for what samples need, until there is None instead of samples. Runs in a thread of its own."""
    while (samples := requests.get()) is not None:
        members = files.file_of(samples)
        for f in np.unique(members).tolist():
            reader = files.readers[f]
            data = reader.data  # stays mapped while this refers to it, also when the loader is closed meanwhile
            own = samples[members == f] - int(files.starts[f])
            if not len(data):
                return
            places = [extents_of(reader, name, own) for name in payloads if _stored(reader, name)]
            if places:
                base = _address(data)
                starts, stops = pieces(np.concatenate([p[0] for p in places]), np.concatenate([p[1] for p in places]))
                for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
                    advise(base + start, stop - start, mmap.MADV_WILLNEED)


def _stored(reader: Reader, name: str) -> bool:
    return name in reader.fields and reader.fields[name].pointer is not None


def extents_of(reader: Reader, name: str, samples: Ids) -> tuple[Ids, Ids]:
    """Return where payloads of some samples begin and how long they are: int64, shape (samples,).

    Of blocks of tokens, what is stored as one sample counts as a whole, since it has one checksum.
    """
    if isinstance(reader, BlockReader):
        samples, reader = samples // reader.blocks.per_sample, reader.blocks.reader
    offset, size = reader.extents(name)
    return offset[samples].astype(np.int64), size[samples].astype(np.int64)


def pieces(offset: Ids, size: Ids) -> tuple[Ids, Ids]:
    """Return the fewest runs of whole pages of memory that hold all extents: starts and stops, ascending."""
    filled = size > 0
    start = np.sort(offset[filled] & -mmap.PAGESIZE)
    if not len(start):
        return start, start
    order = np.argsort(offset[filled], kind="stable")
    stop = np.maximum.accumulate((offset + size)[filled][order] + mmap.PAGESIZE - 1 & -mmap.PAGESIZE)
    begins = np.concatenate([[True], start[1:] > stop[:-1]])
    ends = np.append(np.flatnonzero(begins)[1:] - 1, len(start) - 1)
    return start[begins], stop[ends]

"""What a loader counts while it runs: batches, time, waiting, bytes and errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ffprep.errors import FfprepError
from ffprep.loader.files import Files, Ids
from ffprep.loader.order.pages import has_payload

HELD = 256
"""Batches whose bytes are added up together, so that a batch costs next to nothing."""

OF_EACH = 128
"""Of many files, samples are held until there are so many of each, since looking into a file takes time of its own."""


@dataclass(frozen=True)
class LoaderStats:
    """What a loader has done in its epochs since it was made; the difference of two is what it did between them.

    Attributes
    ----------
    batches, samples : int
        Handed out so far by this rank's loader.
    seconds : float
        Time in epochs: from ``iter(loader)`` on, or from where the loop before ended, without pauses between epochs.
    waiting : float
        Seconds of these in which the training loop waited for a batch.
    bytes : int
        What the images, texts and arrays of the samples handed out take in their files. Numbers, which lie in the
        file's tables, are not counted; and a crop is often decoded from a part of its image's bytes.
    errors : int
        Bad samples that were left out or replaced.
    ready : int
        Batches that are finished and wait to be taken, now.
    """

    batches: int = 0
    samples: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    bytes: int = 0
    errors: int = 0
    ready: int = 0

    @property
    def samples_per_second(self) -> float:
        """Samples that the training loop took per second, the time of its own work included; 0 before the first."""
        return self.samples / self.seconds if self.seconds else 0.0

    @property
    def waiting_share(self) -> float:
        """Share of the time in which the training loop waited for data, from 0 to 1."""
        return self.waiting / self.seconds if self.seconds else 0.0

    def __sub__(self, earlier: LoaderStats) -> LoaderStats:
        return LoaderStats(
            self.batches - earlier.batches,
            self.samples - earlier.samples,
            self.seconds - earlier.seconds,
            self.waiting - earlier.waiting,
            self.bytes - earlier.bytes,
            self.errors - earlier.errors,
            self.ready,
        )


class Meter:
    """Counts what a loader hands out. One for all epochs; any thread may read it.

    Parameters
    ----------
    files : Files
    fields : collection of str
        Fields with payloads that the batches are made of.
    """

    def __init__(self, files: Files, fields: Collection[str]) -> None:
        self._files = files
        self._fields = fields
        self._lock = threading.Lock()
        self._batches = self._samples = self._bytes = 0
        self._seconds = self._waiting = 0.0
        self._held: list[Ids] = []
        self._held_samples = 0

    def count(self, ids: Ids | None, before: float, asked: float) -> float:
        """Count a batch, or with None the end of an epoch.

        Parameters
        ----------
        ids : ndarray of int64, or None
            The batch's samples.
        before, asked : float
            When the request before was answered, and when the batch was asked for, in `time.perf_counter`'s seconds.

        Returns
        -------
        float
            When this request was answered.
        """
        now = time.perf_counter()
        with self._lock:
            self._seconds += now - before
            self._waiting += now - asked
            if ids is not None:
                self._batches += 1
                self._samples += len(ids)
                self._held.append(ids)
                self._held_samples += len(ids)
                if len(self._held) >= HELD and self._held_samples >= OF_EACH * len(self._files):
                    self._add_bytes()
        return now

    def read(self, ready: int = 0, errors: int = 0) -> LoaderStats:
        """Return the counts, with those that others know."""
        with self._lock:
            self._add_bytes()
            return LoaderStats(self._batches, self._samples, self._seconds, self._waiting, self._bytes, errors, ready)

    def _add_bytes(self) -> None:
        if not self._held:
            return
        samples = np.concatenate(self._held)
        self._held.clear()
        self._held_samples = 0
        try:
            self._files.look(samples)  # the tables that say how long a payload is are read where they lie
        except FfprepError:
            return  # the epoch says that a file was cut or written to
        self._bytes += stored_bytes(self._files, self._fields, samples)

    def finish(self) -> None:
        """Count what is left, since the files are going to be closed."""
        with self._lock:
            self._add_bytes()


def stored_bytes(files: Files, fields: Collection[str], samples: Ids) -> int:
    """Return the bytes that the payloads of samples take in their files."""
    total = 0
    for f, own in files.present(samples):
        reader = files.readers[f]
        for name in fields:
            if has_payload(reader, name):
                total += int(reader.payload_sizes(name)[own].sum(dtype=np.uint64))
    return total

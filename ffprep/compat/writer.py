"""ffcv's ``DatasetWriter``, which makes a ``.beton`` file from any indexable data set or from webdataset shards."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.beton.writing.columns import RecordPacker
from ffprep.beton.writing.conditions import check_page_size
from ffprep.beton.writing.writer import Writer
from ffprep.common.workers.cpus import usable_cpus
from ffprep.convert.processes import Failure, map_in_workers
from ffprep.convert.progress import ProgressDisplay, ShownProgress, SilentProgress
from ffprep.convert.units import encode_sample
from ffprep.errors import ConversionError, OptionError
from ffprep.fields import Encoded, Field

CHUNK_BYTES = 1 << 22
"""Roughly how many encoded bytes a worker returns at a time."""


class DatasetWriter:
    """Writes a data set to a ``.beton`` file.

    The bytes of the file do not depend on the number of workers. The file has its name only when it is finished. An
    exception anywhere, or the death of a worker, ends the writing with an error that names the sample.

    Parameters
    ----------
    fname : str or Path
        A file of that name is replaced when the new one is finished.
    fields : mapping of name to Field
        In the order of each sample's values.
    page_size : int, optional
        A power of two from 2^21 to 2^31; a sample's value must fit a page. By default 8 MiB, growing as needed.
    num_workers : int
        How many workers call the data set; -1 for one for each processor.
    processes : bool or {'fork', 'spawn', 'forkserver'}
        Whether workers are processes (True forks where the system can, so that nothing needs to be picklable) or
        threads (False), for data sets that are thread-safe and release the interpreter's lock, as reading files and
        Pillow do.
    progress : bool, optional
        Whether to show progress. By default only on a terminal.
    manifest : mapping, optional
        JSON values to keep in the file.
    seed : int
        For ``shuffle_indices``.

    Raises
    ------
    OptionError
        An argument is wrong.
    """

    def __init__(
        self,
        fname: str | os.PathLike[str],
        fields: Mapping[str, Field],
        page_size: int | None = None,
        num_workers: int = -1,
        *,
        processes: bool | str = True,
        progress: bool | None = None,
        manifest: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.fname = Path(fname)
        self.fields = dict(fields)
        self.page_size = page_size
        RecordPacker(self.fields)
        check_page_size(page_size)
        self.num_workers = num_workers if num_workers > 0 else usable_cpus()
        self.processes = processes
        self.manifest = dict(manifest or {})
        self.seed = seed
        self._shown = sys.stderr.isatty() if progress is None else progress

    def from_indexed_dataset(
        self,
        dataset: Any,
        indices: Sequence[int] | None = None,
        chunksize: int = 100,
        shuffle_indices: bool = False,
    ) -> None:
        """Write ``dataset[i]`` for each index, each a tuple with one value for each field.

        Parameters
        ----------
        dataset : object with ``__getitem__`` and, without `indices`, ``__len__``
        indices : sequence of int, optional
            Which samples to write, and in which order. By default all.
        chunksize : int
            The largest number of samples that a worker takes at a time.
        shuffle_indices : bool
            Shuffle the order, as a function of `seed`.

        Raises
        ------
        ConversionError
            The data set raises, a sample does not fit the fields, or the file cannot be written.
        """
        order: Sequence[Any] = range(len(dataset)) if indices is None else indices
        named = indices is not None or shuffle_indices
        if shuffle_indices:
            permutation = np.random.default_rng(self.seed).permutation(len(order))
            order = [order[place] for place in permutation.tolist()]
        if chunksize < 1:
            raise OptionError(f"chunksize is at least 1, not {chunksize}")
        sizer = _ChunkSizer(order, chunksize, self.num_workers)
        job = functools.partial(encode_chunk, dataset, self.fields)
        chunks = map_in_workers(job, sizer.chunks(), self.num_workers, self.processes, describe_chunk)
        names = (str(index) if named else "" for index in order)
        samples = ((sample, next(names)) for chunk in sizer.watch(chunks) for sample in chunk)
        self._write(len(order), samples, {"dataset": type(dataset).__name__})

    def from_webdataset(self, shards: Sequence[str], pipeline: Callable[[Any], Iterable[Any]]) -> None:
        """Write the samples of webdataset shards, one shard after another.

        Each shard is read twice: once to count its samples.

        Parameters
        ----------
        shards : sequence of str
            Whatever ``webdataset.WebDataset`` opens.
        pipeline : callable
            Gets the ``WebDataset`` of a shard and returns an iterable of tuples with one value for each field.

        Raises
        ------
        OptionError
            webdataset is not installed.
        ConversionError
            Reading a sample raises, a sample does not fit the fields, a shard has another number of samples on the
            second reading, or the file cannot be written.
        """
        try:
            import webdataset  # noqa: F401
        except ImportError as error:
            raise OptionError("from_webdataset needs webdataset; pip install webdataset") from error
        count = functools.partial(count_shard, pipeline)
        counts = list(map_in_workers(count, shards, self.num_workers, self.processes, str))
        samples = self._shard_samples(list(zip(shards, counts, strict=True)), pipeline)
        self._write(sum(counts), samples, {"shards": len(shards)})

    def _shard_samples(
        self, shards: list[tuple[str, int]], pipeline: Callable[[Any], Iterable[Any]]
    ) -> Generator[tuple[Sequence[Encoded], str], None, None]:
        if self.num_workers == 1:
            for shard, count in shards:
                for index, sample in enumerate(shard_values(shard, pipeline, self.fields, count)):
                    yield sample, f"{shard}:{index}"
            return
        prefix = f"{self.fname.name}."
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self.fname.parent, ignore_cleanup_errors=True) as folder:
            job = functools.partial(spool_shard, pipeline, self.fields, folder)
            tasks = [(number, shard, count) for number, (shard, count) in enumerate(shards)]
            spools = map_in_workers(job, tasks, self.num_workers, self.processes, lambda task: task[1])
            for (shard, _), spool in zip(shards, spools, strict=True):
                for index, sample in enumerate(spool.samples()):
                    yield sample, f"{shard}:{index}"

    def _write(
        self, total: int, samples: Generator[tuple[Sequence[Encoded], str], None, None], source: dict[str, Any]
    ) -> None:
        manifest = {"source": source, **self.manifest}
        shown: ProgressDisplay = ShownProgress(self.fname.name, total) if self._shown else SilentProgress()
        with (
            contextlib.closing(samples),
            contextlib.closing(shown),
            Writer(
                self.fname, self.fields, total, page_size=self.page_size, manifest=manifest, overwrite=True
            ) as writer,
        ):
            written = 0
            for sample, name in samples:
                writer.write(sample, name)
                written += sum(len(value.payload) for value in sample if value.payload is not None)
                shown.update(writer.num_written, written)


@dataclass
class _ChunkSizer:
    """Cuts the order into chunks whose encoded size stays near `CHUNK_BYTES`, judging by the chunks done so far."""

    order: Sequence[Any]
    largest: int
    workers: int
    bytes_done: int = 0
    samples_done: int = 0

    def chunks(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield (number of the first sample, indices) for each chunk."""
        first = 0
        while first < len(self.order):
            size = min(self.largest, 1 if self.workers > 1 and not self.samples_done else self._fitting())
            yield first, list(self.order[first : first + size])
            first += size

    def _fitting(self) -> int:
        mean = self.bytes_done / max(1, self.samples_done)
        return max(1, int(CHUNK_BYTES / max(1.0, mean)))

    def watch(self, results: Iterator[list[list[Encoded]]]) -> Iterator[list[list[Encoded]]]:
        """Pass results on and record their sizes."""
        for chunk in results:
            for sample in chunk:
                self.bytes_done += sum(len(value.payload) for value in sample if value.payload is not None)
            self.samples_done += len(chunk)
            yield chunk


def encode_chunk(
    dataset: Any, fields: Mapping[str, Field], chunk: tuple[int, list[Any]]
) -> list[list[Encoded]] | Failure:
    """Fetch and encode a chunk of samples. Runs in a worker."""
    first, indices = chunk
    encoded = []
    for number, index in enumerate(indices, first):
        try:
            encoded.append([_sendable(value) for value in encode_sample(fields, dataset[index])])
        except (Exception, SystemExit) as error:
            return Failure.of(f"sample {number} (dataset[{index!r}])", error)
    return encoded


def describe_chunk(chunk: tuple[int, list[Any]]) -> str:
    """Name the samples of a chunk."""
    first, indices = chunk
    last = first + len(indices) - 1
    return f"sample {first}" if last == first else f"samples {first} to {last}"


def _sendable(value: Encoded) -> Encoded:
    if value.payload is None or isinstance(value.payload, bytes):
        return value
    return replace(value, payload=bytes(value.payload))


def count_shard(pipeline: Callable[[Any], Iterable[Any]], shard: str) -> int | Failure:
    """Count the samples of a shard."""
    try:
        return sum(1 for _ in _open_shard(shard, pipeline))
    except (Exception, SystemExit) as error:
        return Failure.of(shard, error)


def _open_shard(shard: str, pipeline: Callable[[Any], Iterable[Any]]) -> Iterable[Any]:
    from webdataset import WebDataset

    return pipeline(WebDataset(shard, shardshuffle=False))


def shard_values(
    shard: str, pipeline: Callable[[Any], Iterable[Any]], fields: Mapping[str, Field], count: int
) -> Iterator[list[Encoded]]:
    """Yield the encoded samples of a shard.

    Raises
    ------
    ConversionError
        There are more or fewer than `count`, or one does not fit the fields.
    """
    seen = 0
    for values in _open_shard(shard, pipeline):
        if seen < count:
            try:
                yield [_sendable(value) for value in encode_sample(fields, values)]
            except ConversionError as error:
                raise ConversionError(f"{shard}: sample {seen}: {error}") from error
        seen += 1
    if seen != count:
        raise ConversionError(
            f"{shard}: has {count} samples on the first reading and {seen} on the second; "
            "make the pipeline yield the same samples each time"
        )


@dataclass(frozen=True)
class Spool:
    """Encoded samples of a shard: metadata in memory, payloads in a temporary file."""

    path: str
    heads: list[list[tuple[Encoded, int]]]

    def samples(self) -> Iterator[list[Encoded]]:
        """Yield the samples, then delete the file."""
        with Path(self.path).open("rb") as file:
            for head in self.heads:
                yield [value if size < 0 else replace(value, payload=file.read(size)) for value, size in head]
        Path(self.path).unlink()


def spool_shard(
    pipeline: Callable[[Any], Iterable[Any]],
    fields: Mapping[str, Field],
    folder: str,
    task: tuple[int, str, int],
) -> Spool | Failure:
    """Encode a shard into a temporary file. Runs in a worker."""
    number, shard, count = task
    path = Path(folder) / f"{number}.spool"
    heads = []
    try:
        with path.open("wb") as file:
            for sample in shard_values(shard, pipeline, fields, count):
                head = []
                for value in sample:
                    size = -1 if value.payload is None else file.write(value.payload)
                    head.append((replace(value, payload=None), size))
                heads.append(head)
    except ConversionError as error:
        return Failure(str(error), "")
    except (Exception, SystemExit) as error:
        return Failure.of(shard, error)
    return Spool(str(path), heads)


__all__ = ["DatasetWriter"]

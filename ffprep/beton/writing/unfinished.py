"""The unfinished file on disk: payloads are appended in order, records and tables are written at their places."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import xxhash

from ffprep.beton.layout import BLOCK_SIZE
from ffprep.beton.sections import BlockHasher
from ffprep.common.files.locking import open_locked
from ffprep.common.files.writing_back import begin_writing, write_fully
from ffprep.errors import ConversionError

BUFFER_SIZE = 1 << 23
DIRECT = 1 << 16
"""More bytes than these are written at once, fewer are gathered first."""
TOGETHER = 1 << 21
"""So many bytes are gathered before they are written."""

HOT_BYTES = 1 << 19
"""Where one thread does it all, about so many are written and hashed before the next are touched: the core's cache has
them, so that they come from memory once."""

UNCOPIED = 1 << 14
"""Payloads of so many bytes that cannot change are gathered without copying them."""

MOST_PARTS = 1024
"""What one call of the system takes (``IOV_MAX``)."""

BEHIND = 1 << 24
"""So many bytes may wait to be written, beside those that are being written."""


def remedy(error: OSError) -> str:
    """Say what to do about a failed write."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return "its folder was removed or renamed; the same command goes on if the unfinished file is there again"
    return "make room, or take another folder; the same command goes on where it stopped"


def write_parts(descriptor: int, parts: list[memoryview], offset: int) -> None:
    """Write several parts one after the other, by one call of the system where it takes them all.

    Raises
    ------
    OSError
        The disk is full, for instance.
    """
    done = os.pwritev(descriptor, parts, offset) if 1 < len(parts) <= MOST_PARTS and hasattr(os, "pwritev") else 0
    for part in parts:
        if done < len(part):
            write_fully(descriptor, part[done:], offset + done)
        done = max(0, done - len(part))
        offset += len(part)


class UnfinishedFile:
    """A file that is being written, locked against other processes.

    Payloads are written by a thread of its own, unless `behind` is false, since the system copies them without the
    interpreter's lock: meanwhile the caller hashes them and brings the next. After an error of that thread, all further
    calls that write payloads raise it again.

    Parameters
    ----------
    path : Path
        The unfinished file.
    data_start : int
        Where its payloads begin.
    behind : bool
        Whether to write in a thread of its own.

    Raises
    ------
    OptionError
        Another process is writing it.
    """

    def __init__(self, path: Path, data_start: int, *, behind: bool = True) -> None:
        self.path = path
        self.threaded = behind
        self.hasher = BlockHasher(data_start)
        self._parts: list[memoryview] = []
        self._buffer = bytearray()  # what follows the parts
        self._gathered = 0  # bytes of both
        self._lost = False  # whether an interruption came between hashing and forgetting what was hashed
        self._pool: ThreadPoolExecutor | None = None
        self._behind: deque[tuple[int, Future[None]]] = deque()
        self._waiting = 0
        self._begun = data_start  # up to where the disk was asked to begin
        self._descriptor, self._lock = open_locked(path)

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    @property
    def end(self) -> int:
        """First byte after the payloads so far."""
        return self.hasher.position + self._gathered

    def append(self, offset: int, payload: memoryview) -> None:
        """Add a payload at or after the end, filling the gap before it with zeros."""
        gap = offset - self.end
        while gap:
            zeros = min(gap, BUFFER_SIZE)
            self._buffer += bytes(zeros)
            self._gathered += zeros
            gap -= zeros
            self._flush_large()
        self._gathered += len(payload)
        if payload.readonly and len(payload) >= UNCOPIED:
            self._end_part()
            self._parts.append(payload)
        else:
            self._buffer += payload
        if self.threaded:
            self._flush_large()

    def write_gathered(self) -> None:
        """Write what `append` gathered, if it is much; without a thread nothing else does.

        Raises
        ------
        ConversionError
            The disk is full, or fails. The next call tries again.
        """
        self._flush_large()

    def append_run(self, offset: int, run: memoryview) -> None:
        """Add bytes at or after the end, as `append` does, but long ones without gathering them first.

        Parameters
        ----------
        offset : int
        run : memoryview
            Of no byte one zero is added, as for an empty value.

        Raises
        ------
        ConversionError
            The disk is full, or fails.
        """
        if len(run) <= DIRECT:
            self.append(offset, run if len(run) else memoryview(b"\0"))
            return
        self.append(offset, memoryview(b""))
        self._hand_over()
        if self.threaded:
            self._write_behind([run])
            return
        self._parts, self._gathered = [run], len(run)
        self._write_here()

    def _flush_large(self) -> None:
        if self._gathered >= TOGETHER:
            self._hand_over()

    def _end_part(self) -> None:
        if self._buffer:
            self._parts.append(memoryview(self._buffer))
            self._buffer = bytearray()

    def _hand_over(self) -> None:
        self._end_part()
        if self._parts and not self.threaded:
            self._write_here()
        elif self._parts:
            parts, self._parts, self._gathered = self._parts, [], 0
            self._write_behind(parts)

    def _write_behind(self, parts: list[memoryview]) -> None:
        """Let the thread write the next bytes, and hash them here."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="ffprep-write")
        size = sum(map(len, parts))
        self._behind.append((size, self._pool.submit(self._write_early, self.hasher.position, parts)))
        self._waiting += size
        for part in parts:
            self.hasher.update(part)
        self._wait_until(BEHIND)

    def _write_here(self) -> None:
        """Write what was gathered, so that an interruption or a full disk leaves it to be written again."""
        if self._lost:
            raise self.failure(OSError(errno.EIO, os.strerror(errno.EIO)), self.hasher.position)
        while self._parts:
            sizes = accumulate(map(len, self._parts))
            count, size = next(
                (n, size) for n, size in enumerate(sizes, 1) if size >= HOT_BYTES or n == len(self._parts)
            )
            self._write_early(self.hasher.position, self._parts[:count])
            self._lost = True
            for part in self._parts[:count]:
                self.hasher.update(part)
            del self._parts[:count]
            self._gathered -= size
            self._lost = False

    def _write_early(self, offset: int, parts: list[memoryview]) -> None:
        """Write, and let the disk begin, which else would have nothing to do until `sync` waits for all of it."""
        size = sum(map(len, parts))
        try:
            write_parts(self._descriptor, parts, offset)
        except OSError as error:
            raise self.failure(error, offset) from error
        if offset + size - self._begun >= BUFFER_SIZE:
            begin_writing(self._descriptor, self._begun, offset + size - self._begun)
            self._begun = offset + size

    def _wait_until(self, most: int) -> None:
        while self._waiting > most:
            size, writing = self._behind[0]
            writing.result()  # one that failed stays where it is
            self._behind.popleft()
            self._waiting -= size

    def flush(self) -> None:
        """Hand the payloads so far to the operating system, and wait until it has them.

        Raises
        ------
        ConversionError
            The disk is full, or fails.
        """
        self._hand_over()
        self._wait_until(0)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write bytes at any offset.

        Raises
        ------
        ConversionError
            The disk is full, or fails.
        """
        try:
            write_fully(self._descriptor, memoryview(data), offset)
        except OSError as error:
            raise self.failure(error, offset) from error

    def failure(self, error: OSError, offset: int) -> ConversionError:
        """Describe a failed write in one line."""
        return ConversionError(f"{self.path}: byte {offset}: cannot write: {error.strerror}; {remedy(error)}")

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise self.failure(error, size) from error

    def sync(self) -> None:
        """Force everything to the disk."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self.failure(error, self.end) from error

    def checksum(self, start: int, end: int) -> int:
        """Return the xxh3-64 of a part of the file."""
        hasher = xxhash.xxh3_64()
        for part in self.pieces(start, end):
            hasher.update(part)
        return hasher.intdigest()

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Read a part of the file, piece by piece."""
        while start < end:
            part = os.pread(self._descriptor, min(BUFFER_SIZE, end - start), start)
            if not part:
                raise ConversionError(f"{self.path}: byte {start}: the file shrank while it was written")
            yield part
            start += len(part)

    def zero(self, start: int, end: int) -> None:
        """Overwrite a part of the file with zeros, leaving holes in it alone."""
        while start < end:
            part = os.pread(self._descriptor, min(BUFFER_SIZE, end - start), start)
            if not part:
                return
            if any(part):
                self.write_at(start, bytes(len(part)))
            start += len(part)

    def restore(self, end: int, finished_blocks: list[int]) -> None:
        """Continue after byte `end`: drop later bytes and hash the unfinished block again."""
        self.truncate(end)
        self.hasher.finished = finished_blocks
        start = self.hasher.position
        if finished_blocks:
            start = (start // BLOCK_SIZE + len(finished_blocks)) * BLOCK_SIZE
        self.hasher.position = start
        while start < end:
            part = os.pread(self._descriptor, min(BUFFER_SIZE, end - start), start)
            self.hasher.update(memoryview(part))
            start += len(part)

    def remove(self) -> None:
        """Remove the file, which stays open and locked, if that is possible."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, once no more is being written, and free its lock."""
        if self._pool is not None:
            self._pool.shutdown()
        self._lock.release()
        os.close(self._descriptor)

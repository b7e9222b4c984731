"""The journal beside an unfinished file, which says how much of the file is safely on the disk.

A journal is a header (magic, fingerprint of the conversion) and commits. A commit says how far the payloads reach and
carries what is not in the file yet: rows of the allocation table, names, checksums. Each commit has a checksum of its
own, so that one that a crash cut off is recognised and dropped.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xxhash

_HEAD = struct.Struct("<8s16s")
_COMMIT = struct.Struct("<4sIQQ")
_MAGIC = b"FFPJRNL1"
_MARK = b"CMIT"
_LARGEST_FACTS = 1 << 30


class Journal:
    """Commits of one conversion.

    Parameters
    ----------
    path : Path
    fingerprint : bytes
        16 bytes that identify the conversion and its options.

    Attributes
    ----------
    found : {'nothing', 'ours', 'other'}
        What the file contained: nothing, the journal of this conversion, or something else.
    facts : dict or None
        The facts of the last valid commit.
    """

    def __init__(self, path: Path, fingerprint: bytes) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self.facts: dict[str, Any] | None = None
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._end = 0
        try:
            self.found = self._identify()
            if self.found == "ours":
                for facts, _ in self._walk():
                    self.facts = facts
        except BaseException:
            os.close(self._descriptor)
            raise

    def _identify(self) -> str:
        head = os.pread(self._descriptor, _HEAD.size, 0)
        if not head:
            return "nothing"
        if len(head) < _HEAD.size:
            return "nothing" if _MAGIC.startswith(head[: len(_MAGIC)]) else "other"
        magic, fingerprint = _HEAD.unpack(head)
        return "ours" if magic == _MAGIC and fingerprint == self.fingerprint else "other"

    def _walk(self) -> Iterator[tuple[dict[str, Any], tuple[int, int]]]:
        """Yield the facts of each valid commit and where its attachments are; sets `_end` to the end of the commit."""
        position = _HEAD.size
        self._end = position
        size = os.fstat(self._descriptor).st_size
        while True:
            head = os.pread(self._descriptor, _COMMIT.size, position)
            if len(head) < _COMMIT.size:
                return
            mark, length, attached, checksum = _COMMIT.unpack(head)
            start = position + _COMMIT.size
            end = start + length + attached
            if mark != _MARK or length > _LARGEST_FACTS or end > size:
                return
            content = os.pread(self._descriptor, length + attached, start)
            if len(content) != length + attached or xxhash.xxh3_64_intdigest(content) != checksum:
                return
            self._end = position = end
            yield json.loads(content[:length]), (start + length, attached)

    def start(self) -> None:
        """Drop everything and begin a new journal."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, _HEAD.pack(_MAGIC, self.fingerprint), 0)
        self._end = _HEAD.size
        self.facts = None
        self.found = "ours"

    def resume(self) -> None:
        """Drop what comes after the last valid commit."""
        os.ftruncate(self._descriptor, self._end)

    def append(self, commit: bytes) -> None:
        """Add a commit (see `packed`) and force it to the disk."""
        write_fully(self._descriptor, memoryview(commit), self._end)
        os.fsync(self._descriptor)
        self._end += len(commit)

    def attachments(self, name: str) -> Iterator[bytes]:
        """Yield the attachments with this name, commit by commit."""
        for facts, (start, _) in self._walk():
            offset = start
            for known, length in facts["attachments"]:
                if known == name:
                    yield os.pread(self._descriptor, length, offset)
                offset += length

    def close(self, *, remove: bool) -> None:
        os.close(self._descriptor)
        if remove:
            self.path.unlink(missing_ok=True)


def packed(facts: dict[str, Any], attachments: dict[str, bytes]) -> bytes:
    """Pack a commit from its facts, which are JSON values, and its attachments, which are bytes by name."""
    facts = {**facts, "attachments": [[name, len(content)] for name, content in attachments.items()]}
    body = json.dumps(facts, sort_keys=True).encode("utf-8")
    content = b"".join([body, *attachments.values()])
    checksum = xxhash.xxh3_64_intdigest(content)
    return _COMMIT.pack(_MARK, len(body), len(content) - len(body), checksum) + content


class Committer:
    """Adds commits to a journal in the background, because waiting for the disk would hold up the writing.

    At most one commit is under way at a time.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pool: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    def submit(self, sync: Callable[[], None], facts: dict[str, Any], attachments: dict[str, bytes]) -> None:
        """Force the payloads to the disk with `sync`, then append the commit that records them."""
        self.wait()
        commit = packed(facts, attachments)  # packed now, because the facts keep changing
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="ffprep-commit")

        def work() -> None:
            sync()
            self._journal.append(commit)

        self._pending = self._pool.submit(work)

    def wait(self, *, block: bool = True) -> None:
        """Wait for the commit under way, if there is one. Without `block`, only check whether it has ended.

        Raises
        ------
        OSError, ConversionError
            The commit failed.
        """
        pending = self._pending
        if pending is not None and (block or pending.done()):
            self._pending = None
            pending.result()

    def close(self) -> None:
        """Wait for the thread to end."""
        if self._pool is not None:
            self._pool.shutdown()


def write_fully(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of the data, since a single call of ``pwrite`` may write less.

    Raises
    ------
    OSError
        The disk is full, for instance.
    """
    while len(data):
        written = os.pwrite(descriptor, data, offset)
        data = data[written:]
        offset += written

"""The journal beside an unfinished file, which says how much of the file is safely on the disk.

A journal is a header (magic, fingerprint of the conversion), a record of what the conversion is, and commits. A commit
says how far the payloads reach and carries what is not in the file yet: rows of the allocation table, names, checksums.
Each has a checksum of its own, so that one that a crash cut off is recognised and dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xxhash

from ffprep.beton.sections import canonical_json
from ffprep.common.files.replacing import naming
from ffprep.common.files.writing_back import write_fully

_HEAD = struct.Struct("<8s16s")
_COMMIT = struct.Struct("<4sIQQ")
_MAGIC = b"FFPJRNL3"
_MARK = b"CMIT"
_IDENTITY = b"IDEN"
_DISPOSABLE = bytes(16)  # instead of the fingerprint, where nothing is ever continued
_LARGEST_FACTS = 1 << 30


class Journal:
    """Commits of one conversion.

    Parameters
    ----------
    path : Path
    identity : dict
        JSON values that tell the conversion and its options from all others.
    disposable : bool
        Whether this conversion is never continued, so that what a kill leaves of it is of no use.

    Attributes
    ----------
    found : {'nothing', 'ours', 'other', 'disposable', 'unknown'}
        Whose journal the file is: nobody's, this conversion's, another one's, one that is never continued, or something
        else than a journal of this version.
    found_identity : dict or None
        What the file says of its conversion.
    facts : dict or None
        The facts of the last valid commit, whoever's it is.

    Raises
    ------
    OSError
        The file cannot be opened or read. As for all errors of the system here, it names the file.
    """

    def __init__(self, path: Path, identity: dict[str, Any], *, disposable: bool = False) -> None:
        self.path = path
        self._identity = canonical_json(identity)
        self._fingerprint = xxhash.xxh3_128_digest(self._identity)
        self._written_as = _DISPOSABLE if disposable else self._fingerprint
        self.facts: dict[str, Any] | None = None
        self.found_identity: dict[str, Any] | None = None
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._end = _HEAD.size
        try:
            with naming(self.path):
                self.found = self._identify()
                for facts, _ in self._walk():
                    self.facts = facts
        except BaseException:
            os.close(self._descriptor)
            raise

    def _identify(self) -> str:
        head = os.pread(self._descriptor, _HEAD.size, 0)
        if len(head) < _HEAD.size:
            return "nothing" if _MAGIC.startswith(head[: len(_MAGIC)]) else "unknown"
        magic, fingerprint = _HEAD.unpack(head)
        if magic != _MAGIC:
            return "unknown"
        if fingerprint == _DISPOSABLE:
            return "disposable"
        return "ours" if fingerprint == self._fingerprint else "other"

    def _record(self, position: int) -> tuple[bytes, int, bytes] | None:
        """The mark of the record at a position, the length of its JSON, and its whole content; None if it is none."""
        head = os.pread(self._descriptor, _COMMIT.size, position)
        if len(head) < _COMMIT.size:
            return None
        mark, length, attached, checksum = _COMMIT.unpack(head)
        start = position + _COMMIT.size
        end = start + length + attached
        if length > _LARGEST_FACTS or end > os.fstat(self._descriptor).st_size:
            return None
        content = os.pread(self._descriptor, length + attached, start)
        if len(content) != length + attached or xxhash.xxh3_64_intdigest(content) != checksum:
            return None
        return mark, length, content

    def _walk(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield the facts of each valid commit and its attachments; sets `_end` to the end of the commit."""
        self._end = position = _HEAD.size
        if self.found in ("nothing", "unknown"):
            return
        while (record := self._record(position)) is not None:
            mark, length, content = record
            position += _COMMIT.size + len(content)
            facts = json.loads(content[:length])
            if mark == _IDENTITY and self.found_identity in (None, facts):
                self.found_identity = facts
                self._end = position
            elif mark == _MARK and self.found_identity is not None:
                self._end = position
                yield facts, content[length:]
            else:
                return

    def start(self) -> None:
        """Drop everything and begin a new journal."""
        with naming(self.path):
            os.ftruncate(self._descriptor, 0)
            head = _HEAD.pack(_MAGIC, self._written_as) + _packed(_IDENTITY, self._identity, b"")
            write_fully(self._descriptor, memoryview(head), 0)
        self._end = len(head)
        self.facts, self.found_identity = None, json.loads(self._identity)
        self.found = "ours"

    def resume(self) -> None:
        """Drop what comes after the last valid commit."""
        with naming(self.path):
            os.ftruncate(self._descriptor, self._end)

    def append(self, commit: bytes) -> None:
        """Add a commit (see `packed`) and force it to the disk."""
        with naming(self.path):
            write_fully(self._descriptor, memoryview(commit), self._end)
            os.fsync(self._descriptor)
        self._end += len(commit)

    def attachments(self, name: str) -> Iterator[bytes]:
        """Yield the attachments with this name, commit by commit."""
        for facts, attached in self._walk():
            offset = 0
            for known, length in facts["attachments"]:
                if known == name:
                    yield attached[offset : offset + length]
                offset += length

    def close(self, *, remove: bool) -> None:
        """Close the file; with `remove`, remove it as well, if that is possible."""
        os.close(self._descriptor)
        if remove:
            with contextlib.suppress(OSError):  # the next conversion to the same file removes it
                self.path.unlink(missing_ok=True)


def packed(facts: dict[str, Any], attachments: dict[str, bytes]) -> bytes:
    """Pack a commit from its facts, which are JSON values, and its attachments, which are bytes by name."""
    facts = {**facts, "attachments": [[name, len(content)] for name, content in attachments.items()]}
    body = json.dumps(facts, sort_keys=True).encode("utf-8")
    return _packed(_MARK, body, b"".join(attachments.values()))


def _packed(mark: bytes, body: bytes, attached: bytes) -> bytes:
    content = body + attached
    return _COMMIT.pack(mark, len(body), len(attached), xxhash.xxh3_64_intdigest(content)) + content


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
            The commit failed; an ``OSError`` names the journal.
        """
        pending = self._pending
        if pending is not None and (block or pending.done()):
            self._pending = None
            pending.result()

    def close(self) -> None:
        """Wait for the thread to end."""
        if self._pool is not None:
            self._pool.shutdown()

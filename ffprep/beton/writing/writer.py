"""Writing ``.beton`` files: a single writer takes samples in order, so that the same samples make the same bytes."""

from __future__ import annotations

import contextlib
import os
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xxhash

from ffprep._version import __version__
from ffprep.beton import layout, sections
from ffprep.beton.writing.columns import RecordPacker
from ffprep.beton.writing.conditions import check_count, check_page_size, refuse_to_drop
from ffprep.beton.writing.finalise import finalise, sync_named
from ffprep.beton.writing.journal import Committer, Journal
from ffprep.beton.writing.placement import Placement, SharedPayloads, payloads_of, plan_sample
from ffprep.beton.writing.unfinished import UnfinishedFile, remedy
from ffprep.common.files.outputs import check_output, check_own
from ffprep.errors import ConversionError, OptionError
from ffprep.fields.base import Encoded, Field

COMMIT_BYTES = 1 << 28
COMMIT_SAMPLES = 1 << 18
COMMIT_SECONDS = 60.0
Self = TypeVar("Self", bound="Writer")


class Writer:
    """Writes one ``.beton`` file from samples in order.

    The bytes depend only on the samples, their names and the manifest. Until `close` the file is called
    ``NAME.partial`` and has a ``NAME.journal`` beside it; `close` forces it to the disk and renames it. After a crash
    the two files are still there, and a `Writer` with ``resume=True`` continues from the last commit to the same bytes.
    No `Writer` throws away what another one left to be continued, unless ``restart=True``.

    Parameters
    ----------
    path : str or Path
    fields : mapping of name to Field
        Names have at most 16 ASCII characters.
    num_samples : int
        How many samples will be written, at most.
    page_size : int, optional
        A power of two from 2^21 to 2^31. By default 8 MiB, growing when a sample is larger.
    manifest : mapping, optional
        JSON values to keep in the file, such as the origin of the data and options. They must not differ between two
        runs of the same conversion, as the time would.
    resume : bool
        Continue an unfinished file of the same conversion if there is one.
    restart : bool
        Drop an unfinished file, whatever conversion it belongs to, and begin anew.
    keep : bool, optional
        If this run fails, leave what was written, so that it can be resumed; otherwise remove it. By default as
        `resume`.
    overwrite : bool
        Replace a finished file at `path` when this one is finished.
    write_behind : bool
        Whether a thread of its own writes payloads, rather than the caller's.

    Attributes
    ----------
    num_written : int
        Samples written so far; after a resume, the number of the next one.
    state : dict
        JSON values of the caller, saved with each commit and restored on resume. They must describe the samples
        written before when `write` or `commit` is called.
    notes : bytearray
        Bytes of the caller, saved and restored likewise; only what was added since the last commit is written.

    Raises
    ------
    OptionError
        An argument is wrong, the file exists, another process is writing it, or there is an unfinished file that cannot
        be continued.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fields: Mapping[str, Field],
        num_samples: int,
        *,
        page_size: int | None = None,
        manifest: Mapping[str, Any] | None = None,
        resume: bool = False,
        restart: bool = False,
        keep: bool | None = None,
        overwrite: bool = False,
        commit_bytes: int = COMMIT_BYTES,
        commit_samples: int = COMMIT_SAMPLES,
        commit_seconds: float = COMMIT_SECONDS,
        write_behind: bool = True,
    ) -> None:
        self.path = Path(path)
        self.num_samples = check_count(num_samples)
        check_page_size(page_size)
        check_output(self.path, overwrite=overwrite)
        self._packer = RecordPacker(fields)
        self._columns = self._packer.columns
        self._data_start = layout.data_start(self._record_offset(self.num_samples))
        self._manifest = {
            "writer": {"name": "ffprep", "version": __version__},
            "fields": sections.field_summary(fields),
            **(manifest or {}),
        }
        self._resume, self._restart, self._keep = resume, restart, resume if keep is None else keep
        self._commit_bytes, self._commit_samples, self._commit_seconds = commit_bytes, commit_samples, commit_seconds
        self.num_written = 0
        self.state: dict[str, Any] = {}
        self.notes = bytearray()
        self._saved_blocks = self._saved_notes = 0
        self._placement, self._shared = Placement(self._data_start, page_size), SharedPayloads()
        self._forget_uncommitted()
        self._open(page_size, write_behind)

    def _open(self, page_size: int | None, write_behind: bool) -> None:
        self._identity = identity = {
            "descriptors": self._packer.descriptors.hex(),
            "samples": self.num_samples,
            "page_size": page_size,
            "manifest": self._manifest,
        }
        journal = self.path.with_name(self.path.name + ".journal")
        check_own(journal)
        self._sink = UnfinishedFile(journal.with_suffix(".partial"), self._data_start, behind=write_behind)
        try:
            self._journal = Journal(journal, identity, disposable=not (self._resume or self._keep))
        except BaseException:
            if not self._sink.size:
                self._sink.remove()
            self._sink.close()
            raise
        self._committer, self._closed, self._consistent = Committer(self._journal), False, True
        try:
            self._begin()
        except BaseException:
            self._release(remove=not self._sink.size)
            raise

    def _begin(self) -> None:
        facts, size = self._journal.facts, self._sink.size
        if not self._restart:
            refuse_to_drop(self._sink.path, size, self._journal, self._identity, resume=self._resume)
        if self._resume and not self._restart and size and self._journal.found == "ours" and facts is not None:
            self._journal.resume()
            self._restore(facts)
        else:
            self._sink.truncate(0)
            self._journal.start()
        self._sink.write_at(0, self._header(self.num_samples, 0) + self._packer.descriptors)

    def _restore(self, facts: dict[str, Any]) -> None:
        self.num_written = facts["samples"]
        self.state = facts["state"]
        self._placement.cursor = facts["cursor"]
        self._placement.page_size = facts["page_size"]
        shared = b"".join(self._journal.attachments("shared"))
        self._shared.restore(shared, facts["recent"], self.num_written - 1)
        blocks = np.frombuffer(b"".join(self._journal.attachments("blocks")), "<u8")
        self._sink.restore(facts["cursor"], blocks.tolist())
        self._saved_blocks = len(blocks)
        self.notes += b"".join(self._journal.attachments("notes"))
        self._saved_notes = len(self.notes)
        self._first_record = self.num_written
        self._sink.zero(self._record_offset(self.num_written), self._data_start)

    def _record_offset(self, sample: int) -> int:
        return layout.records_start(len(self._columns)) + sample * self._packer.size

    def _header(self, num_samples: int, alloc_table_ptr: int) -> bytes:
        facts = (layout.VERSION, len(self._columns), self._placement.page_size, num_samples, alloc_table_ptr)
        return layout.Header(*facts).pack()

    def _forget_uncommitted(self) -> None:
        self._records = bytearray()
        self._allocations, self._sums = array("Q"), array("Q")
        self._names: list[bytes] = []
        self._first_record = self.num_written
        self._uncommitted_bytes = 0
        self._committed_at = time.monotonic()

    # -- writing ---------------------------------------------------------------------------------------

    def write(self, sample: Sequence[Encoded], name: str = "") -> None:
        """Add one sample.

        Parameters
        ----------
        sample : sequence of Encoded
            One value for each field, in the fields' order.
        name : str
            The sample's name in its source, kept in the file for error messages.

        Raises
        ------
        ConversionError
            The sample does not fit the fields, there are more samples than promised, or the disk is full or fails.
        """
        if self._closed or not self._consistent:
            raise OptionError(f"{self.path}: the writer is closed, or failed before")
        self._await_commit(block=False)
        self._sink.write_gathered()
        if self._commit_due():
            self._start_commit()
        try:
            if self.num_written >= self.num_samples:
                raise ConversionError(f"one more than the {self.num_samples} promised for {self.path}")
            if len(sample) != len(self._columns):
                raise ConversionError(f"{len(sample)} values for {len(self._columns)} fields")
            payloads = payloads_of(self._columns, sample)
            offsets, cursor, fresh = plan_sample(
                self._placement, self._shared, self._columns, sample, payloads, self.num_written
            )
            record = self._packer.pack(sample, offsets)
        except ConversionError as error:
            label = f"sample {self.num_written}" + (f" ({name})" if name else "")
            raise ConversionError(f"{label}: {error}") from error
        self._consistent = False
        for index in fresh:
            view = payloads[index]
            self._sink.append(offsets[index], view if len(view) else memoryview(b"\0"))
            self._uncommitted_bytes += len(view)
        for index, view in payloads.items():
            self._allocations.extend((self.num_written, offsets[index], len(view)))
            checksum = sample[index].checksum
            self._sums.append(xxhash.xxh3_64_intdigest(view) if checksum is None else checksum)
            if sample[index].key is not None:
                self._shared.used(index, sample[index], self.num_written, offsets[index], len(view))
        self._placement.cursor = cursor
        self._records += record
        self._names.append(sections.clean_name(name) if name else b"")
        self._uncommitted_bytes += len(name)
        self.num_written += 1
        self._consistent = True

    # -- commits ---------------------------------------------------------------------------------------

    def _commit_due(self) -> bool:
        waiting = self.num_written - self._first_record
        return waiting > 0 and (
            waiting >= self._commit_samples
            or self._uncommitted_bytes >= self._commit_bytes
            or time.monotonic() - self._committed_at >= self._commit_seconds
        )

    def commit(self) -> None:
        """Make everything written so far survive a crash. `write` does this from time to time, in the background.

        Raises
        ------
        ConversionError
            The disk is full, or fails.
        """
        self._start_commit()
        self._await_commit()

    def _start_commit(self) -> None:
        self._await_commit()
        # After a failed write or fsync it is unknown what is on the disk, so only earlier commits count.
        self._consistent = False
        self._sink.flush()
        self._sink.write_at(self._record_offset(self._first_record), self._records)
        if self._sink.size < self._placement.cursor:  # there are no payloads yet
            self._sink.truncate(self._placement.cursor)
        facts = {
            "samples": self.num_written,
            "cursor": self._placement.cursor,
            "page_size": self._placement.page_size,
            "recent": self._shared.recent(self.num_written - 1),
            "state": self.state,
        }
        finished = self._sink.hasher.finished
        attachments = {
            "allocations": np.array(self._allocations, "<u8").tobytes(),
            "sums": np.array(self._sums, "<u8").tobytes(),
            "names": b"".join(name + b"\n" for name in self._names),
            "shared": self._shared.take_unsaved(),
            "blocks": np.array(finished[self._saved_blocks :], "<u8").tobytes(),
            "notes": bytes(self.notes[self._saved_notes :]),
        }
        self._committer.submit(self._sink.sync, facts, attachments)
        self._saved_blocks, self._saved_notes = len(finished), len(self.notes)
        self._forget_uncommitted()
        self._consistent = True

    def _await_commit(self, *, block: bool = True) -> None:
        try:
            self._committer.wait(block=block)
        except BaseException as error:
            self._consistent = False
            if isinstance(error, OSError):
                raise ConversionError(f"{error.filename}: cannot write: {error.strerror}; {remedy(error)}") from error
            raise

    # -- closing ---------------------------------------------------------------------------------------

    def close(
        self,
        manifest_extra: Mapping[str, Any] | None = None,
        extra_sections: Mapping[str, bytes] | None = None,
    ) -> None:
        """Finish the file: write tables, manifest and checksums, force it to the disk and rename it.

        Parameters
        ----------
        manifest_extra : mapping, optional
            Additions to the manifest that are known only now, such as counts of re-encoded images.
        extra_sections : mapping of name to bytes, optional
            Further sections, which `Reader.section` returns.

        Raises
        ------
        ConversionError
            The disk is full or fails. The file then stays unfinished, unless the message says that it is finished.
        """
        if self._closed:
            return
        if not self._consistent:
            raise OptionError(f"{self.path}: cannot be finished, writing a sample failed before")
        self._await_commit()
        if self._keep and self.num_written > self._first_record:
            self.commit()
        self._consistent = False
        self._sink.flush()
        self._sink.write_at(self._record_offset(self._first_record), self._records)
        finalise(
            self._sink,
            self.path,
            self._sections(manifest_extra, extra_sections),
            self._committed_and("allocations", np.array(self._allocations, "<u8").tobytes()),
            lambda table: self._header(self.num_written, table),
            self._record_offset(self.num_written),
            self._data_start,
        )
        named = False
        try:
            sync_named(self.path)
            named = True
        finally:
            self._release(remove=named)

    def _sections(
        self, manifest_extra: Mapping[str, Any] | None, extra: Mapping[str, bytes] | None
    ) -> dict[str, bytes]:
        manifest = {**self._manifest, "samples": self.num_written, **(manifest_extra or {})}
        contents = {
            sections.MANIFEST: sections.canonical_json(manifest),
            sections.CHECKSUMS: np.array(self._sink.hasher.digests(), "<u8").tobytes(),
            sections.PAYLOAD_SUMS: b"".join(self._committed_and("sums", np.array(self._sums, "<u8").tobytes())),
        }
        if names := sections.pack_names(self._committed_and("names", b"".join(name + b"\n" for name in self._names))):
            contents[sections.NAMES] = names
        sections.add(contents, extra or {})
        return contents

    def _committed_and(self, name: str, last: bytes) -> Iterator[bytes]:
        yield from self._journal.attachments(name)
        yield last

    def drop_uncommitted(self) -> None:
        """Let only what was committed count from now on, because `state` no longer describes what was written."""
        self._consistent = False

    def abort(self) -> None:
        """Give up. If `keep` was set, all written samples remain and can be resumed, otherwise nothing does."""
        if self._closed:
            return
        if self._keep:
            with contextlib.suppress(ConversionError):
                self._await_commit()
                if self._consistent and self.num_written > self._first_record:
                    self.commit()
        self._release(remove=not (self._keep and self.num_written))

    def _release(self, *, remove: bool) -> None:
        self._closed = True
        self._committer.close()
        if remove:
            self._sink.remove()  # it is renamed by now, or of no use
        self._journal.close(remove=remove)
        self._sink.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *unused: object) -> None:
        if kind is not None:
            return self.abort()
        try:
            self.close()
        except BaseException:
            self.abort()
            raise

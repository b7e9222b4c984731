"""Merging several files into one by copying their payloads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton.checksums import PayloadSums, open_checked, payload_sums, row_sums
from ffprep.beton.parts import agreed_facts, whole_manifest, why_not_whole
from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import fingerprint
from ffprep.beton.sets import Place, check_same_fields, check_same_tokens, files_of, source_of
from ffprep.beton.writing.conditions import accept_finished, differs_from_finished
from ffprep.beton.writing.copying import CopyingWriter, can_copy
from ffprep.beton.writing.keyed import payload_keys
from ffprep.beton.writing.writer import Writer
from ffprep.common.files.outputs import check_output, refuse_inputs
from ffprep.common.workers.cpus import usable_cpus
from ffprep.errors import OptionError
from ffprep.fields.base import Encoded

_CHUNK = 4096


def merge(
    paths: Place | Sequence[Place],
    out: str | os.PathLike[str],
    *,
    custom_fields: Mapping[str, type[Any]] | None = None,
    page_size: int | None = None,
    resume: bool = True,
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the samples of several files, one file after another, into a new file.

    The files may be ffprep's or stock ffcv's. Payloads are copied byte by byte, and payloads that several samples of a
    file share stay shared. Names and manifests are kept. All parts of one conversion, in order, make the file that the
    conversion of the whole would have made.

    Parameters
    ----------
    paths : path, or a sequence of paths
        Files with the same fields in the same order, or indexes of sets, folders or patterns.
    out : str or Path
    custom_fields : mapping of name to Field subclass, optional
        As in `Reader`.
    page_size : int, optional
        As in `Writer`.
    resume : bool
        Has no effect any more: an interrupted merge of the same files is always continued.
    restart : bool
        Drop what an interrupted merge left, and begin anew.
    overwrite : bool
        Replace a finished file. Without it, the finished file of a merge of the same files is accepted.
    progress : callable, optional
        Called with (samples copied, samples).

    Returns
    -------
    int
        Samples written.

    Raises
    ------
    OptionError
        The files have different fields or number their tokens differently, no file is given, `out` is one of them or
        another file is there. Or they hold blocks of tokens, for which there is `merge_blocks`.
    BetonError
        A file cannot be used.
    DecodeError
        A value changed since its file was written. What was merged is kept.

    Warns
    -----
    RuntimeWarning
        The files are parts of conversions, but not all those of one in their order.
    """
    files = files_of(paths)
    if not files:
        raise OptionError("merge wants at least one file")
    readers = [open_checked(file, custom_fields) for file in files]
    check_readers(readers)
    target = Path(out)
    refuse_inputs([target], [reader.path for reader in readers])
    total = sum(len(reader) for reader in readers)
    if any(holds_blocks(reader) for reader in readers):
        raise OptionError(
            f"{readers[0].path}: holds blocks of tokens, which have to be cut anew; take `ffprep merge`, or "
            "merge_blocks of ffprep.text.blocks.merging"
        )
    origins = [origin(reader) for reader in readers]
    manifest: dict[str, Any] = merged_manifest(readers, origins)
    report: dict[str, Any] = {}
    promised = total
    manifests = [reader.manifest for reader in readers]
    if (why := why_not_whole(manifests)) is not None:
        warnings.warn(f"{target}: is not the file of a whole conversion: {why}", RuntimeWarning, stacklevel=2)
    if (whole := whole_manifest(manifests)) is not None:
        manifest, report = whole[0], {"report": whole[1]}
        promised += whole[1]["refused_count"]  # one conversion leaves room for their records, too
    if target.exists() and not (overwrite or restart):
        check_output(target, overwrite=True)
        accept_finished(target, differs_from_finished(target, readers[0].fields, {**manifest, **report}, page_size))
        return total
    with CopyingWriter(
        out,
        readers[0].fields,
        promised,
        page_size=page_size,
        manifest=manifest,
        resume=True,
        restart=restart,
        overwrite=overwrite,
        write_behind=usable_cpus() > 1,
    ) as writer:
        check_continued(writer, origins)
        first = 0
        for number, reader in enumerate(readers):
            begin = min(max(writer.num_written - first, 0), len(reader))
            if begin < len(reader):
                Copied(reader, number, keyed=whole is not None).copy_into(writer, begin, len(reader), progress)
            first += len(reader)
        writer.close(report)
    return total


def check_continued(writer: Writer, origins: Sequence[dict[str, Any]]) -> None:
    """Note the files that are merged; refuse to continue what was begun with others.

    Raises
    ------
    OptionError
    """
    parts = [one["fingerprint"] for one in origins]
    if writer.num_written and writer.state.get("parts") != parts:
        raise OptionError(
            f"{writer.path}.partial: an unfinished merge of other files; go on with those, or --restart drops it and "
            "begins anew"
        )
    writer.state = {"parts": parts}


def check_readers(readers: Sequence[Reader]) -> None:
    """Refuse files in a store, those with other fields than the first, and those whose tokens are numbered otherwise.

    Raises
    ------
    OptionError
    """
    check_local(readers)
    for reader in readers:
        check_same_fields(readers[0].path, readers[0].head, reader.path, reader.head)
    check_same_numbering(readers)


def check_local(readers: Sequence[Reader]) -> None:
    """Refuse files in a store, whose pages need not be on local disk; raises `OptionError`."""
    for reader in readers:
        if reader.source is not None:
            raise OptionError(f"{reader.source.url}: files are copied from local disk only; copy this one there first")


def check_same_numbering(readers: Sequence[Reader]) -> None:
    """Refuse files whose tokens are numbered differently, or of which only some say how; raises `OptionError`."""
    if "tokens" in readers[0].fields:
        check_same_tokens(((reader.path, source_of(reader.manifest)) for reader in readers), all_known=True)


def holds_blocks(reader: Reader) -> bool:
    """Whether a file holds blocks of tokens whose number its manifest records."""
    return "blocks" in source_of(reader.manifest)


def merged_manifest(readers: Sequence[Reader], origins: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the manifest of a file with the samples of others: what they agree in, and what each of them is."""
    return {**agreed_facts([reader.manifest for reader in readers]), "merged": list(origins)}


class Copied:
    """A file of which samples are copied, with what is found out of it once and not for each file that they go to.

    Parameters
    ----------
    reader : Reader
    number : int
        Number of the file, which tells its shared payloads from those of others.
    keyed : bool
        Whether payloads that have the same key in several files are one: in parts of one conversion.
    """

    def __init__(self, reader: Reader, number: int, *, keyed: bool = False) -> None:
        self.reader, self._number = reader, number
        self._names = reader.sample_names()
        self._keys = payload_keys(reader) if keyed else None
        self._in_runs = self._keys is None and can_copy(reader)
        self._sums: dict[str, PayloadSums] | None = None
        if self._in_runs and (rows := row_sums(reader)) is not None:
            fields = [name for name, field in reader.fields.items() if field.pointer is not None]
            self._sums = {name: payload_sums(reader, name, rows) for name in fields}

    def copy_into(
        self, writer: CopyingWriter, start: int, stop: int, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Add samples ``start`` to ``stop - 1``: in long runs, or one by one where payloads are shared.

        Parameters
        ----------
        writer : CopyingWriter
        start, stop : int
        progress : callable, optional
            Called with (samples written, samples to write).
        """
        if self._in_runs:
            writer.copy(self.reader, start, stop, self._names, self._sums, progress)
            return
        some = samples_of(self.reader, self._number, start, self._names, keys=self._keys)
        for name, sample in islice(some, stop - start):
            writer.write(sample, name)
            if progress is not None:
                progress(writer.num_written, writer.num_samples)


def origin(reader: Reader) -> dict[str, Any]:
    """What the manifest of a new file says of one whose samples it has."""
    marks = xxhash.xxh3_128_hexdigest(repr(fingerprint(reader)).encode())  # of ffprep's files also their checksums
    return {"file": reader.path.name, "samples": len(reader), "manifest": reader.manifest, "fingerprint": marks}


def samples_of(
    reader: Reader,
    number: int,
    begin: int,
    names: Sequence[str] | None,
    chosen: Sequence[int] | None = None,
    keys: Mapping[str, Mapping[int, str]] | None = None,
) -> Iterator[tuple[str, list[Encoded]]]:
    """Yield (name, values) of a file's samples, starting with sample `begin`; payloads are views of the file.

    Parameters
    ----------
    reader : Reader
    number : int
        Number of the file, which tells its shared payloads from those of others.
    begin : int
    names : sequence of str or None
    chosen : sequence of int, optional
        The samples to yield, ascending; by default all.
    keys : mapping, optional
        What `payload_keys` found, by which payloads are one in several files. By default those of one file are which
        lie at one place.
    """
    wanted = None if chosen is None else set(chosen)
    shared = {name: _repeated(reader.extents(name)[0]) for name in reader.fields if _pointer(reader, name)}
    for start in range(begin, len(reader), _CHUNK):
        stop = min(start + _CHUNK, len(reader))
        columns = {name: reader.column(name)[start:stop].tolist() for name in reader.fields}
        for index in range(start, stop):
            if wanted is not None and index not in wanted:
                continue
            sample = []
            for name in reader.fields:
                record = columns[name][index - start]
                metadata = record if isinstance(record, tuple) else (record,)
                if name not in shared:
                    sample.append(Encoded(metadata))
                    continue
                offset = int(reader.extents(name)[0][index])
                if keys is not None:
                    key: Hashable = keys[name].get(offset)
                else:
                    key = (number, offset) if offset in shared[name] else None
                sample.append(
                    Encoded(_without_pointer(reader, name, metadata), reader.payload(name, index).data, key=key)
                )
            yield names[index] if names else "", sample


def _pointer(reader: Reader, name: str) -> bool:
    return reader.fields[name].pointer is not None


def _without_pointer(reader: Reader, name: str, metadata: tuple[Any, ...]) -> tuple[Any, ...]:
    """Replace the pointer by 0, so that equal payloads have equal metadata."""
    field = reader.fields[name]
    members = field.metadata_type.names or ("",)
    place = members.index(field.pointer or "")
    return (*metadata[:place], 0, *metadata[place + 1 :])


def _repeated(offset: npt.NDArray[np.uint64]) -> frozenset[int]:
    """Return the offsets that occur more than once."""
    values, counts = np.unique(offset, return_counts=True)
    return frozenset(values[counts > 1].tolist())

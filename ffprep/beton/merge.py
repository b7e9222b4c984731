"""Merging several files into one by copying their payloads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton.checksums import open_checked
from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import fingerprint
from ffprep.beton.writing.conditions import accept_finished, differs_from_finished
from ffprep.beton.writing.writer import Writer
from ffprep.common.outputs import check_output, refuse_inputs
from ffprep.errors import OptionError
from ffprep.fields.base import Encoded

_CHUNK = 4096


def merge(
    paths: Sequence[str | os.PathLike[str]],
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
    file share stay shared. Names and manifests are kept.

    Parameters
    ----------
    paths : sequence of str or Path
        Files with the same fields in the same order.
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
        The files have different fields, no file is given, `out` is one of them or another file is there.
    BetonError
        A file cannot be used.
    DecodeError
        A value changed since its file was written. What was merged is kept.
    """
    if not paths:
        raise OptionError("merge wants at least one file")
    readers = [open_checked(path, custom_fields) for path in paths]
    _check_same_fields(readers)
    target = Path(out)
    refuse_inputs([target], [reader.path for reader in readers])
    total = sum(len(reader) for reader in readers)
    manifest = {"merged": [_origin(reader) for reader in readers]}
    if target.exists() and not (overwrite or restart):
        check_output(target, overwrite=True)
        accept_finished(target, differs_from_finished(target, readers[0].fields, manifest, page_size))
        return total
    with Writer(
        out,
        readers[0].fields,
        total,
        page_size=page_size,
        manifest=manifest,
        resume=True,
        restart=restart,
        overwrite=overwrite,
    ) as writer:
        first = 0
        for number, reader in enumerate(readers):
            begin = min(max(writer.num_written - first, 0), len(reader))
            for name, sample in samples_of(reader, number, begin, reader.sample_names()):
                writer.write(sample, name)
                if progress is not None:
                    progress(writer.num_written, total)
            first += len(reader)
    return total


def _check_same_fields(readers: Sequence[Reader]) -> None:
    model = readers[0]
    for reader in readers[1:]:
        if list(reader.fields) != list(model.fields):
            raise OptionError(
                f"{reader.path} has fields {', '.join(reader.fields)}; {model.path} has {', '.join(model.fields)}"
            )
        for name, field in reader.fields.items():
            if not field.same_layout(model.fields[name]):
                raise OptionError(
                    f"field {name!r} is {field!r} in {reader.path} and {model.fields[name]!r} in {model.path}"
                )


def _origin(reader: Reader) -> dict[str, Any]:
    marks = xxhash.xxh3_128_hexdigest(repr(fingerprint(reader)).encode())  # of ffprep's files also their checksums
    return {"file": reader.path.name, "samples": len(reader), "manifest": reader.manifest, "fingerprint": marks}


def samples_of(
    reader: Reader, number: int, begin: int, names: Sequence[str] | None, chosen: Sequence[int] | None = None
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

"""Spreading the samples of files over other files, which together are a set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ffprep.beton.checksums import open_checked
from ffprep.beton.merge import check_readers, copy_into, holds_blocks, origin
from ffprep.beton.parts import OF_ONE_FILE, Part, agreed_facts, whole_manifest
from ffprep.beton.reader import Reader
from ffprep.beton.sets import SUFFIX, SetFile, SetIndex, make_set, name_problem, numbered, read_index, source_of
from ffprep.beton.writing.conditions import accept_finished, differs_from_finished
from ffprep.beton.writing.copying import CopyingWriter
from ffprep.common.files.outputs import check_output, refuse_inputs
from ffprep.errors import BetonError, CorruptError, OptionError

_OWN = ("writer", "samples")
"""What a manifest says of its own file."""


def split(
    files: Sequence[SetFile],
    out: Path,
    count: int,
    *,
    custom_fields: Mapping[str, type[Any]] | None = None,
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SetIndex:
    """Write the samples of files, in order, into `count` files beside an index, as evenly as possible.

    Payloads are copied byte by byte; names are kept. Each file has the manifest of the one that is split, or what the
    manifests of several agree in. Blocks of tokens are split between samples, and the tokens after the last block go to
    the last file. An interrupted call goes on when it is repeated.

    Parameters
    ----------
    files : sequence of SetFile
        With the same fields in the same order.
    out : Path
        The index, ``NAME.set.json``; the files are ``NAME-00000-of-00064.beton`` and so on.
    count : int
    custom_fields : mapping of name to Field subclass, optional
    restart, overwrite : bool
        As in `merge`.
    progress : callable, optional
        Called with (samples copied, samples).

    Returns
    -------
    SetIndex

    Raises
    ------
    OptionError
        There are fewer samples than files, the names cannot be listed in an index, the files have different fields or
        number their tokens differently, one of them would be written over, or several hold blocks of tokens.
    BetonError
        A file cannot be used.
    DecodeError
        A value changed since its file was written. What was copied is kept.
    """
    if not out.name.endswith(SUFFIX):
        raise OptionError(f"{out}: the name of an index ends with {SUFFIX}")
    stem = out.name.removesuffix(SUFFIX)
    targets = [out.with_name(numbered(stem, number, count)) for number in range(count)]
    if problem := name_problem(targets[0].name):
        raise OptionError(f"{targets[0]}: its name {problem}, so it cannot be listed in {out.name}; give another --out")
    check_output(out, overwrite=overwrite or _lists(out, targets))
    readers = [open_checked(file, custom_fields) for file in files]
    check_readers(readers)
    if len(readers) > 1 and any(map(holds_blocks, readers)):
        raise OptionError(f"{out}: files of blocks of tokens are split one by one; merge them first")
    total = sum(map(len, readers))
    if total < count and count > 1:
        raise OptionError(f"{out}: {count:,} files for {total:,} samples; ask for fewer")
    refuse_inputs([out, *targets], [reader.path for reader in readers])
    origins = [origin(reader) for reader in readers]
    for number, target in enumerate(targets):
        span = Part(number, count).samples(total)
        manifest = {**_manifest(readers, span), "split": {"from": origins, "number": number, "count": count}}
        if target.exists() and not (overwrite or restart):
            check_output(target, overwrite=True)
            accept_finished(target, differs_from_finished(target, readers[0].fields, manifest, None))
            continue
        with CopyingWriter(
            target,
            readers[0].fields,
            len(span),
            manifest=manifest,
            resume=True,
            restart=restart,
            overwrite=overwrite,
        ) as writer:
            _copy(writer, readers, span, total, progress)
    return make_set(out, targets, overwrite=True, custom_fields=custom_fields)


def _lists(out: Path, targets: Sequence[Path]) -> bool:
    """Whether there is an index of these files, as an earlier call makes it."""
    try:
        return [member.name for member in read_index(out).members] == [target.name for target in targets]
    except (BetonError, OSError):
        return False


def _copy(
    writer: CopyingWriter,
    readers: Sequence[Reader],
    span: range,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Copy the samples of all files that have these numbers, without those that were written before."""
    start = 0
    for number, reader in enumerate(readers):
        begin = max(span.start + writer.num_written - start, 0)
        stop = min(span.stop - start, len(reader))
        if begin < stop:
            shown = None if progress is None else (lambda done, _: progress(span.start + done, total))
            copy_into(writer, reader, number, begin, stop, shown)
        start += len(reader)


def _manifest(readers: Sequence[Reader], span: range) -> dict[str, Any]:
    """Return what the manifest of a file with these samples says, but of the splitting itself."""
    if len(readers) > 1:
        whole = whole_manifest([reader.manifest for reader in readers])
        return whole[0] if whole is not None else agreed_facts([reader.manifest for reader in readers])
    found = {key: value for key, value in (readers[0].manifest or {}).items() if key not in _OWN}
    blocks = source_of(found).get("blocks")
    if isinstance(blocks, dict):
        kept = {key: value for key, value in source_of(found).items() if key not in OF_ONE_FILE}
        last = span.stop == len(readers[0])
        try:
            each, count, tail = int(blocks["per_sample"]), int(blocks["count"]), list(blocks["tail"])
        except (KeyError, TypeError, ValueError):
            raise CorruptError(f"{readers[0].path}: the record of its blocks is damaged") from None
        there = count - each * span.start if last else each * len(span)
        found["source"] = {**kept, "blocks": {**blocks, "count": there, "tail": tail if last else []}}
    return found

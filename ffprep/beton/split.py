"""Spreading the samples of files over other files, which together are a set."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffprep.beton.checksums import open_checked
from ffprep.beton.merge import Copied, check_readers, holds_blocks, origin
from ffprep.beton.parts import OF_ONE_FILE, Part, agreed_facts, whole_manifest
from ffprep.beton.reader import Reader
from ffprep.beton.sets import SUFFIX, SetFile, SetIndex, make_set, name_problem, numbered, read_index, source_of
from ffprep.beton.writing.conditions import accept_finished, differs_from_finished
from ffprep.beton.writing.copying import CopyingWriter
from ffprep.common.files.outputs import check_output, refuse_inputs
from ffprep.common.workers.cpus import usable_cpus
from ffprep.errors import BetonError, CorruptError, OptionError

_OWN = ("writer", "samples")
"""What a manifest says of its own file."""

MOST_FILES = 99_999


@dataclass(frozen=True)
class Spread:
    """How large the files are to be that others are split into: one of these is given.

    Attributes
    ----------
    size : int or None
        Bytes of a file, in the mean at most: all files get as many samples, whose sizes differ.
    samples : int or None
        Samples of a file, at most. Of blocks of tokens, of which several are stored together, this counts blocks, but
        a file has at least those that are stored together.
    """

    size: int | None = None
    samples: int | None = None

    def files(self, readers: Sequence[Reader]) -> int:
        """Return how many files that makes of the samples of these.

        Raises
        ------
        OptionError
            They would be more than 99,999.
        """
        if self.size is not None:
            found = -(-sum(reader.head.size for reader in readers) // self.size)
        else:
            each = max(1, (self.samples or 1) // max(map(_stored_together, readers), default=1))
            found = -(-sum(map(len, readers)) // each)
        if found > MOST_FILES:
            raise OptionError(
                f"that would make {found:,} files, and their numbers have five digits; ask for larger ones"
            )
        return max(1, found)


def _stored_together(reader: Reader) -> int:
    """Return how many blocks of tokens are stored as one sample; 1 where samples are no blocks."""
    blocks = source_of(reader.manifest).get("blocks")
    found = blocks.get("per_sample") if isinstance(blocks, dict) else 1
    return found if isinstance(found, int) and found > 0 else 1


def split(
    files: Sequence[SetFile],
    out: Path,
    count: int | Spread,
    *,
    custom_fields: Mapping[str, type[Any]] | None = None,
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SetIndex:
    """Write the samples of files, in order, into so many files beside an index, as evenly as possible.

    Payloads are copied byte by byte; names are kept. Each file has the manifest of the one that is split, or what the
    manifests of several agree in. Blocks of tokens are split between samples, and the tokens after the last block go to
    the last file. An interrupted call goes on when it is repeated.

    Parameters
    ----------
    files : sequence of SetFile
        With the same fields in the same order.
    out : Path
        The index, ``NAME.set.json``; the files are ``NAME-00000-of-00064.beton`` and so on.
    count : int or Spread
        How many files to make, or how large.
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
        There are fewer samples than files, or more files than have numbers; the names cannot be listed in an index, the
        files have different fields or number their tokens differently, one of them would be written over, or several
        hold blocks of tokens.
    BetonError
        A file cannot be used.
    DecodeError
        A value changed since its file was written. What was copied is kept.
    """
    if not out.name.endswith(SUFFIX):
        raise OptionError(f"{out}: the name of an index ends with {SUFFIX}")
    readers: list[Reader] | None = None
    if isinstance(count, Spread):
        readers = [open_checked(file, custom_fields) for file in files]
        count = count.files(readers)
    stem = out.name.removesuffix(SUFFIX)
    targets = [out.with_name(numbered(stem, number, count)) for number in range(count)]
    if problem := name_problem(targets[0].name):
        raise OptionError(f"{targets[0]}: its name {problem}, so it cannot be listed in {out.name}; give another --out")
    check_output(out, overwrite=overwrite or _lists(out, targets))
    readers = readers or [open_checked(file, custom_fields) for file in files]
    check_readers(readers)
    if len(readers) > 1 and any(map(holds_blocks, readers)):
        raise OptionError(f"{out}: files of blocks of tokens are split one by one; merge them first")
    total = sum(map(len, readers))
    if total < count and count > 1:
        raise OptionError(f"{out}: {count:,} files for {total:,} samples; ask for fewer, of more samples each")
    refuse_inputs([out, *targets], [reader.path for reader in readers])
    sources = _Sources(readers)
    for number, target in enumerate(targets):
        span = Part(number, count).samples(total)
        record = {"from": sources.origins(span), "samples": total, "number": number, "count": count}
        manifest = {**_manifest(readers, span), "split": record}
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
            write_behind=usable_cpus() > 1,
        ) as writer:
            sources.copy(writer, span, progress)
    return make_set(out, targets, overwrite=True, custom_fields=custom_fields)


def _lists(out: Path, targets: Sequence[Path]) -> bool:
    """Whether there is an index of these files, as an earlier call makes it."""
    try:
        return [member.name for member in read_index(out).members] == [target.name for target in targets]
    except (BetonError, OSError):
        return False


class _Sources:
    """The files that are split."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = readers
        self._starts = [0, *itertools.accumulate(map(len, readers))]
        self._origins: dict[int, dict[str, Any]] = {}
        self._copied: tuple[int, Copied] | None = None

    def _files(self, span: range) -> Iterator[tuple[int, int, int]]:
        """Yield those files that hold some samples, and the first and the end of these in the file."""
        for number in range(bisect.bisect(self._starts, span.start) - 1, len(self._readers)):
            start = self._starts[number]
            if start >= span.stop:
                return
            begin, stop = max(span.start - start, 0), min(span.stop - start, len(self._readers[number]))
            if begin < stop:
                yield number, begin, stop

    def origins(self, span: range) -> list[dict[str, Any]]:
        """Say of which files some samples are. Files that these were merged of are only counted there."""
        numbers = [number for number, _, _ in self._files(span)]
        for number in numbers:
            if number not in self._origins:
                self._origins[number] = origin(self._readers[number])
                self._origins[number]["manifest"] = _brief(self._readers[number].manifest or {})
        return [self._origins[number] for number in numbers]

    def copy(self, writer: CopyingWriter, span: range, progress: Callable[[int, int], None] | None) -> None:
        """Copy the samples that have these numbers, without those that were written before."""
        for number, begin, stop in self._files(range(span.start + writer.num_written, span.stop)):
            if self._copied is None or self._copied[0] != number:
                self._copied = number, Copied(self._readers[number], number)
            shown = None if progress is None else (lambda done, _: progress(span.start + done, self._starts[-1]))
            self._copied[1].copy_into(writer, begin, stop, shown)


def _brief(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest that counts the files which its file was merged of, since each new file has a copy of it."""
    merged = manifest.get("merged")
    return {**manifest, "merged": {"files": len(merged)}} if isinstance(merged, list) else dict(manifest)


def _manifest(readers: Sequence[Reader], span: range) -> dict[str, Any]:
    """Return what the manifest of a file with these samples says, but of the splitting itself."""
    if len(readers) > 1:
        whole = whole_manifest([reader.manifest for reader in readers])
        return whole[0] if whole is not None else agreed_facts([reader.manifest for reader in readers])
    found = {key: value for key, value in _brief(readers[0].manifest or {}).items() if key not in _OWN}
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

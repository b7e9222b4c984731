"""OpenWebText, and any other corpus of documents, as units to tokenise.

OpenWebText is published in 21 chunks, ``urlsf_subset00.tar`` to ``urlsf_subset20.tar``. Each contains about a thousand
files ``urlsf_subsetNN-M_data.xz``, which are compressed tar archives of some 390 text files: 8,013,769 documents in
all. The copy on the Hugging Face hub (``Skylion007/openwebtext``) has the same documents in 80 parquet files, but
without the chunks. There, a share of the documents is taken instead: chunks 0-5 are 6/21 of them, about 23 of the 80
files.

All of these can be read: the chunks, nested or unpacked; single archives of text; folders of text files; JSON lines,
CSV and parquet files, compressed or not; data sets on the hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ffprep.common.files.source_files import check_regular, open_regular, walk
from ffprep.common.files.tar import members
from ffprep.common.names import Clutter, in_clutter
from ffprep.errors import OptionError, SourceError
from ffprep.sources.reading.hub import check_hub_name, load_dataset
from ffprep.text.documents.documents import ArchiveUnit, RowsUnit, Unit, grouped, is_archive_name, is_text_name, natural
from ffprep.text.documents.streams import SUFFIXES
from ffprep.text.documents.table_parts import TablePart, format_of, parts_of
from ffprep.text.documents.table_rows import Rows, hub_rows

CHUNKS = 21
SPLITS = {"train": (0, 6), "val": (6, 7)}
"""The chunks of each split, as half-open ranges: 0-5 and 6."""

UNIT_FILES = 1024
UNIT_SIZE = 1 << 24
"""The most files, and bytes, of loose text files in a unit."""
_CHUNK = re.compile(r"urlsf_subset(\d+)")


@dataclass(frozen=True)
class Choice:
    """Which part of a corpus to take.

    Attributes
    ----------
    split : str or None
        ``"train"`` or ``"val"``.
    chunks : str or None
        Numbers of chunks, such as ``"0-5"`` or ``"0,3,7-9"``.
    files : str or None
        Numbers of files, counted from 0 in the order of their names or in the hub's order.
    share : str or None
        Part of the documents, such as ``"0-0.2857"``: those whose hash, as a fraction of its range, lies in this
        half-open interval.
    """

    split: str | None = None
    chunks: str | None = None
    files: str | None = None
    share: str | None = None


@dataclass
class Corpus:
    """Documents to tokenise.

    Attributes
    ----------
    name : str
        Name of the data set.
    units : list of Unit
        The documents, in the order in which they are written.
    share : tuple of float
        Which of the units' documents to take; see ``Choice.share``.
    facts : dict
        What was found and chosen, for the manifest.
    notes : list of str
        What the user should know about the choice.
    """

    name: str
    units: list[Unit]
    share: tuple[float, float] = (0.0, 1.0)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def open_corpus(
    source: str,
    choice: Choice | None = None,
    column: str = "text",
    name: str = "openwebtext",
    all_files: bool = False,
) -> Corpus:
    """Find the documents of a corpus.

    Parameters
    ----------
    source : str
        A folder, a file or the name of a data set on the hub.
    choice : Choice, optional
        Which documents to take. By default those of chunks 0-5 if there are chunks, and all otherwise.
    column : str
        Column of the text in tables.
    name : str
        Name of the data set in the manifest.
    all_files : bool
        Whether to take what systems leave behind (`ffprep.common.names.is_clutter`), and hidden files.

    Raises
    ------
    SourceError
        When there is nothing to read, or less than was asked for.
    OptionError
        When the choice does not fit the source.
    """
    chosen = choice or Choice()
    path = Path(source)
    if not path.exists():
        check_hub_name(source)
        return _hub_corpus(source, chosen, column, name)
    clutter = Clutter(all_files)
    files = _list(path, clutter)
    if not files:
        raise SourceError(f"{source}: no text files, archives of text, JSON lines, CSV or parquet files there")
    root = path if path.is_dir() else path.parent
    chunked = _has_chunks(root, files)
    if chosen.chunks is not None and not chunked:
        raise OptionError(f"{source}: has no chunks (urlsf_subset00 and so on); choose with --files or --share")
    corpus = Corpus(name, [], facts={"form": "chunks" if chunked else "files", "column": column})
    corpus.facts |= clutter.facts
    wanted = _wanted_chunks(corpus, chosen) if chunked else None
    if chosen.files is not None:
        numbers = numbers_of(chosen.files, "--files")
        if numbers[-1] >= len(files):
            raise OptionError(f"--files {chosen.files}: {source} has files 0 to {len(files) - 1}")
        files = [files[i] for i in numbers]
        corpus.facts["files"] = chosen.files
    corpus.share = _share(corpus, chosen, chunked)
    found: set[int] = set()
    corpus.units = _units(root, files, column, wanted, found, clutter)
    corpus.notes[:0] = clutter.notes()
    if wanted is not None:
        _note_chunks(corpus, source, chosen, wanted, found)
    if not corpus.units:
        raise SourceError(f"{source}: nothing that was asked for is there")
    return corpus


def numbers_of(text: str, option: str) -> list[int]:
    """The numbers in a list such as ``0-5,8``, sorted.

    Raises
    ------
    OptionError
        When it is not such a list.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", part)
        low = int(match[1]) if match else 0
        high = int(match[2]) if match and match[2] else low
        if match is None or high < low:
            raise OptionError(f"{option} {text!r}: give numbers and ranges such as 0-5 or 0,3,7-9")
        found.update(range(low, high + 1))
    return sorted(found)


def share_of(text: str) -> tuple[float, float]:
    """The bounds of a share such as ``0-0.2857`` or ``2/7-1/3``.

    Raises
    ------
    OptionError
        When it is not a share.
    """
    bounds: list[float] = []
    for part in text.split("-"):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)(?:\s*/\s*(\d+))?\s*", part)
        if match is None or (match[2] is not None and int(match[2]) == 0):
            bounds = []
            break
        bounds.append(float(match[1]) / int(match[2] or 1))
    if len(bounds) != 2 or not 0 <= bounds[0] < bounds[1] <= 1:
        raise OptionError(f"--share {text!r}: give two fractions from 0 to 1, such as 0-0.2857 or 0-6/21")
    return bounds[0], bounds[1]


def _share(corpus: Corpus, choice: Choice, chunked: bool) -> tuple[float, float]:
    if choice.share is not None:
        corpus.facts["share"] = choice.share
        return share_of(choice.share)
    if choice.split is None or chunked or choice.files is not None:
        if not chunked and choice.files is None:
            corpus.notes.append("no chunks here: all documents are taken; --split, --files or --share takes some")
        return 0.0, 1.0
    low, high = SPLITS[choice.split]
    corpus.facts["share"] = f"{low}/{CHUNKS}-{high}/{CHUNKS}"
    corpus.notes.append(
        f"no chunks here: as {choice.split} the documents with a hash from {low}/{CHUNKS} to {high}/{CHUNKS} are taken"
    )
    return low / CHUNKS, high / CHUNKS


def _wanted_chunks(corpus: Corpus, choice: Choice) -> frozenset[int] | None:
    if choice.chunks is not None:
        corpus.facts["chunks"] = choice.chunks
        return frozenset(numbers_of(choice.chunks, "--chunks"))
    if choice.split is None and (choice.files is not None or choice.share is not None):
        return None
    low, high = SPLITS[choice.split or "train"]
    corpus.facts["chunks"] = f"{low}-{high - 1}" if high - low > 1 else str(low)
    return frozenset(range(low, high))


def _note_chunks(corpus: Corpus, source: str, choice: Choice, wanted: frozenset[int], found: set[int]) -> None:
    missing = sorted(wanted - found)
    if not missing:
        return
    listed = ", ".join(map(str, missing))
    if choice.chunks is not None or not found:
        raise SourceError(f"{source}: chunks {listed} are not there")
    corpus.facts["missing_chunks"] = missing
    corpus.notes.append(f"chunks {listed} are not there; name the ones you have with --chunks to be sure")


# local files


def _list(path: Path, clutter: Clutter) -> list[str]:
    """Paths within a folder of everything that can be read, in natural order; or the name of a single file."""
    if not path.is_dir():
        check_regular(path)
        return [path.name]
    names: list[str] = []
    for folder, below, files in walk(path):
        inside = Path(folder).relative_to(path)
        below[:] = [name for name in below if not clutter.leaves_out((inside / name).as_posix(), hidden=True)]
        found = ((inside / name).as_posix() for name in files if _readable(name))
        names += [name for name in found if not clutter.leaves_out(name, hidden=True)]
    return sorted(names, key=natural)


def _readable(name: str) -> bool:
    inner = Path(name).stem if Path(name).suffix in SUFFIXES else name
    text = is_text_name(inner) and Path(inner).suffix != "" and Path(inner).stem.lower() not in ("readme", "license")
    return format_of(Path(name)) is not None or is_archive_name(name) or text


def _has_chunks(root: Path, files: Sequence[str]) -> bool:
    if any(_CHUNK.search(name) for name in files):
        return True
    archives = [name for name in files if is_archive_name(name)]
    if len(archives) != 1 or len(files) != 1 or not _is_plain_tar(root / archives[0]):
        return bool(archives) and len(files) == 1 and "openwebtext" in archives[0].lower()
    return any(_CHUNK.search(member.name) for member in _walk(root / archives[0]))


def _is_plain_tar(path: Path) -> bool:
    return path.suffix.lower() == ".tar"


def _walk(path: Path) -> list[Any]:
    fd = open_regular(path)
    try:
        return list(members(fd, label=str(path)))
    finally:
        os.close(fd)


def _chunk(name: str) -> int | None:
    match = _CHUNK.search(name)
    return int(match[1]) if match else None


def _in_chunks(wanted: frozenset[int], name: str) -> bool:
    number = _chunk(name)
    return number is None or number in wanted


def _units(
    root: Path, files: Sequence[str], column: str, wanted: frozenset[int] | None, found: set[int], clutter: Clutter
) -> list[Unit]:
    units: list[Unit] = []
    texts: list[str] = []

    def flush() -> None:
        sizes = [(root / name).stat().st_size for name in texts]
        units.extend(grouped(root, texts, sizes, UNIT_FILES, UNIT_SIZE))
        texts.clear()

    for name in files:
        number = _chunk(name)
        if number is not None and wanted is not None:
            if number not in wanted:
                continue
            found.add(number)
        path = root / name
        kind = format_of(path)
        if kind is None and not is_archive_name(name):
            texts.append(name)
            continue
        flush()
        if kind is not None:
            units.extend(RowsUnit(part) for part in parts_of(path, name, [column], kind))
        else:
            units.extend(_archive_units(path, name, wanted, found, clutter))
    flush()
    return units


def _none(name: str) -> bool:
    return False


def _archive_units(
    path: Path, name: str, wanted: frozenset[int] | None, found: set[int], clutter: Clutter
) -> list[Unit]:
    """Units of an archive. Archives inside an uncompressed one can be read at the same time, so each is a unit.

    Texts that lie beside them are one more unit, the last.
    """
    accept = partial(_in_chunks, wanted) if wanted is not None else None
    if _is_plain_tar(path):
        kept: list[Any] = []
        left_out: list[Any] = []
        for member in _walk(path):
            (kept if clutter.taken or not in_clutter(member.name) else left_out).append(member)
        inside = [member for member in kept if is_archive_name(member.name)]
        inside.sort(key=lambda member: natural(member.name))
        loose = any(is_text_name(member.name) and _readable(Path(member.name).name) for member in kept)
        nested: list[Unit] = []
        for member in inside:
            label = f"{name}/{member.name.removeprefix('./')}"
            if accept is None or accept(member.name):
                number = _chunk(member.name)
                found.update(() if number is None else (number,))
                nested.append(ArchiveUnit(path, label, member.offset, member.size, accept, clutter.taken))
        if inside and loose:
            # This unit notes itself what it leaves out.
            return [*nested, ArchiveUnit(path, name, 0, path.stat().st_size, _none, clutter.taken)]
        if inside:
            clutter.left_out += [f"{name}/{member.name}" for member in left_out if is_archive_name(member.name)]
            return nested
    elif wanted is not None and _chunk(name) is None:
        found.update(wanted)  # what a compressed archive holds is not known before it is read
    return [ArchiveUnit(path, name, 0, path.stat().st_size, accept, clutter.taken)]


# the hub


def _hub_corpus(repository: str, choice: Choice, column: str, name: str) -> Corpus:
    if choice.chunks is not None:
        raise OptionError(f"{repository}: the hub's form has no chunks; choose with --files or --share")
    dataset = _load(repository)
    count = int(dataset.num_shards)
    corpus = Corpus(name, [], facts={"form": "hub", "repository": repository, "column": column})
    numbers = list(range(count))
    if choice.files is not None:
        numbers = numbers_of(choice.files, "--files")
        if numbers[-1] >= count:
            raise OptionError(f"--files {choice.files}: {repository} has files 0 to {count - 1}")
        corpus.facts["files"] = choice.files
    corpus.share = _share(corpus, choice, False)
    size = int(getattr(dataset.info, "download_size", None) or 0) // max(1, count)
    for number in numbers:
        key = f"{repository} file {number} of {count}"
        read = partial(_hub_rows, repository, number, count, column)
        corpus.units.append(RowsUnit(TablePart(key, size, read)))
    return corpus


def _load(repository: str) -> Any:
    return load_dataset(repository, split="train", streaming=True)


def _hub_rows(repository: str, number: int, count: int, column: str) -> Rows:
    dataset = _load(repository)
    if int(dataset.num_shards) != count:
        raise SourceError(f"{repository}: has {dataset.num_shards} files now but had {count}; start again")
    return hub_rows(dataset.shard(num_shards=count, index=number), f"{repository} file {number}", [column])

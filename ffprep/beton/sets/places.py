"""What an argument stands for: a file, an index, a folder or a pattern."""

from __future__ import annotations

import glob
import operator
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ffprep.beton.sets.index import SUFFIX, read_index
from ffprep.beton.sets.members import SetFile, SetIndex
from ffprep.beton.sets.remote import remote_files
from ffprep.errors import OptionError
from ffprep.remote import folder_at, is_url, shown

_NUMBERED = re.compile(r"(.*)-(\d{5,})-of-(\d{5,})\.beton", re.DOTALL)

Place = str | os.PathLike[str]


def files_of(
    places: Place | Sequence[Place], cache: Place | None = None, cache_limit: int | None = None
) -> list[SetFile]:
    """Return the files that one argument or several stand for, in order.

    Parameters
    ----------
    places : path, or a sequence of paths
        Each is a ``.beton`` file, an index, a folder or a pattern. A folder stands for the index in it, or else for all
        its ``.beton`` files in the order of their names, as a pattern does for those that fit it. Files that were
        found before may stand among them. URLs stand for files in a store.
    cache : path, optional
        Folder for pages of remote files; by default that of the environment.
    cache_limit : int, optional
        Bytes that these pages may take from now on.

    Raises
    ------
    OptionError
        No file is given, nothing fits a pattern, a folder has no ``.beton`` file or several indexes, or files that are
        numbered ``-00000-of-00064``, or that an index lists, are not all there.
    CorruptError
        An index is damaged.
    """
    if isinstance(places, SetFile):
        return [places]
    if cache_limit is not None:
        try:
            limit = operator.index(cache_limit)
        except TypeError:
            raise OptionError(f"cache_limit is {cache_limit!r}; give a whole number of bytes") from None
        folder_at(cache).set_limit(limit)
    if isinstance(places, (str, os.PathLike)):
        return _files_of(os.fspath(places), cache)
    found: list[SetFile] = []
    for place in places:
        found += [place] if isinstance(place, SetFile) else _files_of(os.fspath(place), cache)
    return found


def _files_of(place: str, cache: Place | None = None) -> list[SetFile]:
    if not place:
        raise OptionError("the path is an empty string; give that of a .beton file")
    if is_url(place):
        nothing = f"{shown(place)}: no .beton file is there; check the URL"
        return remote_files(place, folder_at(cache), lambda urls: _complete(urls, nothing))
    path = Path(place)
    if path.is_dir():
        indexes = sorted(path.glob(f"*{SUFFIX}"))
        if len(indexes) > 1:
            raise OptionError(f"{path}: holds {len(indexes)} sets, such as {indexes[0].name}; name one of the indexes")
        if indexes:
            return _listed(read_index(indexes[0]))
        return _complete(sorted(path.glob("*.beton")), f"{path}: a folder without .beton files")
    if not path.exists() and glob.has_magic(place):
        return _complete(sorted(map(Path, glob.glob(place))), f"{place}: no file fits this pattern")  # noqa: PTH207
    if is_index(path):
        return _listed(read_index(path))
    return [SetFile(path)]


def _listed(index: SetIndex) -> list[SetFile]:
    """Return the files that an index lists, after a look at whether they are all there."""
    try:
        there = set(os.listdir(index.path.parent))  # noqa: PTH208 - names alone
    except OSError:
        there = set()
    files = index.files()
    absent = [file for file in files if file.path.name not in there and not file.path.exists()]
    if absent:
        raise OptionError(
            f"{absent[0]}: is missing; of the {len(files):,} files that {index.path} lists, "
            f"{len(files) - len(absent):,} are there; copy or convert it, or make the index again with "
            "`ffprep set --overwrite`"
        )
    return files


def _complete(paths: Sequence[Path], otherwise: str) -> list[SetFile]:
    """Check that of numbered files none is missing."""
    if not paths:
        raise OptionError(otherwise)
    groups: dict[tuple[Path, str, str], set[int]] = {}
    for path in paths:
        if found := _NUMBERED.fullmatch(path.name):
            groups.setdefault((path.parent, found[1], found[3]), set()).add(int(found[2]))
    for (folder, name, count), numbers in groups.items():
        number = next((n for n in range(len(numbers)) if n not in numbers), len(numbers))
        if number < int(count):
            missing = folder / numbered(name, number, int(count), len(count))
            raise OptionError(
                f"{missing}: is missing; of the {int(count):,} files of the set, {len(numbers):,} are there; "
                "copy or convert it, or list the files to use one by one"
            )
    return [SetFile(path) for path in paths]


def numbered(name: str, number: int, count: int, digits: int = 5) -> str:
    """Return the name of a file of a set, ``NAME-00003-of-00064.beton``."""
    return f"{name}-{number:0{digits}}-of-{count:0{digits}}.beton"


def is_index(path: Path) -> bool:
    """Whether a path is that of an index rather than of a ``.beton`` file, which begins with other bytes."""
    if path.suffix == ".beton" or path.name.endswith(SUFFIX):
        return path.suffix != ".beton"
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(64).lstrip()[:1] == b"{"
    except OSError:
        return False  # opening it as a .beton file says what is wrong

"""Files in a store: what a URL stands for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from ffprep.beton.opening.remote_head import whole_file
from ffprep.beton.sets.index import SUFFIX, read_index
from ffprep.beton.sets.members import SetFile, SetIndex
from ffprep.errors import BetonError, OptionError
from ffprep.remote import Facts, Folder, local_file, local_files, shown
from ffprep.remote.facts import LISTED
from ffprep.remote.places import beside, checked, is_pattern, listed

BETON = ".beton"


def remote_files(url: str, folder: Folder, check: Callable[[Sequence[Path]], object]) -> list[SetFile]:
    """Return the files that a URL stands for: a file, an index, a folder or a pattern.

    Their paths are those of sparse files in the cache folder. The store is asked what the objects are, except for those
    of an index, which says it: what an index lists has its size and checksum there.

    Parameters
    ----------
    url : str
    folder : Folder
    check : callable
        Looks whether all of the files that belong together are there.

    Raises
    ------
    OptionError
        Nothing is there, or a folder holds several indexes.
    RemoteError
        The store does not answer.
    """
    url = checked(url)
    path = url.partition("?")[0] if url.startswith("http") else url
    if not is_pattern(url) and path.endswith(SUFFIX):
        return _of_index(url, folder)
    if not is_pattern(url) and path.endswith(BETON):
        return [SetFile(local_file(url, folder))]
    found = listed(url, (BETON, SUFFIX))
    indexes = [one for one in found if one.endswith(SUFFIX)]
    if not is_pattern(url) and indexes:
        if len(indexes) > 1:
            one = shown(indexes[0])
            raise OptionError(f"{shown(url)}: holds {len(indexes)} sets, such as {one}; name one of the indexes")
        return _of_index(indexes[0], folder)
    files = [one for one in found if one.endswith(BETON)]
    check([Path(shown(one)) for one in files])
    return [SetFile(path) for path in local_files(files, folder, [None] * len(files))]


def _of_index(url: str, folder: Folder) -> list[SetFile]:
    index, kept = _read_index(url, folder)
    urls = [beside(url, member.name) for member in index.members]
    facts = [Facts(member.bytes, LISTED + member.checksum) for member in index.members]
    paths = local_files(urls, folder, facts)
    return [SetFile(path, kept, member) for path, member in zip(paths, index.members, strict=True)]


def _read_index(url: str, folder: Folder) -> tuple[SetIndex, Path]:
    """Read an index, and once more with its pages fetched anew if it is none: it may have changed on the disk."""
    source = whole_file(url, folder)
    try:
        with contextlib.suppress(BetonError):
            return read_index(source.path), source.path
        source.forget_unchecked()
        whole_file(url, folder).close()
        return read_index(source.path), source.path
    except BetonError as error:
        raise type(error)(str(error).replace(str(source.path), source.url)) from None
    finally:
        source.close()

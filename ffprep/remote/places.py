"""From URLs to files in a cache folder."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import xxhash

from ffprep.common.files.source_files import read_file
from ffprep.errors import OptionError, SourceError
from ffprep.remote.facts import DESCRIPTION, LONGEST_DESCRIPTION, Facts, RemoteError, shown, split
from ffprep.remote.folder import SUFFIX, Folder, data_file, write_own

if TYPE_CHECKING:
    from ffprep.remote.store import Store

_LONGEST = 180
_SCHEMES_OF_FILES = ("file", "local")
_AT_ONCE = 32

A = TypeVar("A")
T = TypeVar("T")


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether a place is a URL rather than a path."""
    if not isinstance(place, str):
        return False
    scheme, mark, _ = place.partition("://")
    return bool(mark) and scheme.isascii() and scheme.replace("+", "").replace("-", "").isalnum()


def local_file(url: str, folder: Folder, facts: Facts | None = None) -> Path:
    """Return the sparse file in which a remote one's pages are kept, made if it is missing; no page is fetched.

    Parameters
    ----------
    url : str
    folder : Folder
    facts : Facts, optional
        What the object is; by default the store is asked.

    Raises
    ------
    RemoteError
        The store does not answer, or there is no such object.
    OptionError
        A package is missing.
    """
    if facts is None:
        from ffprep.remote.store import Store

        facts = Store(url).facts()
    parts = split(url)
    # A store that names no version is told apart by the whole URL, as one whose query is what differs.
    version = facts.identity or url
    digest = xxhash.xxh3_64_hexdigest(f"{shown(url)}\n{version}\n{facts.size}".encode())
    names = [part for part in (parts.scheme, parts.netloc.rpartition("@")[2], *parts.path.split("/")) if part]
    name = "+".join(urllib.parse.quote(part, safe="") for part in names).replace("@", "%40")
    if len(name) > _LONGEST:
        name = name[-_LONGEST:].lstrip("+")
    place = folder.path / f"{name}@{digest}{SUFFIX}"
    try:
        place.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise folder.unusable(error) from None
    description = json.dumps({"url": url, "size": facts.size, "identity": facts.identity}, indent=1) + "\n"
    known = place / DESCRIPTION
    with contextlib.suppress(OSError, SourceError):
        if read_file(known, LONGEST_DESCRIPTION) == description.encode():
            return data_file(place)
    with folder.locked():
        write_own(known, description)
        known.chmod(0o600)
    return data_file(place)


def local_files(urls: Sequence[str], folder: Folder, facts: Iterable[Facts | None]) -> list[Path]:
    """Return `local_file` of many URLs; the store is asked about several at a time."""
    return list(at_once(lambda one: local_file(one[0], folder, one[1]), list(zip(urls, facts, strict=True))))


def at_once(function: Callable[[A], T], values: Sequence[A]) -> Iterator[T]:
    """Yield what a function returns for each of some values, in their order; it is called for several at a time.

    An exception of it comes in the order of the values, too; it is then called for no further ones.
    """
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(min(_AT_ONCE, max(1, len(values))), thread_name_prefix="ffprep-remote")
    try:
        yield from pool.map(function, values)
    finally:
        pool.shutdown(cancel_futures=True)


def listed(url: str, suffixes: Sequence[str]) -> list[str]:
    """Return the URLs of the files in a remote folder, or those that fit a pattern, whose names end so; sorted.

    Raises
    ------
    RemoteError
        The store cannot list them.
    """
    from ffprep.remote.store import Store

    store = Store(url)
    if not store.path.strip("/") or not split(url).netloc.rpartition("@")[2] + split(url).path.strip("/"):
        raise OptionError(f"{shown(url)}: names no bucket or host; give a URL such as s3://bucket/train.beton")
    try:
        found = store.answer(lambda: _listed_once(store, is_pattern(url)), "cannot be listed")
    except RemoteError as error:
        raise type(error)(f"{error}; name the files or an index") from None
    return sorted(name for name in found if name.endswith(tuple(suffixes)))


async def _listed_once(store: Store, pattern: bool) -> list[str]:
    fs, path = store.fs, store.path if pattern else store.path.rstrip("/")
    fs.invalidate_cache()
    try:
        if fs.async_impl:
            found = await (fs._glob(path) if pattern else fs._ls(path, detail=True))
        else:
            found = await store.in_thread(lambda: fs.glob(path) if pattern else fs.ls(path, True))
    except FileNotFoundError:
        return []
    names = found if pattern else [one["name"] for one in found if one["type"] != "directory"]
    return [str(fs.unstrip_protocol(str(name))) for name in names]


def is_pattern(url: str) -> bool:
    """Whether a URL stands for several files; a question mark begins a query in those of HTTP."""
    if not url.startswith("http"):
        return glob.has_magic(url)
    path = split(url).path
    return "*" in path or "[" in path


def beside(url: str, name: str) -> str:
    """Return the URL of a file in the same folder; the query stays, since it may be what grants access."""
    parts = split(url)
    path = f"{parts.path.rpartition('/')[0]}/{urllib.parse.quote(name) if parts.scheme.startswith('http') else name}"
    if not parts.netloc and parts.scheme == "memory":
        return f"memory://{path}"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def with_suffix(url: str, suffix: str) -> str:
    """Return the URL of the file whose name is longer by so much; a query of HTTP stays behind it."""
    if not url.startswith("http"):
        return url + suffix
    parts = split(url)
    return parts._replace(path=parts.path + suffix).geturl()


def checked(url: str) -> str:
    """Return a URL with its scheme in small letters; those of local files, which are paths, are refused.

    Raises
    ------
    OptionError
        It is one of these, or no URL.
    """
    scheme, mark, rest = url.partition("://")
    url = scheme.lower() + mark + rest
    try:
        split(url)
    except ValueError as error:
        raise OptionError(f"{shown(url)}: no URL: {error}; check it") from None
    if scheme.lower() in _SCHEMES_OF_FILES:
        raise OptionError(f"{shown(url)}: give the path of a local file, without file://")
    return url

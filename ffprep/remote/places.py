"""From URLs to files in a cache folder."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import xxhash

from ffprep.common.files.source_files import read_file
from ffprep.errors import OptionError, SourceError, first_line
from ffprep.remote.facts import DESCRIPTION, LONGEST_DESCRIPTION, Facts, RemoteError, shown
from ffprep.remote.folder import SUFFIX, Folder, data_file, write_own

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
    parts = urllib.parse.urlsplit(url)
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
    from ffprep.remote.store import filesystem_of

    fs, path = filesystem_of(url)
    if not path.strip("/"):
        raise OptionError(f"{url}: names no bucket or host; give a URL such as s3://bucket/train.beton")
    try:
        if is_pattern(url):
            found = fs.glob(path)
        else:
            found = [
                str(entry["name"]) for entry in fs.ls(path.rstrip("/"), detail=True) if entry["type"] != "directory"
            ]
    except FileNotFoundError:
        found = []
    except Exception as error:
        raise RemoteError(f"{shown(url)}: cannot be listed: {first_line(error)}; name the files or an index") from None
    return sorted(fs.unstrip_protocol(name) for name in found if str(name).endswith(tuple(suffixes)))


def is_pattern(url: str) -> bool:
    """Whether a URL stands for several files; a question mark begins a query in those of HTTP."""
    return "*" in url or "[" in url or (not url.startswith("http") and glob.has_magic(url))


def beside(url: str, name: str) -> str:
    """Return the URL of a file in the same folder; the query stays, since it may be what grants access."""
    parts = urllib.parse.urlsplit(url)
    path = f"{parts.path.rpartition('/')[0]}/{urllib.parse.quote(name) if parts.scheme.startswith('http') else name}"
    if not parts.netloc and parts.scheme == "memory":
        return f"memory://{path}"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def with_suffix(url: str, suffix: str) -> str:
    """Return the URL of the file whose name is longer by so much; a query of HTTP stays behind it."""
    if not url.startswith("http"):
        return url + suffix
    parts = urllib.parse.urlsplit(url)
    return parts._replace(path=parts.path + suffix).geturl()


def check_scheme(url: str) -> None:
    """Refuse URLs of local files, which are paths.

    Raises
    ------
    OptionError
    """
    if url.partition("://")[0] in _SCHEMES_OF_FILES:
        raise OptionError(f"{url}: give the path of a local file, without file://")

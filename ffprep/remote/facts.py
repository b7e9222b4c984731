"""What a store says of an object, and what may be wrong with it."""

from __future__ import annotations

import json
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from ffprep.common.files.source_files import read_file
from ffprep.errors import BetonError, CorruptError, SourceError

DESCRIPTION = "source.json"
LONGEST_DESCRIPTION = 1 << 20
_LONGEST_REASON = 300
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")

LISTED = "listed "
"""What the identity of an object begins with that an index lists: its checksum follows, and the store has another."""

IDENTITIES = (
    "ETag", "etag", "e_tag", "generation", "md5Hash", "md5", "content_md5", "crc32c", "blob_id", "Content-MD5",
    "Digest", "LastModified", "last_modified", "Last-Modified", "mtime", "created",
)  # fmt: skip
"""Names under which stores say what changes with an object."""


MOST_WRONG = 3
"""So often bytes may come wrong before they count as damaged in the store."""

LARGEST = 1 << 46
"""Bytes of an object: what a server says is not to make tables of its pages that no disk or memory has room for."""


class RemoteError(BetonError):
    """An object of a store cannot be read; the message names its URL and, if there is one, the page."""


class RefusedError(RemoteError):
    """The store says no, and will say it again: there is no such object, or no access to it."""


class ChangedError(RemoteError):
    """The object is another one than when it was opened."""


class DamagedError(RemoteError):
    """A page does not fit its checksum, however often it is fetched."""


class FinalError(Exception):
    """Asking again would not help."""


class LaterError(Exception):
    """The server says when to ask again.

    Parameters
    ----------
    text : str
    seconds : float
        From now.
    """

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


@dataclass(frozen=True)
class Facts:
    """What a store says of an object.

    Attributes
    ----------
    size : int
        Bytes.
    identity : str
        Changes when the object does: its ETag, or what the store has instead.
    """

    size: int
    identity: str


def split(url: str) -> urllib.parse.SplitResult:
    """Return the parts of a URL. A number sign begins a fragment in those of HTTP, and is part of other names."""
    return urllib.parse.urlsplit(url, allow_fragments=url[:4].lower() == "http")


def shown(url: str) -> str:
    """Return a URL without what may be secret in it: user, password and query."""
    try:
        parts = split(url)
    except ValueError:  # brackets that hold no address
        scheme, mark, rest = url.partition("://")
        return f"{scheme}{mark}{rest.partition('?')[0].rpartition('@')[2]}"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def reason(error: BaseException) -> str:
    """Return what a library says of an error, on one line and without what may be secret in its URLs."""
    text = _URL.sub(lambda found: shown(found[0]), " ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def described(place: Path) -> tuple[str, Facts]:
    """Return the URL and the facts of an object from its folder in the cache.

    Raises
    ------
    CorruptError
        The folder is not one of this version.
    """
    try:
        known = json.loads(read_file(place / DESCRIPTION, LONGEST_DESCRIPTION))
        url, facts = str(known["url"]), Facts(int(known["size"]), str(known["identity"]))
        if not 0 <= facts.size <= LARGEST:
            raise ValueError(f"a size of {facts.size:,} bytes")
    except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError, SourceError) as error:
        raise CorruptError(f"{place}: is no folder of a remote file ({error}); remove it") from None
    return url, facts

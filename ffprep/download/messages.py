"""What a download and its processes say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ffprep.download.options import Options


@dataclass(frozen=True)
class Share:
    """What one process is given at its start.

    Attributes
    ----------
    options : Options
        Of the whole download.
    connections, per_host : int
        Fetches under way at once in this process, in all and at one host.
    threads : int
        That check what arrived.
    """

    options: Options
    connections: int
    per_host: int
    threads: int


class Open(NamedTuple):
    """A shard's images are to be appended to a file, whose descriptor follows."""

    shard: int


class Close(NamedTuple):
    """No more images of a shard will come."""

    shard: int


class Asked(NamedTuple):
    """A row to fetch; see `Row`."""

    number: int
    url: str
    sha256: str


class Found(NamedTuple):
    """What became of a row; see `Outcome`. The image begins at byte `offset` of the process's file."""

    number: int
    status: str
    sha256: str = ""
    bytes: int = 0
    width: int = 0
    height: int = 0
    extension: str = ""
    offset: int = 0

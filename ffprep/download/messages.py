"""The messages that the downloading process and its worker processes exchange."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ffprep.download.settings import DownloadOptions


@dataclass(frozen=True)
class WorkerConfig:
    """What one worker process is told when it starts.

    Attributes
    ----------
    options : DownloadOptions
        Options of the whole download.
    connections, per_host : int
        Concurrent fetches of this process, in total and per host.
    threads : int
        Threads that check the images which arrived.
    """

    options: DownloadOptions
    connections: int
    per_host: int
    threads: int


class OpenShard(NamedTuple):
    """Append a shard's images to the file whose descriptor follows this message."""

    shard: int
    path: Path


class CloseShard(NamedTuple):
    """No more images of this shard will be requested."""

    shard: int


class NoMoreRows(NamedTuple):
    """No more rows will be requested until there are results."""


class FetchRequest(NamedTuple):
    """A row to fetch; see `IndexRow`."""

    number: int
    url: str
    sha256: str


class FetchResult(NamedTuple):
    """The outcome of a request; see `Outcome`. `offset` is where the image begins in the worker's file of its shard."""

    number: int
    status: str
    sha256: str = ""
    bytes: int = 0
    width: int = 0
    height: int = 0
    extension: str = ""
    offset: int = 0


class FetchResults(NamedTuple):
    """Outcomes of requests. `held` further ones are with the worker though it may not ask for them now."""

    results: list[FetchResult]
    held: int

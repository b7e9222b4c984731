"""Options of a download: what to fetch, how, and within which bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ffprep._version import __version__
from ffprep.errors import OptionError

USER_AGENT = f"ffprep/{__version__} (data set download)"

_RECOVERABLE = {"timeout", "unresponsive_host", "connection", "broken_response", "cut_body", "dns_temporary"}
_RECOVERABLE_LATER = _RECOVERABLE | {"dns", "tls", "proxy", "no_network"}
_RECOVERABLE_HTTP = re.compile(r"http_(408|425|429|5[0-9]{2})")
_LASTING_HTTP = ("http_501", "http_505")


def may_recover(status: str) -> bool:
    """Whether another attempt may succeed, moments after one that ended with this status."""
    if status in _RECOVERABLE:
        return True
    return _RECOVERABLE_HTTP.fullmatch(status) is not None and status not in _LASTING_HTTP


def may_recover_later(status: str) -> bool:
    """Whether another download may succeed where one ended with this status."""
    return may_recover(status) or status in _RECOVERABLE_LATER


@dataclass(frozen=True)
class FetchLimits:
    """Bounds of one fetch.

    Attributes
    ----------
    deadline : float
        Seconds for one attempt, including redirects and the body.
    max_bytes : int
        The most bytes that a body may have; of a longer one no more is read.
    redirects : int
        The most redirects that are followed.
    retries : int
        Further attempts after a failure that may pass: time-outs, broken connections, bodies that were cut, HTTP 408,
        425 and 5xx. HTTP 429 is waited out and does not count.
    backoff : float
        Seconds to wait before the first retry, doubled for each further one. The actual wait is randomly up to a half
        shorter or longer.
    allow_private : bool
        Whether to connect to loopback, private and link-local addresses.
    honour_robots : bool
        Whether to leave out images that come with an ``X-Robots-Tag`` of ``noai``, ``noimageai`` or ``noml``.
    honour_noindex : bool
        Whether ``noindex``, ``noimageindex`` and ``none`` have the same effect.
    user_agent : str
        How requests name their sender.

    Raises
    ------
    OptionError
        When `user_agent` is empty or is not printable ASCII.
    """

    deadline: float = 30.0
    max_bytes: int = 64 << 20
    redirects: int = 5
    retries: int = 2
    backoff: float = 1.0
    allow_private: bool = False
    honour_robots: bool = True
    honour_noindex: bool = False
    user_agent: str = USER_AGENT

    def __post_init__(self) -> None:
        if not (self.user_agent.strip() and self.user_agent.isascii() and self.user_agent.isprintable()):
            raise OptionError(f"user_agent {self.user_agent!r}: expected printable ASCII characters")


@dataclass(frozen=True)
class DownloadOptions:
    """Options of a download.

    Attributes
    ----------
    limit : int | None
        Keep the first `limit` rows, in index order, that work, and stop.
    max_bytes : int | None
        Stop before the row, in index order, with which the stored images would take more than this.
    shard_size : int
        Index rows per shard.
    connections, per_host : int
        Concurrent fetches, in total and per host.
    workers : int | None
        Processes that fetch and check, among which the connections are split; by default one per processor. There are
        never more of them than connections, in total or per host.
    max_pixels, min_side, resize_to : int
        See `check_image`.
    fetch : FetchLimits
        Bounds of each fetch.
    """

    limit: int | None = None
    max_bytes: int | None = None
    shard_size: int = 1000
    connections: int = 256
    per_host: int = 32
    workers: int | None = None
    max_pixels: int = 1 << 27
    min_side: int = 0
    resize_to: int | None = None
    fetch: FetchLimits = field(default_factory=FetchLimits)

    def lasting(self) -> dict[str, Any]:
        """The settings that decide what is stored; they must not change when a download is resumed."""
        chosen = ("shard_size", "max_pixels", "min_side", "resize_to")
        return {name: getattr(self, name) for name in chosen} | {"max_file_bytes": self.fetch.max_bytes}

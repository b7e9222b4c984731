"""Options of a download: what to fetch, how, and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_RECOVERABLE_HTTP = (408, 425, 429, 500, 502, 503, 504)
_RECOVERABLE = {"timeout", "connection", "dns_temporary"} | {f"http_{code}" for code in _RECOVERABLE_HTTP}


def may_recover(status: str) -> bool:
    """Whether another attempt may succeed after one that ended with this status."""
    return status in _RECOVERABLE


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
        Further attempts after a failure that may pass: time-outs, broken connections, HTTP 408, 425, 429 and 5xx.
    backoff : float
        Seconds to wait before the first retry, doubled for each further one. The actual wait is randomly up to a half
        shorter or longer.
    allow_private : bool
        Whether to connect to loopback, private and link-local addresses.
    honour_robots : bool
        Whether to leave out images that come with an ``X-Robots-Tag`` of ``noai`` or ``noimageai``.
    """

    deadline: float = 30.0
    max_bytes: int = 64 << 20
    redirects: int = 5
    retries: int = 2
    backoff: float = 1.0
    allow_private: bool = False
    honour_robots: bool = True


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

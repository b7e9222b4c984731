"""What to fetch and how: what a download and its processes agree on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_RECOVERABLE_HTTP = (408, 425, 429, 500, 502, 503, 504)
_RECOVERABLE = {"timeout", "connection", "dns_temporary"} | {f"http_{code}" for code in _RECOVERABLE_HTTP}


def may_recover(status: str) -> bool:
    """Whether another attempt may succeed where one ended with this status."""
    return status in _RECOVERABLE


@dataclass(frozen=True)
class Limits:
    """Bounds of one fetch.

    Attributes
    ----------
    deadline : float
        Seconds for one attempt, redirects and body included.
    max_bytes : int
        Bytes of the body; more is refused without reading on.
    redirects : int
        Hops followed.
    retries : int
        Further attempts after a failure that may pass: time-outs, broken connections, HTTP 408, 425, 429 and 5xx.
    backoff : float
        Seconds before the first further attempt; doubled each time, spread by a random half.
    allow_private : bool
        Whether loopback, private and link-local addresses may be connected to.
    honour_robots : bool
        Whether an ``X-Robots-Tag`` of ``noai`` or ``noimageai`` refuses the image.
    """

    deadline: float = 30.0
    max_bytes: int = 64 << 20
    redirects: int = 5
    retries: int = 2
    backoff: float = 1.0
    allow_private: bool = False
    honour_robots: bool = True


@dataclass(frozen=True)
class Options:
    """What to fetch and how.

    Attributes
    ----------
    limit : int | None
        Stop after the first `limit` rows, by index order, that work.
    max_bytes : int | None
        Stop before the row, by index order, that would make the stored images larger than this.
    shard_size : int
        Index rows a shard.
    connections, per_host : int
        Fetches under way at once, in all and at one host.
    workers : int | None
        Processes that fetch and check, each with its share of the connections; by default as many as there are
        processors. There are never more than connections to share out, in all or at one host.
    max_pixels, min_side, resize_to : int
        See `check_image`.
    fetch : Limits
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
    fetch: Limits = field(default_factory=Limits)

    def lasting(self) -> dict[str, Any]:
        """The settings that decide what is stored, hence must stay the same when a download goes on."""
        chosen = ("shard_size", "max_pixels", "min_side", "resize_to")
        return {name: getattr(self, name) for name in chosen} | {"max_file_bytes": self.fetch.max_bytes}

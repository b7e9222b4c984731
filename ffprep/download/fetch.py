"""One URL to its bytes: bounded in time, size, redirects and where it may connect to."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import ssl
import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from ffprep._version import __version__

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout  # comes with aiohttp

_REDIRECTS = (301, 302, 303, 307, 308)
_RECOVERABLE_HTTP = (408, 425, 429, 500, 502, 503, 504)
_RECOVERABLE = ("timeout", "connection", "dns_temporary")


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
class Fetched:
    """Outcome of a fetch: ``status`` is ``"ok"`` (then `data` holds the body) or the cause of the failure."""

    status: str
    data: bytes = b""

    @property
    def may_recover(self) -> bool:
        """Whether another attempt may succeed."""
        return self.status in _RECOVERABLE or self.status in {f"http_{code}" for code in _RECOVERABLE_HTTP}


class _RefusedAddress(OSError):
    """The name resolves to no address that may be connected to."""


class _PublicResolver(AbstractResolver):
    """Drops addresses that are not on the public Internet from what another resolver finds.

    The check is made on the address that is then connected to, so a name cannot point elsewhere between the two.
    """

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[Any]:
        found = await self._inner.resolve(host, port, family)
        public = [entry for entry in found if _is_public(entry["host"])]
        if found and not public:
            raise _RefusedAddress(f"{host} resolves to private addresses only")
        return public

    async def close(self) -> None:
        await self._inner.close()


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.split("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_global and not parsed.is_multicast


class Fetcher:
    """Fetches URLs over shared connections and one TLS context.

    Use as an asynchronous context manager.

    Parameters
    ----------
    limits : Limits
    connections : int
        Connections open at once.
    per_host : int
        Fetches under way at one host at once.
    """

    def __init__(self, limits: Limits, connections: int = 256, per_host: int = 32) -> None:
        self._limits = limits
        self._connections = connections
        self._per_host = per_host
        self._hosts: OrderedDict[str, asyncio.Semaphore] = OrderedDict()
        self._random = random.Random()

    async def __aenter__(self) -> Fetcher:
        inner = aiohttp.DefaultResolver()
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            ssl=ssl.create_default_context(),
            resolver=inner if self._limits.allow_private else _PublicResolver(inner),
            ttl_dns_cache=600,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # `Limits.deadline` is for all of it
            read_bufsize=1 << 18,
            headers={"User-Agent": f"ffprep/{__version__} (data set download)", "Accept": "image/*,*/*;q=0.5"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(self, url: str) -> Fetched:
        """Body of `url`, or the cause why not; never raises but for cancellation."""
        for attempt in range(self._limits.retries + 1):
            if attempt:
                wait = self._limits.backoff * 2 ** (attempt - 1)
                await asyncio.sleep(wait * (0.5 + self._random.random()))
            fetched = await self._attempt(url)
            if not fetched.may_recover:
                break
        return fetched

    async def _attempt(self, url: str) -> Fetched:
        try:
            target = URL(url)
        except ValueError:
            return Fetched("bad_url")
        if target.scheme not in ("http", "https") or not target.host:
            return Fetched("bad_url")
        async with self._slot(target.host):
            try:
                async with timeout(self._limits.deadline):
                    return await self._follow(target)
            except (asyncio.TimeoutError, TimeoutError):
                return Fetched("timeout")
            except aiohttp.ClientConnectorError as error:
                return Fetched(_connection_cause(error))
            except (aiohttp.InvalidURL, UnicodeError, ValueError):
                return Fetched("bad_url")
            except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError):
                return Fetched("broken_response")
            except (aiohttp.ClientError, OSError):
                return Fetched("connection")

    def _slot(self, host: str) -> asyncio.Semaphore:
        slot = self._hosts.get(host)
        if slot is None:
            slot = self._hosts[host] = asyncio.Semaphore(self._per_host)
            while len(self._hosts) > 65536:
                oldest = next(iter(self._hosts))
                if self._hosts[oldest]._value < self._per_host:
                    break
                del self._hosts[oldest]
        self._hosts.move_to_end(host)
        return slot

    async def _follow(self, url: URL) -> Fetched:
        for _ in range(self._limits.redirects + 1):
            if url.scheme not in ("http", "https") or not url.host:
                return Fetched("bad_url")
            if not self._limits.allow_private and not _literal_is_public(url.host):
                return Fetched("refused_address")
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS:
                    location = response.headers.get("Location")
                    if not location:
                        return Fetched("broken_response")
                    url = url.join(URL(location))
                    continue
                if response.status != 200:
                    return Fetched(f"http_{response.status}")
                if self._limits.honour_robots and _no_ai(response.headers.getall("X-Robots-Tag", [])):
                    return Fetched("robots")
                return await self._body(response)
        return Fetched("too_many_redirects")

    async def _body(self, response: aiohttp.ClientResponse) -> Fetched:
        if (response.content_length or 0) > self._limits.max_bytes:
            return Fetched("too_large")
        chunks, size = [], 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > self._limits.max_bytes:
                return Fetched("too_large")
            chunks.append(chunk)
        return Fetched("ok", b"".join(chunks) if len(chunks) != 1 else chunks[0])


def _literal_is_public(host: str) -> bool:
    try:
        return _is_public(host)
    except ValueError:
        return True  # a name: the resolver decides


def _no_ai(tags: list[str]) -> bool:
    """Whether ``X-Robots-Tag`` headers forbid use for training (for every agent, or for ours)."""
    for tag in tags:
        agent, _, rest = tag.partition(":")
        words = rest if rest and agent.strip().lower() in ("ffprep", "*") else tag if not rest else ""
        if {word.strip().lower() for word in words.split(",")} & {"noai", "noimageai"}:
            return True
    return False


def _connection_cause(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error.os_error, _RefusedAddress):
        return "refused_address"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        temporary = isinstance(error.os_error, socket.gaierror) and error.os_error.errno == socket.EAI_AGAIN
        return "dns_temporary" if temporary else "dns"
    if isinstance(error, (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError)):
        return "tls"
    return "connection"

"""Fetches one URL, within bounds on time, size, redirects and the addresses that may be connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import ssl
import sys
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ffprep._version import __version__
from ffprep.download.settings import FetchLimits, may_recover

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout  # comes with aiohttp

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Fetched:
    """Outcome of a fetch: `status` is ``"ok"``, and `data` the body, or `status` is the cause of the failure."""

    status: str
    data: bytes = b""


class _RefusedAddress(OSError):
    """The host name resolves only to addresses that must not be connected to."""


class Resolver(AbstractResolver):
    """The system's resolver, adapted to indexes in which many host names no longer exist.

    Many names are looked up at once. Event loops reserve only a few threads for this, so that a handful of dead names
    would block all others. Names without an address are remembered for a while. Addresses outside the public Internet
    are dropped. Since the connection is then made to exactly the address that was checked, a name cannot resolve to
    another one in between.

    Parameters
    ----------
    allow_private : bool
        Whether to keep private addresses.
    """

    THREADS = 64
    REMEMBERED = 600.0
    """Seconds for which a name without an address is not looked up again."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._pool = ThreadPoolExecutor(self.THREADS, thread_name_prefix="ffprep-dns")
        self._dead: OrderedDict[str, tuple[float, socket.gaierror]] = OrderedDict()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if (dead := self._dead.get(host)) is not None:
            if time.monotonic() < dead[0]:
                raise dead[1]
            del self._dead[host]
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, ask)
        except socket.gaierror as error:
            if error.errno != socket.EAI_AGAIN:
                self._dead[host] = time.monotonic() + self.REMEMBERED, error
                if len(self._dead) > 65536:
                    self._dead.popitem(last=False)
            raise
        addresses: list[ResolveResult] = [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=_NUMERIC)
            for kind, _, protocol, _, address in found
            if self._allow_private or _is_public(str(address[0]))
        ]
        if not addresses:
            raise _RefusedAddress(f"{host} resolves to private addresses only")
        return addresses

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


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
    limits : FetchLimits
    connections : int
        The most connections open at once.
    per_host : int
        The most concurrent fetches from one host.
    """

    def __init__(self, limits: FetchLimits, connections: int = 256, per_host: int = 32) -> None:
        self._limits = limits
        self._connections = connections
        self._per_host = per_host
        self._hosts: OrderedDict[str, asyncio.Semaphore] = OrderedDict()
        self._random = random.Random()

    async def __aenter__(self) -> Fetcher:
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            ssl=ssl.create_default_context(),
            resolver=Resolver(self._limits.allow_private),
            ttl_dns_cache=600,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # `FetchLimits.deadline` covers it all
            read_bufsize=1 << 18,
            headers={"User-Agent": f"ffprep/{__version__} (data set download)", "Accept": "image/*,*/*;q=0.5"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(self, url: str) -> Fetched:
        """Fetch `url`; failures are returned as a status and not raised, other than cancellation."""
        for attempt in range(self._limits.retries + 1):
            if attempt:
                wait = self._limits.backoff * 2 ** (attempt - 1)
                await asyncio.sleep(wait * (0.5 + self._random.random()))
            fetched = await self._attempt(url)
            if not may_recover(fetched.status):
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
        """The semaphore that bounds the fetches from a host; hosts that were not used for long are forgotten."""
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
        return True  # a name, which the resolver checks


def _no_ai(tags: list[str]) -> bool:
    """Whether ``X-Robots-Tag`` headers forbid use for training, to every agent or to ffprep."""
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

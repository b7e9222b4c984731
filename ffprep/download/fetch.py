"""Fetches one URL, within bounds on time, size, redirects and the addresses that may be connected to."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import sys
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from ffprep.download.settings import FetchLimits
from ffprep.download.web import robots
from ffprep.download.web.proxies import Proxies
from ffprep.download.web.resolver import RefusedAddress, Resolver, literal_is_public
from ffprep.download.web.urls import join_url

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout  # comes with aiohttp

_REDIRECTS = (301, 302, 303, 307, 308)
_LONGEST_HEADER = 1 << 17
"""Bytes that a header, or the status line, may have. Policies of content security alone take tens of thousands."""
_ANY_ZLIB = 47
"""Of zlib: gzip's header or its own."""
_NO_NETWORK = (errno.ENETUNREACH, errno.ENETDOWN)


@dataclass(frozen=True)
class Fetched:
    """Outcome of a fetch.

    Attributes
    ----------
    status : str
        ``"ok"``, or the cause of the failure.
    data : bytes
        The body, if `status` is ``"ok"``.
    measured : bool
        Whether the server said how long the body is, so that a cut one would have been noticed.
    retry_after : float | None
        Seconds for which the server wants to be left alone.
    """

    status: str
    data: bytes = b""
    measured: bool = True
    retry_after: float | None = None


class Fetcher:
    """Fetches URLs over shared connections and one TLS context, through the environment's proxies if there are any.

    Use as an asynchronous context manager.

    Parameters
    ----------
    limits : FetchLimits
    connections : int
        The most connections open at once.
    """

    def __init__(self, limits: FetchLimits, connections: int = 256) -> None:
        self._limits = limits
        self._connections = connections
        self._proxies = Proxies()
        self._forbidden = robots.AI | (robots.INDEX if limits.honour_noindex else frozenset())
        self._agents = {word.partition("/")[0].lower() for word in limits.user_agent.split()}

    async def __aenter__(self) -> Fetcher:
        self._tls = ssl.create_default_context()
        self._direct = self._session(self._limits.allow_private)
        self._proxied = self._session(True)  # proxies have private addresses, as a rule
        return self

    def _session(self, allow_private: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, ssl=self._tls, resolver=Resolver(allow_private), ttl_dns_cache=600
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # `_unpacked` does it, within bounds
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # `FetchLimits.deadline` covers it all
            read_bufsize=1 << 18,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
            headers={
                "User-Agent": self._limits.user_agent,
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "gzip, deflate",
            },
        )

    async def __aexit__(self, *_: object) -> None:
        await self._direct.close()
        await self._proxied.close()

    async def fetch(self, url: URL) -> Fetched:
        """Ask once for a URL made by `parse_url`; failures are returned as a status, whatever they are."""
        try:
            async with timeout(self._limits.deadline):
                return await self._follow(url)
        except (asyncio.TimeoutError, TimeoutError):
            return Fetched("timeout")
        except aiohttp.ClientConnectorError as error:
            return Fetched(_connection_cause(error))
        except aiohttp.ClientHttpProxyError as error:
            return Fetched("proxy" if error.status == 407 else f"http_{error.status}")
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError):
            return Fetched("broken_response")
        except (aiohttp.InvalidURL, UnicodeError, ValueError):
            return Fetched("bad_url")
        except (aiohttp.ClientError, OSError):
            return Fetched("connection")
        except Exception:  # one row must not end a download, whatever a server has found to send
            return Fetched("client_error")

    async def _follow(self, url: URL) -> Fetched:
        for _ in range(self._limits.redirects + 1):
            if not self._limits.allow_private and not literal_is_public(url.raw_host or ""):
                return Fetched("refused_address")
            async with self._get(url) as response:
                if response.status in _REDIRECTS:
                    location = response.headers.get("Location")
                    if not location:
                        return Fetched("broken_response")
                    url = join_url(url, location)
                    continue
                if response.status != 200:
                    if response.status == 407:
                        return Fetched("proxy")
                    return Fetched(f"http_{response.status}", retry_after=_retry_after(response.headers))
                tags = response.headers.getall("X-Robots-Tag", ())
                if tags and self._limits.honour_robots and robots.forbids(tags, self._forbidden, self._agents):
                    return Fetched("robots")
                return await self._body(response)
        return Fetched("too_many_redirects")

    def _get(self, url: URL) -> aiohttp.client._RequestContextManager:
        proxy = self._proxies.of(url)
        if proxy is None:
            return self._direct.get(url, allow_redirects=False)
        if url.scheme == "http":  # the proxy itself reads the request
            return self._proxied.get(url, allow_redirects=False, proxy=proxy.url, headers=proxy.headers)
        return self._proxied.get(url, allow_redirects=False, proxy=proxy.url, proxy_headers=proxy.headers)

    async def _body(self, response: aiohttp.ClientResponse) -> Fetched:
        if (response.content_length or 0) > self._limits.max_bytes:
            return Fetched("too_large")
        chunks, size = [], 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > self._limits.max_bytes:
                return Fetched("too_large")
            chunks.append(chunk)
        measured = response.content_length is not None or "Transfer-Encoding" in response.headers
        data = b"".join(chunks) if len(chunks) != 1 else chunks[0]
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        return Fetched("ok", data, measured) if coding == "identity" else self._unpacked(data, coding, measured)

    def _unpacked(self, data: bytes, coding: str, measured: bool) -> Fetched:
        """Undo a content coding, of no more bytes than a body may have.

        Many servers send ``deflate`` without zlib's header, against RFC 9110, section 8.4.1.2; browsers take it.
        """
        if coding not in ("gzip", "x-gzip", "deflate"):
            return Fetched("broken_response")  # it was not asked for
        try:
            bare = coding == "deflate" and data[:1] != b"" and data[0] & 15 != zlib.DEFLATED
            stream = zlib.decompressobj(-zlib.MAX_WBITS if bare else _ANY_ZLIB)
            content = stream.decompress(data, self._limits.max_bytes + 1)
        except zlib.error:
            return Fetched("broken_response")
        if len(content) > self._limits.max_bytes:
            return Fetched("too_large")
        return Fetched("ok", content, measured) if stream.eof else Fetched("broken_response")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, as a number or as a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _connection_cause(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "proxy"
    cause = error.os_error
    if isinstance(cause, RefusedAddress):
        return "refused_address"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        temporary = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
        return "dns_temporary" if temporary else "dns"
    if isinstance(error, (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError)):
        return "connection" if isinstance(cause, ssl.SSLEOFError) else "tls"  # it broke, or was not agreed on
    return "no_network" if cause.errno in _NO_NETWORK else "connection"

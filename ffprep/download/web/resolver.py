"""Looks names up: many at a time, dead ones once, private addresses never."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class RefusedAddress(OSError):
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
            if self._allow_private or is_public(str(address[0]))
        ]
        if not addresses:
            raise RefusedAddress(f"{host} resolves to private addresses only")
        return addresses

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def is_public(address: str) -> bool:
    """Whether an address, as numbers, is one of the public Internet."""
    parsed = ipaddress.ip_address(address.split("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_global and not parsed.is_multicast


def literal_is_public(host: str) -> bool:
    """Whether a host is public; names are, since the resolver checks them."""
    try:
        return is_public(host)
    except ValueError:
        return True

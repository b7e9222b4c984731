"""Proxies that the environment names: ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import unquote
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from yarl import URL

from ffprep.errors import OptionError


@dataclass(frozen=True)
class Proxy:
    """A proxy and the header that it wants.

    Attributes
    ----------
    url : URL
        Without user and password.
    headers : dict
        Empty, or the user and password as ``Proxy-Authorization``.
    """

    url: URL
    headers: dict[str, str]


class Proxies:
    """The proxies of the environment, as curl and others read it: names in lower case go before those in upper case.

    Raises
    ------
    OptionError
        When a proxy is not one that is spoken to by HTTP.
    """

    def __init__(self) -> None:
        self._environment = getproxies_environment()
        general = self._environment.get("all", "")
        self._by_scheme = {s: _proxy(s, self._environment.get(s, general)) for s in ("http", "https")}

    def of(self, url: URL) -> Proxy | None:
        """The proxy through which a URL is to be fetched, or None."""
        proxy = self._by_scheme[url.scheme]
        if proxy is None:
            return None
        host = url.raw_host or ""
        place = f"[{host}]" if ":" in host else host
        for name in (host, f"{place}:{url.port}"):
            if proxy_bypass_environment(name, self._environment):
                return None
        return proxy


def _proxy(scheme: str, text: str) -> Proxy | None:
    if not text:
        return None
    try:
        url = URL(text if "://" in text else f"http://{text}")
        usable = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        usable = False
    if not usable:
        where = text.rpartition("@")[2]
        raise OptionError(f"{scheme}_proxy: {where!r} is no HTTP proxy; expected http://host:port")
    headers = {}
    if url.raw_user is not None:
        user = f"{unquote(url.raw_user)}:{unquote(url.raw_password or '')}"
        headers["Proxy-Authorization"] = f"Basic {b64encode(user.encode()).decode()}"
    return Proxy(url.with_user(None), headers)

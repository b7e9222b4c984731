"""URLs as they are published: sent as they stand, except for what no URL may hold."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import unquote, urljoin

from yarl import URL

_PARTS = re.compile(r"(https?)://([^/?#\\]*)([^#]*)", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_PORT = re.compile(r":[0-9]{0,5}")
_LABELS = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_ILLEGAL = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~:/?@!$&'()*+,;=%]")
_IGNORED = re.compile(r"[\t\r\n]")


def parse_url(text: str) -> URL:
    """Make a URL that is requested as it was published.

    Percent-encodings stay as they are, and so do dots and slashes. Characters that RFC 3986 allows in no path or query
    are percent-encoded: blanks, control characters, ``"<>[\\]^`{|}``, a ``%`` that begins no encoding, and everything
    that is not ASCII, by its bytes in UTF-8 (bytes that were no UTF-8, held as surrogates, by themselves). As in
    browsers, blanks around a URL and line breaks in it are ignored. International host names become ASCII. The
    fragment, which is never sent, is dropped.

    Raises
    ------
    ValueError
        When it is no absolute HTTP URL with a valid host and port.
    """
    parts = _PARTS.fullmatch(_IGNORED.sub("", text.strip(" \t\r\n\f\v\0")).partition("#")[0])
    if parts is None:
        raise ValueError("no absolute HTTP URL")
    scheme, authority, target = parts[1].lower(), parts[2], escaped(parts[3])
    user, at, place = authority.rpartition("@")
    end = place.find("]") + 1
    host, port = (place[:end], place[end:]) if end else (place, "")
    if not end and ":" in place:
        host, _, digits = place.partition(":")
        port = f":{digits}"
    if port and (_PORT.fullmatch(port) is None or int(port[1:] or 0) > 65535):
        raise ValueError("no port")
    if not target.startswith("/"):
        target = f"/{target}"
    netloc = f"{escaped(user)}{at}{_host(host)}{port if port != ':' else ''}"
    return _checked(f"{scheme}://{netloc}", target)


def _checked(place: str, target: str) -> URL:
    path, mark, query = target.partition("?")
    if mark and not query:  # yarl would drop the mark of an empty query
        base = URL(place, encoded=True)
        url = URL.build(scheme=base.scheme, authority=base.raw_authority, path=target, encoded=True)
    else:
        url = URL(f"{place}{path}{mark}{query}", encoded=True)
    if not url.host:  # raises UnicodeError, which is a ValueError, where the name is no international one
        raise ValueError("no host")
    return url


def join_url(base: URL, location: str) -> URL:
    """Where a redirect leads; what `location` holds is treated as by `parse_url`.

    Raises
    ------
    ValueError
        As `parse_url`.
    """
    location = _IGNORED.sub("", location.strip(" \t\r\n\f\v\0"))
    if location.startswith("//"):
        location = f"{base.scheme}:{location}"
    elif location.startswith("/"):
        location = f"{base.scheme}://{base.raw_authority}{location}"
    elif _SCHEME.match(location) is None:
        location = urljoin(str(base), location)
    return parse_url(location)


def escaped(text: str) -> str:
    """Percent-encode the bytes that may stand in no URL."""
    if not text.isascii() or _ILLEGAL.search(text.encode()) is not None:
        data = text.encode("utf-8", "surrogateescape")
        return _ILLEGAL.sub(lambda found: b"%%%02X" % found[0][0], data).decode("ascii")
    return text


def _host(text: str) -> str:
    """A host as it is looked up, in ASCII.

    Raises
    ------
    ValueError
        When it is no name, number or bracketed IPv6 address.
    """
    if text.startswith("["):
        address = IPv6Address(text[1:-1].partition("%")[0])
        if "%" in text:
            raise ValueError("an address with a zone")
        return f"[{address.compressed}]"
    name = unquote(text, errors="strict").lower()
    if not name.isascii():
        name = (URL.build(scheme="http", host=name).raw_host or "").lower()
    name = name.removesuffix(".")
    if len(name) > 253 or _LABELS.fullmatch(name) is None:
        raise ValueError("no valid host name")
    for label in name.split("."):
        if label.startswith("xn--") and not label[4:].encode("ascii").decode("punycode"):
            raise ValueError("no valid international host name")
    return name

"""Ranges over HTTP, through fsspec's session; its own way takes whole files where a server knows no ranges."""

from __future__ import annotations

from typing import Any

from ffprep.remote.facts import IDENTITIES, ChangedError, Facts, FinalError, LaterError, RemoteError, reason, shown

_PIECE = 1 << 18
_PASSING = (408, 425, 429)
"""Below 500, statuses that may be others when the same is asked again."""

_WHY = {
    401: "; check the user and password, or what else gives access",
    403: "; check what gives access: a signed URL may have expired",
    404: "there is no such object; check the URL",
    410: "there is no such object; check the URL",
}


async def _get(fs: Any, url: str, headers: dict[str, str]) -> Any:
    session = await fs.set_session()
    options = dict(fs.kwargs)
    headers = {**options.pop("headers", {}), "Accept-Encoding": "identity", **headers}
    try:
        return _Answer(session.get(fs.encode_url(url), headers=headers, **options))
    except ValueError as error:
        raise FinalError(f"no URL that can be asked for: {reason(error)}") from None


class _Answer:
    """What a server answers, as a context; what would be the same if it were asked again is a `FinalError`."""

    def __init__(self, request: Any) -> None:
        self._request = request

    async def __aenter__(self) -> Any:
        from aiohttp import ClientConnectorCertificateError, InvalidURL, NonHttpUrlClientError, TooManyRedirects

        try:
            return await self._request.__aenter__()
        except TooManyRedirects:
            raise FinalError("the server redirects without end") from None
        except ClientConnectorCertificateError as error:
            raise FinalError(f"{reason(error)}; check the host's name, and SSL_CERT_FILE for authorities") from None
        except (InvalidURL, NonHttpUrlClientError) as error:
            raise FinalError(f"no URL that can be asked for: {reason(error)}") from None

    async def __aexit__(self, *error: Any) -> None:
        await self._request.__aexit__(*error)


async def facts(fs: Any, url: str) -> Facts:
    """Ask what an object is, by one byte of it: not every server that sends ranges answers HEAD."""
    async with await _get(fs, url, {"Range": "bytes=0-0"}) as answer:
        if answer.status == 416 and answer.headers.get("Content-Range") == "bytes */0":
            raise FinalError("it is empty; copy it to the store again")
        _check_status(answer)
        size = _range_of(answer)[1]
        named = next((answer.headers[key] for key in IDENTITIES if answer.headers.get(key)), "")
        return Facts(size, named)


def guarded(facts: Facts) -> bool:
    """Whether the server itself refuses a range of another object than the one that is meant."""
    return facts.identity.startswith('"')


async def part(fs: Any, url: str, start: int, end: int, facts: Facts) -> bytes:
    """Read a range."""
    headers = {"Range": f"bytes={start}-{end - 1}"}
    if guarded(facts):
        headers["If-Match"] = facts.identity
    async with await _get(fs, url, headers) as answer:
        if answer.status in (412, 416):
            raise ChangedError(f"{shown(url)}: changed while it was in use; open it again")
        _check_status(answer)
        first, size = _range_of(answer)
        if size != facts.size:
            raise ChangedError(
                f"{shown(url)}: changed while it was in use: it has {size:,} bytes and had {facts.size:,}; "
                "open it again"
            )
        if first != start:
            raise RemoteError(f"bytes from {first:,} on came instead of those from {start:,} on")
        data = bytearray()
        async for piece in answer.content.iter_chunked(_PIECE):
            data += piece
            if len(data) > end - start:
                raise RemoteError(f"more than the {end - start:,} bytes of the range came")
        return bytes(data)


def _check_status(answer: Any) -> None:
    if answer.status == 206:
        return
    text = f"the server answered {answer.status} {answer.reason or ''}".rstrip()
    if answer.status == 200:
        raise FinalError(
            "the server sends whole files only and knows no ranges; copy the file to local disk, or use another server"
        )
    if answer.status < 500 and answer.status not in _PASSING:
        why = _WHY.get(answer.status, "")
        raise FinalError(text + why if why[:1] in ("", ";") else why)
    after = answer.headers.get("Retry-After", "")
    if after.isascii() and after.isdigit():
        raise LaterError(f"{text} and asks to wait for {int(after[:9]):,} s", float(after[:9]))
    raise RemoteError(text)


def _range_of(answer: Any) -> tuple[int, int]:
    """Return the first byte of an answer, and the size of the object."""
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    span, _, size = rest.partition("/")
    first = span.partition("-")[0]
    if unit != "bytes" or not (first.isascii() and first.isdigit() and size.isascii() and size.isdigit()):
        raise FinalError("the server does not say which bytes of how many it sent")
    return int(first), int(size)

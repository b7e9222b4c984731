"""URLs that cannot be asked for, answers that stay the same, lists of folders; and that no message has a secret."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from range_server import Served

from ffprep.beton import Reader
from ffprep.beton.sets import files_of
from ffprep.errors import FfprepError, OptionError
from ffprep.remote import RemoteError, http
from ffprep.remote import store as stores
from ffprep.remote.facts import FinalError, reason, shown
from ffprep.remote.places import beside, is_pattern, local_file

aiohttp = pytest.importorskip("aiohttp")


def with_secrets(url: str) -> str:
    return f"{url.replace('://', '://user:SECRET@')}?Signature=SECRET"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://user:SECRET@[::1/x.beton?s=SECRET", r"http://\[::1/x.beton: no URL: Invalid IPv6 URL"),
        ("http://user:SECRET@127.0.0.1:99999/x.beton", "99999/x.beton: cannot be found: no URL that can be asked for"),
        ("http://user:SECRET@/x.beton", "http:///x.beton: .* host is required"),
        ("http://user:SECRET@", "http://: names no bucket or host"),
        ("file://user:SECRET@host/x.beton", "file://host/x.beton: give the path of a local file"),
        ("memory://user:SECRET@none/*.beton", "memory://none/.*: no .beton file is there; check the URL"),
        ("foo://user:SECRET@host/x.beton", "foo://host/x.beton: fsspec knows no foo://"),
    ],
)
def test_a_wrong_url_is_refused_at_once(url: str, says: str, cache: Path) -> None:
    with pytest.raises(FfprepError, match=says) as caught:
        files_of(url)
    assert "SECRET" not in str(caught.value) and "attempts" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("to ftp://user:SECRET@host/x?Signature=SECRET", "no URL that can be asked for: ftp://host/x"),
        ("to http://", "no URL that can be asked for"),
        ("204", "answered 204"),
        ("304", "answered 304"),
        ("418", "answered 418"),
        ("401", "answered 401 .*check the user and password"),
        ("403", "answered 403 .*a signed URL may have expired"),
        ("410", "there is no such object; check the URL"),
    ],
)
def test_what_would_be_answered_again_is_asked_for_once(
    fault: str, says: str, url: str, server: Served, cache: Path
) -> None:
    server.fault = lambda request: fault
    with pytest.raises(RemoteError, match=says) as caught:
        Reader(with_secrets(url))
    assert "SECRET" not in str(caught.value)
    assert len({*server.ranges}) == len(server.ranges)


@pytest.mark.parametrize("fault", ["408", "425", "429", "500", "599"])
def test_what_may_pass_is_asked_for_again(fault: str, url: str, server: Served, cache: Path, local: Path) -> None:
    server.fault = lambda request: fault if request.number == 0 else None
    with Reader(url) as reader, Reader(local) as other:
        assert reader.sample(7) == other.sample(7)


def test_a_wrong_certificate_is_final() -> None:
    key = aiohttp.client_reqrep.ConnectionKey("host", 443, True, True, None, None, None)
    error = aiohttp.ClientConnectorCertificateError(key, ValueError("self-signed certificate"))

    class Request:
        async def __aenter__(self) -> Any:
            raise error

    async def ask() -> None:
        async with http._Answer(Request()):
            pass

    with pytest.raises(FinalError, match="self-signed certificate.*SSL_CERT_FILE"):
        asyncio.run(ask())


def test_an_empty_object_is_called_so(server: Served, cache: Path) -> None:
    url = server.put("/bucket/empty.beton", b"", "none")
    with pytest.raises(RemoteError, match="empty.beton: cannot be found: it is empty"):
        Reader(url)
    assert len(server.asked) == 1


def test_lists_of_folders_are_asked_for_again_and_not_for_ever(
    url: str, server: Served, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = server.put("/bucket", b'<html><a href="train.beton">', "list")
    server.fault = lambda request: "503" if request.number == 0 else None
    [file] = files_of(folder)
    assert file.path.name == "train.beton" and server.asked.count("/bucket") == 2
    patience = stores.Patience(deadline=1.0)
    monkeypatch.setattr(stores.Patience, "of_environment", classmethod(lambda cls: patience))
    server.fault = lambda request: "hang"
    with pytest.raises(RemoteError, match="bucket: cannot be listed .*no answer in .*; name the files or an index"):
        files_of(with_secrets(folder))


def test_reasons_are_one_line_without_secrets() -> None:
    error = ValueError("400:\n  Bad line, url='http://user:SECRET@host/x?Signature=SECRET' <s3://a:SECRET@b/c#1>")
    assert reason(error) == "400: Bad line, url='http://host/x' <s3://b/c#1>"
    assert reason(ValueError()) == "ValueError" and len(reason(ValueError("x" * 1000))) < 400


def test_number_signs_and_brackets() -> None:
    assert shown("s3://user:SECRET@bucket/a#1.beton") == "s3://bucket/a#1.beton"
    assert shown("https://host/a.beton?x=1#part") == "https://host/a.beton"
    assert beside("s3://bucket/a#1/train.set.json", "b.beton") == "s3://bucket/a#1/b.beton"
    assert not is_pattern("http://[::1]:80/x.beton") and not is_pattern("https://host/x.beton?sig=a*b[")
    assert is_pattern("http://[::1]:80/x-*.beton") and is_pattern("s3://bucket/x-?.beton")


def test_objects_whose_names_differ_behind_a_number_sign(cache: Path) -> None:
    import fsspec

    from ffprep.remote import folder_at

    fs = fsspec.filesystem("memory")
    places = []
    for name in ("a#1.beton", "a#2.beton"):
        fs.pipe(f"/numbers/{name}", b"same")
        places.append(local_file(f"memory://numbers/{name}", folder_at(cache)))
    assert places[0] != places[1]


def test_schemes_in_capital_letters(url: str, cache: Path) -> None:
    [file] = files_of(url.replace("http", "HTTP"))
    assert files_of(url) == [file]
    with pytest.raises(OptionError, match="give the path of a local file"):
        files_of("FILE:///x.beton")

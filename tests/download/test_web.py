"""URLs, opt-outs and proxies as a polite client reads them."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("aiohttp")

from test_download_fetch import QUICK, fetch_all
from yarl import URL

from ffprep.download.network_check import HOSTS, MANY_ROWS, ROWS, NetworkCheck
from ffprep.download.web.proxies import Proxies
from ffprep.download.web.robots import AI, INDEX, forbids
from ffprep.download.web.urls import join_url, parse_url
from ffprep.errors import FfprepError, OptionError

MALFORMED = [
    "http://www.xn--.com/x.jpg",
    "http://xn--/x.jpg",
    "http://xn--a.com/x.jpg",
    "http://xn--0.com/x.jpg",
    "http://a..b.com/x.jpg",
    "http://.com/x.jpg",
    "http://" + "a" * 64 + ".com/x.jpg",
    "http://" + "a." * 130 + "com/x.jpg",
    "http://exa mple.com/x.jpg",
    "http://exa%20mple.com/x.jpg",
    "http://exa\u200bmple.com/x.jpg",
    "http://\ud800.com/x.jpg",
    "http://\udce9.com/x.jpg",
    "http://%ff.com/x.jpg",
    "http://a_b:c.com/x.jpg",
    "http://h:99999/x.jpg",
    "http://h:-1/x.jpg",
    "http://[::1/x.jpg",
    "http://[::g]/x.jpg",
    "http://[fe80::1%eth0]/x.jpg",
    "http://]/x.jpg",
    "http://a,b.com/x.jpg",
    "http://*.com/x.jpg",
    "http:///x.jpg",
    "http://@/x.jpg",
    "http:/a.com/x.jpg",
    "//a.com/x.jpg",
    "a.com/x.jpg",
    "ftp://a.com/x.jpg",
    "http://a.com/\ud800.jpg",
    "",
]


def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, *_: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_malformed_urls_are_a_cause_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    no_names(monkeypatch)
    urls = [*MALFORMED, "http://good.example/x.jpg"]
    assert fetch_all(urls) == ["bad_url"] * len(MALFORMED) + ["dns"]


@pytest.mark.parametrize(
    ("published", "sent"),
    [
        ("http://b\u00fccher.de/", "http://xn--bcher-kva.de/"),
        ("http://\u4f8b\u3048.jp/\u4f8b", "http://xn--r8jz45g.jp/%E4%BE%8B"),
        ("http://xn--bcher-kva.de/", "http://xn--bcher-kva.de/"),
        ("HTTP://EXAMPLE.com./A", "http://example.com/A"),
        ("http://a_b.example-.com", "http://a_b.example-.com/"),
        ("http://ex%61mple.com?x", "http://example.com/?x"),
        ("http://me:p%40s@h:8080/x", "http://me:p%40s@h:8080/x"),
        ("http://h:/x", "http://h/x"),
        ("  http://h/a\tb\n ", "http://h/ab"),
        ("http://[2001:DB8::0:1]:81/x", "http://[2001:db8::1]:81/x"),
        ("http://h/x?#f?", "http://h/x?"),
        ('http://h/{a}^`"<>\x7f', "http://h/%7Ba%7D%5E%60%22%3C%3E%7F"),
    ],
)
def test_urls(published: str, sent: str) -> None:
    assert str(parse_url(published)) == sent
    assert str(parse_url(sent)) == sent


LEGAL = [*"abcXYZ019-._~:/?@!$&'()*+,;=", "%41", "%2f", "%C3%A9"]
TARGETS = st.lists(st.sampled_from(LEGAL), max_size=20).map("".join)


@given(TARGETS)
def test_a_legal_target_is_sent_as_it_is(target: str) -> None:
    assert parse_url(f"http://h/{target}").raw_path_qs == f"/{target}"


MADE_UP = st.one_of(
    st.text(max_size=20),
    st.builds("http://{}/{}".format, st.text(max_size=8), st.text(max_size=8)),
    st.builds(
        "{}://{}{}".format,
        st.sampled_from(["http", "https"]),
        st.sampled_from(MALFORMED).map(lambda u: u[7:]),
        st.text(),
    ),
    st.lists(
        st.sampled_from(
            ["http://", "xn--", "[", "]", ":", "@", "%", ".", "a", "\u00fc", "/", "?", "#", "\\", "\0", "-"]
        )
    ).map("".join),
    st.binary(max_size=20).map(lambda data: "http://h/" + data.decode("utf-8", "surrogateescape")),
)


@given(MADE_UP, MADE_UP)
def test_made_up_urls_are_bad_or_legal(text: str, location: str) -> None:
    try:
        url = parse_url(text)
        joined = join_url(url, location)
    except ValueError:
        return
    for each in (url, joined):
        assert re.fullmatch(r"/(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9\-._~:/?@!$&'()*+,;=])*", each.raw_path_qs)
        assert each.scheme in ("http", "https") and each.raw_host and each.host
        assert parse_url(str(each)) == each


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MADE_UP, min_size=10, max_size=30))
def test_made_up_urls_never_end_a_download(monkeypatch: pytest.MonkeyPatch, urls: list[str]) -> None:
    no_names(monkeypatch)
    assert set(fetch_all(urls, QUICK)) <= {"bad_url", "dns", "refused_address"}


@pytest.mark.parametrize(
    "tag",
    [
        "noai",
        "NoAI, noindex",
        "noindex,noimageai",
        "noml",
        "noai, max-image-preview:large",
        "max-image-preview: large, noai",
        "max-snippet:-1, max-video-preview:-1, noimageai",
        "unavailable_after: Friday, 25-Jun-10 15:00:00 UTC, noimageai",
        "unavailable_after: 25 Jun 2010 15:00:00 PST, noai",
        "unavailable_after: 2030-01-01T10:00:00+01:00, noml",
        "*: noai",
        "ffprep: noai",
        "FFPREP/1.0 : nofollow, noai",
        "googlebot: noindex, ffprep: noai",
        "googlebot: noindex, *: noai",
        "noai, googlebot: noindex",
        "some-new-directive: 3, noai",
        "noindex; noai",
        "noai: true",
    ],
)
def test_opt_outs(tag: str) -> None:
    assert forbids([tag], AI, {"ffprep"})
    assert forbids(["all", tag], AI, {"ffprep"})


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "all",
        "noindex, nofollow",
        "googlebot: noai",
        "googlebot: noindex, noai",
        "googlebot: max-snippet: 5, noai",
        "ffprep: nofollow, googlebot: noai",
        "max-image-preview: noai-large",
        "noaim",
        ":,;::",
    ],
)
def test_no_opt_outs(tag: str) -> None:
    assert not forbids([tag], AI, {"ffprep"})


def test_opt_outs_from_indexing_are_another_list() -> None:
    for tag in ("noindex", "none", "noimageindex", "ffprep: noindex"):
        assert forbids([tag], AI | INDEX, {"ffprep"}) and not forbids([tag], AI, {"ffprep"})


@given(st.lists(st.text(st.sampled_from("noai:,;* -x\u00e9"), max_size=30)))
def test_any_header_is_read(tags: list[str]) -> None:
    assert forbids(tags, AI, {"ffprep"}) in (True, False)


def test_which_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert Proxies().of(URL("http://a.example/")) is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    proxies = Proxies()
    assert proxies.of(URL("http://a.example/")) is None
    found = proxies.of(URL("https://a.example/"))
    assert found is not None and str(found.url) == "http://proxy.example:3128" and found.headers == {}
    monkeypatch.setenv("all_proxy", "http://u:p@other.example")
    monkeypatch.setenv("no_proxy", ".local.example, b.example:8080, 10.0.0.1")
    proxies = Proxies()
    found = proxies.of(URL("http://a.example/"))
    assert found is not None and str(found.url) == "http://other.example" and "u" not in str(found.url.user)
    assert found.headers == {"Proxy-Authorization": "Basic dTpw"}
    for direct in ("http://x.local.example/", "http://b.example:8080/", "https://10.0.0.1/"):
        assert proxies.of(URL(direct)) is None
    assert proxies.of(URL("http://b.example/")) is not None


@pytest.mark.parametrize("wrong", ["socks5://h:1", "http://", "http://[::1", "://"])
def test_other_proxies_are_refused_without_telling_the_password(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("http_proxy", wrong.replace("//", "//me:secret@") if wrong != "://" else wrong)
    with pytest.raises(OptionError, match="http_proxy") as error:
        Proxies()
    assert "secret" not in str(error.value)


def judge(outcomes: list[tuple[str, str]]) -> NetworkCheck:
    check = NetworkCheck()
    for number, (status, url) in enumerate(outcomes):
        check.add(status, url.format(number))
    return check


@pytest.mark.parametrize("status", ["dns", "dns_temporary", "no_network", "proxy", "connection", "timeout", "tls"])
def test_when_nothing_works_at_many_hosts_it_is_this_machine(status: str) -> None:
    url = "https://h{}.example/x.jpg"
    with pytest.raises(FfprepError, match=rf"{ROWS} rows at {ROWS} hosts.*{status} \({ROWS}\)"):
        judge([(status, url)] * ROWS)
    assert judge([(status, url)] * (ROWS - 1)).undecided
    assert not judge([("http_404", url)] + [(status, url)] * 2000).undecided
    if status != "tls":
        assert not judge([(status, url)] * (ROWS - 1) + [("ok", url)]).undecided


def test_tls_is_judged_apart() -> None:
    http, https = "http://h{}.example/", "https://h{}.example/"
    with pytest.raises(FfprepError, match="certificate"):
        judge([("ok", http)] * 10 + [("tls", https)] * ROWS)
    check = judge([("ok", http), ("tls", https)])
    assert check.undecided
    check.settle(fresh=True)
    assert not check.undecided
    assert not judge([("ok", https)] + [("tls", https)] * 2000).undecided


def test_one_dead_host_is_not_this_machine() -> None:
    dead = "http://dead.example/{}"
    assert not judge([("timeout", dead)] * MANY_ROWS).undecided
    with pytest.raises(FfprepError, match="1 hosts"):
        judge([("dns", dead)] * MANY_ROWS)
    check = judge([("dns", dead)] * 5)
    assert check.undecided
    with pytest.raises(FfprepError, match="look names up"):
        check.settle(fresh=True)
    check.settle(fresh=False)
    assert not check.undecided
    judge([("timeout", dead)]).settle(fresh=True)
    judge([("bad_url", dead)]).settle(fresh=True)
    assert HOSTS < ROWS < MANY_ROWS

"""What becomes of rows whose servers, networks or URLs are unruly, and how the command reports it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from local_server import LOCAL, Handler, contents, rows

from ffprep.cli import main
from ffprep.download import worker_processes
from ffprep.download.downloader import download
from ffprep.download.settings import DownloadOptions, FetchLimits, may_recover, may_recover_later
from ffprep.download.shards import read_lines
from ffprep.download.url_index import IndexRow, read_index
from ffprep.errors import FfprepError, OptionError

OPTIONS = DownloadOptions(connections=16, workers=1, fetch=LOCAL)


def statuses(folder: Path) -> list[str]:
    return [outcome.status for outcome in read_lines(folder / "manifest.jsonl")]


PUBLISHED = {
    "/published/a%3Db%2cc.jpg?u=http%3A%2F%2Fx%2f&v=1+2": "/published/a%3Db%2cc.jpg?u=http%3A%2F%2Fx%2f&v=1+2",
    "/published/~a;b=(c)'d'!*@$&,+.jpg": "/published/~a;b=(c)'d'!*@$&,+.jpg",
    "/published/a b|c.jpg#part": "/published/a%20b%7Cc.jpg",
    "/published/100%.jpg?q=[5%]": "/published/100%25.jpg?q=%5B5%25%5D",
    "/published/ü.jpg": "/published/%C3%BC.jpg",
    "/published/caf\udce9.jpg": "/published/caf%E9.jpg",
    "/published/a/../b//c.jpg?": "/published/a/../b//c.jpg?",
    "/published/%E9%zz": "/published/%E9%25zz",
}


def test_urls_are_sent_as_published_and_after_redirects_too(server: str, tmp_path: Path) -> None:
    targets = [published.encode("utf-8", "surrogateescape").hex() for published in PUBLISHED]
    there = [*PUBLISHED, *(f"/to/{target}" for target in targets)]
    report = download(rows(server, there), tmp_path / "out", OPTIONS)
    assert report["ok"] == len(there)
    asked = {path: hits for path, hits in Handler.hits.items() if path.startswith("/published")}
    assert asked == dict.fromkeys(PUBLISHED.values(), 2)


def test_latin_1_in_an_index_reaches_the_server(server: str, tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_bytes(b"caption\t" + server.encode() + b"/published/caf\xe9 1.jpg\n")
    download(read_index(tmp_path / "x.tsv"), tmp_path / "out", OPTIONS)
    assert set(Handler.hits) == {"/published/caf%E9%201.jpg"}


def test_what_may_recover_is_asked_for_again(server: str, tmp_path: Path) -> None:
    again = [
        "/cutonce",
        "/unmeasured",
        *(f"/once/{code}" for code in (408, 425, 500, 502, 503, 504, 520, 522, 524, 530)),
    ]
    for_good = ["/status/404", "/status/501", "/status/403", "/status/410"]
    download(rows(server, [*again, *for_good]), tmp_path / "out", OPTIONS)
    assert statuses(tmp_path / "out") == ["ok"] * len(again) + [f"http_{path[8:]}" for path in for_good]
    assert dict(Handler.hits) == dict.fromkeys(again, 2) | dict.fromkeys(for_good, 1)


def test_an_image_that_is_damaged_at_its_source_is_asked_for_once(server: str, tmp_path: Path) -> None:
    download(rows(server, ["/cut", "/corrupt"]), tmp_path / "out", OPTIONS)
    assert statuses(tmp_path / "out") == ["undecodable"] * 2
    assert dict(Handler.hits) == {"/cut": 1, "/corrupt": 1}


def test_a_refusal_is_waited_out_and_costs_no_try(server: str, tmp_path: Path) -> None:
    paths = ["/busy/3/0", *(f"/ok/{i}" for i in range(8))]
    options = replace(OPTIONS, fetch=replace(LOCAL, retries=0))
    assert download(rows(server, paths), tmp_path / "out", options)["causes"] == {}
    assert Handler.hits["/busy/3/0"] == 4


def test_a_host_that_wants_to_be_left_alone_for_an_hour_is(server: str, tmp_path: Path) -> None:
    options = replace(OPTIONS, per_host=1)
    report = download(rows(server, [f"/busy/9/3600/{i}" for i in range(40)]), tmp_path / "out", options)
    assert report["causes"] == {"http_429": 1, "unresponsive_host": 39} or report["causes"] == {"http_429": 40}
    assert sum(Handler.hits.values()) == 1


def test_a_host_that_hangs_is_given_up_and_asked_again_at_the_end(
    server: str, another_server: str, tmp_path: Path
) -> None:
    paths = [*(IndexRow(i, f"{another_server}/hang/{i}", "c") for i in range(60))]
    paths += [replace(row, number=60 + row.number) for row in rows(server, [f"/ok/{i}" for i in range(40)])]
    options = replace(OPTIONS, per_host=8, connections=12, fetch=replace(LOCAL, deadline=0.5, retries=2))
    report = download(paths, tmp_path / "out", options)
    assert report["ok"] == 40
    assert set(report["causes"]) <= {"timeout", "unresponsive_host"}
    assert sum(hits for path, hits in Handler.hits.items() if "hang" in path) <= 24  # and not 180
    order = [path for path, _ in Handler.requests]
    last_good = max(place for place, path in enumerate(order) if "ok" in path)
    assert any("hang" in path for path in order[last_good:])


def test_hosts_that_hang_may_hold_more_rows_than_a_worker_takes(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_processes, "_HELD", 4)
    options = replace(OPTIONS, connections=2, fetch=replace(LOCAL, deadline=0.2, retries=0))
    report = download(rows(server, [f"/hang/{i}" for i in range(40)]), tmp_path / "out", options)
    assert sum(report["causes"].values()) == 40


def test_long_headers_and_the_name_of_the_sender(server: str, tmp_path: Path) -> None:
    options = replace(OPTIONS, fetch=replace(LOCAL, user_agent="mine/1.0 (me@example.org)"))
    assert download(rows(server, ["/policy/60000"]), tmp_path / "out", options)["ok"] == 1
    ((_, headers),) = Handler.requests
    assert headers["User-Agent"] == "mine/1.0 (me@example.org)"
    for wrong in ("", "a\nb", "\u00fc"):
        with pytest.raises(OptionError, match="printable ASCII"):
            FetchLimits(user_agent=wrong)


@pytest.mark.parametrize("status", ["http_520", "http_429", "cut_body", "broken_response", "timeout"])
def test_what_may_recover_may_do_so_later(status: str) -> None:
    assert may_recover(status) and may_recover_later(status)


def test_refusals_of_ours_are_tried_again_once_they_are_lifted(server: str, tmp_path: Path) -> None:
    noindex = b"X-Robots-Tag:noindex".hex()
    there = rows(server, ["/ok/1", "/noai", f"/header/{noindex}", "/status/404"])
    limits = replace(LOCAL, allow_private=False, honour_noindex=True)
    download(there, tmp_path / "out", replace(OPTIONS, fetch=limits))
    assert statuses(tmp_path / "out") == ["refused_address"] * 4 and not Handler.hits
    limits = replace(limits, allow_private=True)
    download(there, tmp_path / "out", replace(OPTIONS, fetch=limits))
    assert statuses(tmp_path / "out") == ["ok", "robots", "robots", "http_404"]
    Handler.hits.clear()
    download(there, tmp_path / "out", replace(OPTIONS, fetch=limits))
    assert not Handler.hits
    download(there, tmp_path / "out", replace(OPTIONS, fetch=replace(limits, honour_robots=False)))
    assert statuses(tmp_path / "out") == ["ok", "ok", "ok", "http_404"]
    assert set(Handler.hits) == {"/noai", f"/header/{noindex}"}


def test_bad_rows_keep_their_place_in_shards(server: str, tmp_path: Path) -> None:
    index = tmp_path / "x.tsv"
    lines = [f"one\t{server}/ok/0", "", "no url", f"two\t{server}/ok/3", "", "", "", "", f"three\t{server}/ok/8", "x"]
    index.write_text("\n".join(lines))
    report = download(read_index(index), tmp_path / "out", replace(OPTIONS, shard_size=4))
    assert report["causes"] == {"blank_line": 5, "no_url": 2}
    assert [(o.id, o.status) for o in read_lines(tmp_path / "out" / "manifest.jsonl") if o.ok] == [
        (0, "ok"),
        (3, "ok"),
        (8, "ok"),
    ]
    before = contents(tmp_path / "out")
    download(read_index(index), tmp_path / "out", replace(OPTIONS, shard_size=4))
    assert contents(tmp_path / "out") == before


def run(tmp_path: Path, index: str, *options: str) -> Any:
    (tmp_path / "x.tsv").write_text(index)
    command = ["download", "cc3m", "--index", str(tmp_path / "x.tsv"), "--out", str(tmp_path / "out"), "--workers", "1"]
    return CliRunner().invoke(main, [*command, *options])


def test_no_image_at_all_is_no_success(server: str, tmp_path: Path) -> None:
    index = f"a\t{server}/ok/1\nb\t{server}/status/404\n"
    done = run(tmp_path, index)
    assert done.exit_code == 1
    assert "2 refused address (--allow-private)" in done.output
    assert "0 of 2 rows have an image, fewer than --min-success 1" in done.output
    assert json.loads((tmp_path / "out" / "report.json").read_text())["tried"] == 2
    assert run(tmp_path, index, "--allow-private").exit_code == 0
    assert run(tmp_path, index, "--allow-private", "--min-success", "50%").exit_code == 0
    assert run(tmp_path, index, "--allow-private", "--min-success", "51%").exit_code == 1
    assert run(tmp_path, index, "--allow-private", "--min-success", "2").exit_code == 1
    assert run(tmp_path, index, "--min-success", "many").exit_code == 2


def test_a_machine_whose_tls_fails_settles_nothing(server: str, tmp_path: Path) -> None:
    """A server that does not speak TLS looks like a machine that cannot."""
    index = "".join(f"c\t{server.replace('http', 'https')}/ok/{i}\n" for i in range(3))
    done = run(tmp_path, index, "--allow-private")
    assert done.exit_code == 1
    assert "no server's certificate" in done.output or "nothing could be reached" in done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["download.json"]
    mixed = f"{index}c\t{server}/ok/3\n"
    done = run(tmp_path, mixed, "--allow-private")
    assert done.exit_code == 0
    assert statuses(tmp_path / "out") == ["tls"] * 3 + ["ok"]


NO_NAMES = """
import socket
def getaddrinfo(*_):
    raise socket.gaierror(socket.EAI_AGAIN, "no")
socket.getaddrinfo = getaddrinfo
"""


def test_a_machine_that_finds_no_name_settles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_processes, "_PROGRAM", NO_NAMES + worker_processes._PROGRAM)
    index = "".join(f"c\thttp://h{i}.example/x.jpg\n" for i in range(3))
    done = run(tmp_path, index, "--retries", "0")
    assert done.exit_code == 1
    assert "nothing could be reached" in done.output and "look names up" in done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["download.json"]


def test_proxies_of_the_environment(
    server: str, another_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", server.replace("//", "//me:p%40ss@"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    there = [
        IndexRow(0, "http://only.the.proxy.invalid/published/1?a%3Db", "c"),
        IndexRow(1, f"{another_server}/ok/2", "c"),
        IndexRow(2, "http://10.0.0.1/ok/3", "c"),
    ]
    report = download(there, tmp_path / "out", replace(OPTIONS, fetch=replace(LOCAL, allow_private=False)))
    assert report["ok"] == 1
    assert statuses(tmp_path / "out") == ["ok", "refused_address", "refused_address"]
    ((path, headers),) = Handler.requests
    assert path == "http://only.the.proxy.invalid/published/1?a%3Db"
    assert headers["Proxy-Authorization"] == "Basic bWU6cEBzcw=="
    assert headers["Host"] == "only.the.proxy.invalid"


def test_a_proxy_that_is_not_there_settles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(FfprepError, match=r"proxy \(1\).*the proxy of http_proxy"):
        download([IndexRow(0, "http://a.example/x.jpg", "c")], tmp_path / "out", OPTIONS)
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(OptionError, match="is no HTTP proxy"):
        download([IndexRow(0, "http://a.example/x.jpg", "c")], tmp_path / "out", OPTIONS)

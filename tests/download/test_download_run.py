"""Downloads from a local server: what is stored, what is refused and why, limits, kills and resumption."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from local_server import LOCAL, Handler, contents, jpeg, rows

from ffprep.beton.reader import Reader
from ffprep.convert.conversion import convert
from ffprep.download.downloader import download
from ffprep.download.settings import DownloadOptions
from ffprep.download.shards import manifest_path, read_lines
from ffprep.download.url_index import IndexRow, read_index
from ffprep.errors import FfprepError, OptionError
from ffprep.fields import RGBImageField
from ffprep.sources.caption_shards import open_caption_shards
from ffprep.text.tokens.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/status/404", "http_404"),
        ("/status/403", "http_403"),
        ("/status/500", "http_500"),
        ("/html", "not_an_image"),
        ("/cut", "undecodable"),
        ("/bomb", "too_many_pixels"),
        ("/noai", "robots"),
        ("/redirect/4", "ok"),
        ("/redirect/9", "too_many_redirects"),
        ("/loop", "too_many_redirects"),
        ("/scheme", "bad_url"),
        ("/large", "too_large"),
        ("/endless", "too_large"),
        ("/flaky", "ok"),
        ("/type", "ok"),
        ("/png", "ok"),
        ("/gif", "ok"),
        ("/webp", "ok"),
        ("/bmp", "ok"),
        ("/tiff", "ok"),
        ("/cmyk", "ok"),
        ("/corrupt", "undecodable"),
        ("/short", "broken_response"),
        ("/reset", "connection"),
    ],
)
def test_each_cause(server: str, tmp_path: Path, path: str, cause: str) -> None:
    options = DownloadOptions(max_pixels=1_000_000, connections=2, fetch=LOCAL)
    download(rows(server, [path]), tmp_path / "out", options)
    (outcome,) = read_lines(tmp_path / "out" / "manifest.jsonl")
    assert outcome.status == cause
    expected_tries = 2 if path in ("/status/500", "/flaky", "/reset", "/short") else 1
    assert Handler.hits[path] == expected_tries or path in ("/loop", "/reset")


@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_a_server_that_never_ends_costs_the_deadline_only(server: str, tmp_path: Path, path: str) -> None:
    options = DownloadOptions(connections=2, fetch=replace(LOCAL, deadline=0.2, retries=0))
    report = download(rows(server, [path, "/ok/1"]), tmp_path / "out", options)
    assert report["causes"] == {"timeout": 1}
    assert report["ok"] == 1


@pytest.mark.parametrize("url", ["ftp://x/y", "http://", "not a url", "http://[::1", "", "https://exa mple/\ud800"])
def test_bad_urls(tmp_path: Path, url: str) -> None:
    report = download([IndexRow(0, url, "c")], tmp_path / "out", DownloadOptions(connections=1, fetch=LOCAL))
    assert set(report["causes"]) <= {"bad_url", "dns", "connection"}
    assert report["ok"] == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254", "localhost"]
)
def test_private_addresses_are_refused(server: str, tmp_path: Path, host: str) -> None:
    port = server.rsplit(":", 1)[1]
    options = DownloadOptions(connections=1, fetch=replace(LOCAL, allow_private=False))
    report = download([IndexRow(0, f"http://{host}:{port}/ok/1", "c")], tmp_path / "out", options)
    assert report["causes"] == {"refused_address": 1}
    assert not Handler.hits


def test_shards_hold_image_caption_and_facts(server: str, tmp_path: Path) -> None:
    paths = [f"/ok/{i}" if i % 3 else "/status/404" for i in range(10)]
    report = download(rows(server, paths), tmp_path / "out", DownloadOptions(shard_size=4, connections=3, fetch=LOCAL))
    assert report["tried"] == 10
    assert report["ok"] == 6
    names = []
    for shard in sorted((tmp_path / "out").glob("*.tar")):
        with tarfile.open(shard) as tar:
            names += tar.getnames()
            for name in tar.getnames():
                data = tar.extractfile(name).read()  # type: ignore[union-attr]
                number = int(name.split(".")[0])
                if name.endswith(".jpg"):
                    assert data == jpeg(number)
                elif name.endswith(".txt"):
                    assert data.decode() == f"caption {number}"
                else:
                    assert json.loads(data)["sha256"] == hashlib.sha256(jpeg(number)).hexdigest()
    assert names == [f"{i:09d}.{e}" for i in range(10) if i % 3 for e in ("jpg", "txt", "json")]


@pytest.mark.parametrize("connections", [1, 3, 16])
@pytest.mark.parametrize("limit", [1, 5, 6, 7, 100])
def test_limit_takes_the_first_by_index(server: str, tmp_path: Path, limit: int, connections: int) -> None:
    paths = [f"/ok/{i}" if i % 2 else "/status/404" for i in range(24)]
    options = DownloadOptions(limit=limit, shard_size=5, connections=connections, fetch=LOCAL)
    download(rows(server, paths), tmp_path / "out", options)
    good = [o.id for o in read_lines(tmp_path / "out" / "manifest.jsonl") if o.ok]
    assert good == [i for i in range(24) if i % 2][:limit]


def test_max_bytes_stops_before_the_row_that_exceeds_it(server: str, tmp_path: Path) -> None:
    sizes = [len(jpeg(i)) for i in range(8)]
    options = DownloadOptions(max_bytes=sum(sizes[:5]) + 1, shard_size=3, connections=4, fetch=LOCAL)
    report = download(rows(server, [f"/ok/{i}" for i in range(8)]), tmp_path / "out", options)
    assert report["bytes"] == sum(sizes[:5])
    with pytest.raises(FfprepError, match="byte limit"):
        download(rows(server, ["/ok/0"]), tmp_path / "small", replace(options, max_bytes=10))


def test_a_killed_download_goes_on_and_gives_the_same(server: str, tmp_path: Path) -> None:
    paths = [f"/ok/{i}" if i % 4 else "/status/410" for i in range(30)]
    options = DownloadOptions(limit=15, shard_size=4, connections=3, fetch=LOCAL)
    download(rows(server, paths), tmp_path / "whole", options)
    index = tmp_path / "index.tsv"
    index.write_text("".join(f"caption {i}\t{server}{p}\n" for i, p in enumerate(paths)))
    program = (
        "import os, sys; from pathlib import Path; from ffprep.download import downloader, shards\n"
        "from ffprep.download.url_index import read_index; from ffprep.download.settings import FetchLimits\n"
        "write = shards.write_shard\n"
        "def killed(folder, number, buffer):\n"
        "    if number == 2: os._exit(9)\n"
        "    return write(folder, number, buffer)\n"
        "shards.write_shard = killed\n"
        f"limits = FetchLimits(**{vars(LOCAL)!r})\n"
        "options = downloader.DownloadOptions(limit=15, shard_size=4, connections=3, fetch=limits)\n"
        f"downloader.download(read_index(Path({str(index)!r})), Path({str(tmp_path / 'killed')!r}), options)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 9
    assert not (tmp_path / "killed" / "manifest.jsonl").exists()
    download(read_index(index), tmp_path / "killed", options)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


KILLED = """
import os, sys
from pathlib import Path
from ffprep.download import downloader, shards
from ffprep.download.settings import FetchLimits, DownloadOptions
from ffprep.download.url_index import read_index

left = int(sys.argv[1])
name = sys.argv[2]
original = getattr(shards, name) if name != "add" else shards.ShardBuffer.add

def killed(*arguments):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return original(*arguments)

if name == "add":
    shards.ShardBuffer.add = killed
else:
    setattr(shards, name, killed)
options = downloader.DownloadOptions(shard_size=4, connections=3, fetch=FetchLimits(**LOCAL))
downloader.download(read_index(Path(sys.argv[3])), Path(sys.argv[4]), options)
"""


def test_killed_anywhere_and_resumed_it_makes_the_same_file(
    server: str, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    treated = ["ok", "status/404", "html", "cut", "ok", "type", "gif", "ok", "reset", "ok"]
    paths = [f"/{treated[i % 10]}{f'/{i}' if treated[i % 10] == 'ok' else ''}" for i in range(30)]
    index = tmp_path / "index.tsv"
    index.write_text("".join(f"caption {i}\t{server}{p}\n" for i, p in enumerate(paths)))
    options = DownloadOptions(shard_size=4, connections=3, fetch=LOCAL)
    report = download(read_index(index), tmp_path / "whole", options)
    assert report["ok"] == 18
    program = KILLED.replace("**LOCAL", f"**{vars(LOCAL)!r}")
    codes = []
    for name, after in (("add", 0), ("add", 9), ("_add", 3), ("write_lines", 1), ("write_shard", 2), ("_add", 7)):
        command = [sys.executable, "-c", program, str(after), name, str(index), str(tmp_path / "killed")]
        codes.append(subprocess.run(command, timeout=60, check=False).returncode)
    # how much is left for the later runs, which may therefore reach the end, depends on what was under way at a kill
    assert codes[:2] == [9, 9] and codes.count(9) >= 3 and set(codes) <= {0, 9}
    download(read_index(index), tmp_path / "killed", options)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    for folder in ("killed", "whole"):
        source = open_caption_shards(
            "cc3m", [tmp_path / folder], image=RGBImageField(jpeg="keep"), vocabulary=vocabulary, text=True
        )
        convert(source, tmp_path / f"{folder}.beton")
    with Reader(tmp_path / "whole.beton") as reader:
        assert reader.num_samples == 18
    assert (tmp_path / "killed.beton").read_bytes() == (tmp_path / "whole.beton").read_bytes()


def test_a_larger_limit_extends_a_cut_shard(server: str, tmp_path: Path) -> None:
    paths = [f"/ok/{i}" for i in range(12)]
    options = DownloadOptions(limit=5, shard_size=4, connections=3, fetch=LOCAL)
    download(rows(server, paths), tmp_path / "a", options)
    download(rows(server, paths), tmp_path / "a", replace(options, limit=11))
    download(rows(server, paths), tmp_path / "b", replace(options, limit=11))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_complete_shards_are_not_fetched_again_but_failures_are_on_request(server: str, tmp_path: Path) -> None:
    Handler.flaky_after = 2
    try:
        all_rows = rows(server, ["/ok/0", "/flaky", "/status/404", "/ok/3"])
        options = DownloadOptions(shard_size=4, connections=2, fetch=LOCAL)
        assert download(all_rows, tmp_path / "out", options)["causes"] == {"http_503": 1, "http_404": 1}
        Handler.hits.clear()
        download(all_rows, tmp_path / "out", options)
        assert not Handler.hits
        Handler.flaky_after = 0
        assert download(all_rows, tmp_path / "out", options, retry_failed=True)["causes"] == {"http_404": 1}
        assert set(Handler.hits) == {"/flaky"}
    finally:
        Handler.flaky_after = 1


def test_a_manifest_fetches_the_very_same_subset(server: str, tmp_path: Path) -> None:
    paths = [f"/ok/{i}" if i % 3 else "/status/404" for i in range(12)]
    options = DownloadOptions(limit=5, shard_size=4, connections=3, fetch=LOCAL)
    download(rows(server, paths), tmp_path / "first", options)
    again = list(read_index(tmp_path / "first" / "manifest.jsonl"))
    download(again, tmp_path / "second", replace(options, limit=None))
    first = [o for o in read_lines(tmp_path / "first" / "manifest.jsonl") if o.ok]
    assert list(read_lines(tmp_path / "second" / "manifest.jsonl")) == first
    forged = [replace(row, sha256="0" * 64) for row in again[:1]]
    assert download(forged, tmp_path / "third", options)["causes"] == {"changed": 1}


def test_resize_on_arrival(server: str, tmp_path: Path) -> None:
    download(rows(server, ["/ok/1"]), tmp_path / "out", DownloadOptions(resize_to=16, connections=1, fetch=LOCAL))
    (outcome,) = read_lines(manifest_path(tmp_path / "out", 0))
    assert (outcome.width, outcome.height) == (21, 16)
    assert outcome.sha256 == hashlib.sha256(jpeg(1)).hexdigest()


def test_other_settings_are_refused(server: str, tmp_path: Path) -> None:
    download(rows(server, ["/ok/1"]), tmp_path / "out", DownloadOptions(connections=1, fetch=LOCAL))
    with pytest.raises(OptionError, match="shard_size"):
        download(rows(server, ["/ok/1"]), tmp_path / "out", DownloadOptions(shard_size=7, connections=1, fetch=LOCAL))


def test_a_restart_drops_the_download_and_nothing_else(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    options = DownloadOptions(shard_size=2, connections=2, fetch=LOCAL)
    listed = rows(server, [f"/ok/{n}" for n in range(5)])
    download(listed, folder, options)
    (folder / "notes.txt").write_text("mine")
    others = rows(server, [f"/ok/{n}" for n in (7, 8, 9)])
    resized = replace(options, resize_to=16)
    with pytest.raises(OptionError, match="holds a download with other settings .*--restart drops it and begins anew"):
        download(others, folder, resized)
    assert download(others, folder, resized, restart=True)["ok"] == 3
    download(others, tmp_path / "new", resized)
    assert contents(folder) == {**contents(tmp_path / "new"), "notes.txt": contents(folder)["notes.txt"]}
    (folder / "download.json").write_text("{")
    with pytest.raises(OptionError, match=r"download\.json: is damaged.*--restart"):
        download(others, folder, resized)
    assert download(listed, folder, options, restart=True)["ok"] == 5


def test_a_restart_does_not_drop_what_is_of_no_download(server: str, tmp_path: Path) -> None:
    (tmp_path / "00000.tar").write_bytes(b"mine")
    with pytest.raises(OptionError, match=r"00000\.tar: is there already and of no download"):
        download(rows(server, ["/ok/0"]), tmp_path, DownloadOptions(fetch=LOCAL), restart=True)
    assert (tmp_path / "00000.tar").read_bytes() == b"mine"

"""Shards of captions with odd members, damaged archives, and samples that are not clear."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tar_files import write_tar

from ffprep.errors import SourceError
from ffprep.sources.caption_shards import open_caption_shards
from ffprep.sources.caption_source import CaptionSource


def found(source: CaptionSource) -> list[tuple[int, str, str]]:
    """Id, content and caption of each pair."""
    samples = [source.sample(number) for number in range(len(source))]
    return [(values[3], values[0].value.decode(), values[4].decode()) for values in samples]


Member = tuple[str, bytes]


def tar_of(path: Path, *members: Member) -> Path:
    return write_tar(path, members)


def sample(key: str) -> list[Member]:
    return [(f"{key}.jpg", key.encode()), (f"{key}.txt", f"caption {key}".encode())]


def pair(key: str) -> tuple[int, str, str]:
    return int(key), key, f"caption {key}"


CLEAN = [pair("3"), pair("4")]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([("3.input.jpg", b"3"), ("3.outputs.txt", b"caption 3"), *sample("4")], CLEAN),
        ([("3.JPG", b"3"), ("3.TXT", b"caption 3"), ("4.Jpeg", b"4"), ("4.Txt", b"\xef\xbb\xbfcaption 4")], CLEAN),
        ([sample("3")[0], sample("4")[0], sample("3")[1], sample("4")[1]], CLEAN),
        ([sample("4")[1], *sample("3"), sample("4")[0]], CLEAN[::-1]),
        ([("./3.jpg", b"3"), ("3.txt", b"caption 3"), *sample("4")], CLEAN),
        ([("._3.jpg", b"x"), *sample("3"), ("__MACOSX/4.jpg", b"x"), ("__MACOSX/._4.txt", b"x"), *sample("4")], CLEAN),
        ([sample("3")[0], ("._3.jpg", b"x"), (".DS_Store", b"x"), sample("3")[1], *sample("4")], CLEAN),
        ([*sample("3"), (".ipynb_checkpoints/4.jpg", b"x"), *sample("4")], CLEAN),
        ([("3.jpg/", b""), ("x/", b""), *sample("3"), *sample("4")], CLEAN),
        ([("3.seg.png", b"x"), *sample("3"), *sample("4"), ("4.old.txt", b"x")], CLEAN),
        ([("3.a.b.jpg", b"3"), ("3.json", b'{"caption": "caption 3"}'), *sample("4")], CLEAN),
        ([("a/3.jpg", b"3"), ("b/3.txt", b"x"), ("a/3.txt", b"caption 3"), *sample("4")], CLEAN),
    ],
)
def test_members_of_all_kinds(
    tmp_path: Path, options: dict[str, Any], members: list[Member], expected: list[tuple[int, str, str]]
) -> None:
    assert found(open_caption_shards("cc3m", [tar_of(tmp_path / "0.tar", *members)], **options)) == expected


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("5.png", b"x"), *sample("5")], "several images for one key: 5.png and 5.jpg"),
        ([("5.a.jpg", b"x"), ("5.b.jpg", b"x"), ("5.txt", b"x")], "several images for one key: 5.a.jpg and 5.b.jpg"),
        ([("5.a.txt", b"x"), ("5.b.txt", b"x"), ("5.jpg", b"x")], "several captions for one key: 5.a.txt and 5.b.txt"),
        ([("5.jpg", b"x"), ("5.jpg", b"y"), ("5.txt", b"x")], "several images for one key: 5.jpg, twice"),
    ],
)
def test_samples_that_are_not_clear(
    tmp_path: Path, options: dict[str, Any], members: list[Member], reason: str
) -> None:
    path = tar_of(tmp_path / "0.tar", *sample("3"), *members, *sample("4"))
    with pytest.raises(SourceError, match=rf"0.tar, sample 5: {reason}"):
        open_caption_shards("cc3m", [path], **options)
    source = open_caption_shards("cc3m", [path], skip=True, **options)
    assert found(source) == CLEAN
    assert source.left_out.causes == {reason.partition(":")[0]: 1}


def damaged(path: Path, kind: str) -> Sequence[str]:
    """Make a damaged archive; returns the keys of its whole samples."""
    tar_of(path, *sample("1"), *sample("2"))
    data = path.read_bytes()
    if kind == "no bytes":
        path.write_bytes(b"")
    elif kind == "cut in a member":
        path.write_bytes(data[: 3 * 1024 + 515])
        return "1"
    elif kind == "cut in a header":
        path.write_bytes(data[: 3 * 1024 + 100])
        return "1"
    elif kind == "cut before the caption":
        path.write_bytes(data[: 3 * 1024])
        return "1"
    elif kind == "without end mark":
        path.write_bytes(data[: 4 * 1024])
        return "12"
    elif kind == "garbage":
        path.write_bytes(data[:2048] + b"garbage" * 1000)
        return "1"
    elif kind == "compressed":
        path.write_bytes(gzip.compress(data))
    elif kind == "compressed and cut":
        path.write_bytes(gzip.compress(data)[:100])
    elif kind == "a page of the web":
        path.write_bytes(b"<html>404</html>" * 100)
    return ""


KINDS = ["no bytes", "cut in a member", "cut in a header", "cut before the caption", "without end mark", "garbage"]


KINDS += ["compressed", "compressed and cut", "a page of the web"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_archive_among_good_ones(tmp_path: Path, options: dict[str, Any], kind: str) -> None:
    whole = damaged(tmp_path / "00.tar", kind)
    tar_of(tmp_path / "01.tar", *sample("3"), *sample("4"))
    with pytest.raises(SourceError, match=r"00.tar: the archive is (damaged|compressed).*--on-error skip"):
        open_caption_shards("cc3m", [tmp_path], **options)
    source = open_caption_shards("cc3m", [tmp_path], skip=True, **options)
    assert found(source) == [*map(pair, whole), *CLEAN]
    assert [name for name, _ in source.left_out.rows] == ["00.tar"]


def test_places_that_are_no_archives(tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "._0.tar").write_bytes(b"AppleDouble")
    tar_of(tmp_path / "0.TAR", *sample("3"), *sample("4"))
    tar_of(tmp_path / "1.tar")  # nothing in it, and no fault
    assert found(open_caption_shards("cc3m", [tmp_path], **options)) == CLEAN


def test_no_pair_says_what_there_is(tmp_path: Path, options: dict[str, Any]) -> None:
    tar_of(tmp_path / "0.tar", ("0.jpg", b"x"), ("0.cls", b"1"), ("1.jpg", b"x"), ("1.cls", b"1"), ("2.x.npy", b""))
    with pytest.raises(SourceError, match=r"no image with a caption in 1 archives, which hold .*\.cls \(2\).*x\.npy"):
        open_caption_shards("cc3m", [tmp_path], **options)
    (tmp_path / "0.tar").write_bytes(b"")
    with pytest.raises(SourceError, match=r"which hold no files; 1 left out: .*0.tar"):
        open_caption_shards("cc3m", [tmp_path], skip=True, **options)


def test_positions_do_not_shift(tmp_path: Path, options: dict[str, Any]) -> None:
    """Where names are no numbers, a sample's id is its position among all that have an image."""
    members = [*sample("a"), ("b.jpg", b"x"), *sample("c"), ("d.jpg", b"x"), ("d.gif", b"x"), ("d.txt", b"x")]
    path = tar_of(tmp_path / "0.tar", *members, *sample("e"))
    source = open_caption_shards("cc3m", [path], skip=True, **options)
    assert [(key, content) for key, content, _ in found(source)] == [(0, "a"), (2, "c"), (4, "e")]


@pytest.mark.parametrize("facts", [b'{"caption": null}', b"{}", b"[]", b"nonsense", b'{"caption": ["x"]}', b"[" * 9999])
def test_null_captions(tmp_path: Path, options: dict[str, Any], facts: bytes) -> None:
    path = tar_of(tmp_path / "0.tar", *sample("3"), ("5.jpg", b"5"), ("5.json", facts), *sample("4"))
    source = open_caption_shards("cc3m", [path], **options)
    with pytest.raises(SourceError, match="its caption is null" if b"null" in facts else "holds no caption"):
        source.sample(1)
    assert [source.sample(number)[3] for number in (0, 2)] == [3, 4]

"""Every published form of an index gives the same rows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ffprep.download.url_index import IndexRow, read_index
from ffprep.errors import SourceError

PAIRS = [("http://a.example/1.jpg", "a dog"), ("https://b.example/ü.png", "two « cats »"), ("http://c.example/x", "")]
ROWS = [IndexRow(i, url, caption) for i, (url, caption) in enumerate(PAIRS)]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_cc3m_tsv(tmp_path: Path) -> None:
    path = write(tmp_path / "Train_GCC-training.tsv", "".join(f"{c}\t{u}\n" for u, c in PAIRS))
    assert list(read_index(path)) == ROWS


def test_cc12m_tsv_without_last_newline_with_crlf_and_gzip(tmp_path: Path) -> None:
    text = "\r\n".join(f"{u}\t{c}" for u, c in PAIRS)
    assert list(read_index(write(tmp_path / "cc12m.tsv", text))) == ROWS
    (tmp_path / "z.tsv.gz").write_bytes(gzip.compress(text.encode()))
    assert list(read_index(tmp_path / "z.tsv.gz")) == ROWS


def test_tsv_with_header(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", "caption\turl\n" + "".join(f"{c}\t{u}\n" for u, c in PAIRS))
    assert list(read_index(path)) == ROWS


def test_sbu_json_and_text_files(tmp_path: Path) -> None:
    lists = {"image_urls": [u for u, _ in PAIRS], "captions": [c for _, c in PAIRS], "user_names": ["x"] * 3}
    assert list(read_index(write(tmp_path / "sbu-captions-all.json", json.dumps(lists)))) == ROWS
    urls = write(tmp_path / "SBU_captioned_photo_dataset_urls.txt", "".join(u + "\n" for u, _ in PAIRS))
    write(tmp_path / "SBU_captioned_photo_dataset_captions.txt", "".join(c + "\n" for _, c in PAIRS))
    assert list(read_index(urls)) == ROWS
    write(tmp_path / "SBU_captioned_photo_dataset_captions.txt", "only one\n")
    with pytest.raises(SourceError, match="another number of lines"):
        list(read_index(urls))


def test_list_of_objects(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", json.dumps([{"url": u, "caption": c} for u, c in PAIRS]))
    assert list(read_index(path)) == ROWS


def test_parquet_file_and_folder(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"image_url": [u for u, _ in PAIRS], "user_id": ["x"] * 3, "caption": [c for _, c in PAIRS]})
    pq.write_table(table, tmp_path / "train-0.parquet")
    assert list(read_index(tmp_path / "train-0.parquet")) == ROWS
    assert list(read_index(tmp_path)) == ROWS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "only one column\n", "line 1"),
        ("a.tsv", "c\thttp://x\nbroken\n", "line 2"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", '{"image_urls": ["http://x"], "captions": []}', "one length"),
        ("a.json", '["x"]', "item 0"),
        ("a.jsonl", '{"id": 1}\n', "line 1"),
        ("a.jsonl", "[]\n", "line 1"),
        ("a.csv", "", "unknown form"),
    ],
)
def test_broken_indexes_name_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(SourceError, match=message) as error:
        list(read_index(path))
    assert name in str(error.value)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such index"):
        list(read_index(tmp_path / "x.tsv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no \.parquet"):
        list(read_index(tmp_path / "empty"))

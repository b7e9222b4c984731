"""Every published form of an index gives the same rows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ffprep.download.index_forms import text
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
        ("a.tsv", "http://x/1.jpg\nhttp://x/2.jpg\n", "none of its 2 rows.*line 1 holds no caption"),
        ("a.tsv", "", "none of its 0 rows"),
        ("a.json", '[{"url": null, "caption": "c"}]', "item 0 holds no URL"),
        ("a.json", "3", "expected an object of lists"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", '{"image_urls": ["http://x"], "captions": []}', "one length"),
        ("a.json", '["x"]', "item 0"),
        ("a.jsonl", '{"id": 1}\n', "line 1"),
        ("a.jsonl", "[]\n", "line 1"),
        ("a.jsonl", '{"id": 7, "url": "u"}\n\n{"id": 7, "url": "u"}\n', "line 3.*ids must ascend"),
        ("a.jsonl", '{"id": 1, "url": "u"}\n{"id": 2, "ur', "line 2"),
        ("a.csv", "", "unknown form"),
    ],
)
def test_broken_indexes_name_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(SourceError, match=message) as error:
        list(read_index(path))
    assert name in str(error.value)


def found(path: Path) -> list[tuple[int, str, str, str]]:
    return [(row.number, row.url, row.caption, row.problem) for row in read_index(path)]


A, B = "http://a.example/1.jpg", "http://b.example/2.jpg"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("order", [f"{A}\tone\n{B}\ttwö\n", f"one\t{A}\ntwö\t{B}\n", f"URL\tTEXT\n{A}\tone\n{B}\ttwö"])
def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path, encoding: str, order: str) -> None:
    (tmp_path / "x.tsv").write_bytes(order.encode(encoding))
    assert found(tmp_path / "x.tsv") == [(0, A, "one", ""), (1, B, "twö", "")]


def test_byte_order_marks_of_joined_files_and_of_json(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_bytes(2 * f"\ufeff{A}\tone\n".encode())
    assert found(tmp_path / "x.tsv") == [(0, A, "one", ""), (1, A, "one", "")]
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([{"url": A, "caption": "one"}]).encode())
    assert found(tmp_path / "x.json") == [(0, A, "one", "")]


@pytest.mark.parametrize(
    ("bad", "problem"),
    [("no table", "no_url"), ("", "blank_line"), ("c\t", "no_url"), (A, "no_caption"), (" \t ", "blank_line")],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_bad_rows_keep_their_numbers(tmp_path: Path, bad: str, problem: str, place: int) -> None:
    lines = [f"one\t{A}", f"two\t{B}"]
    lines.insert(place, bad)
    rows = found(write(tmp_path / "x.tsv", "\n".join(lines) + "\n\n\n"))
    expected = {
        number: (A, "one", "") if number == min({0, 1, 2} - {place}) else (B, "two", "")
        for number in {0, 1, 2} - {place}
    }
    assert {row[0]: row[1:] for row in rows if not row[3]} == expected
    trimmed = problem == "blank_line" and place == 2
    assert [(row[0], row[3]) for row in rows if row[3]] == ([] if trimmed else [(place, problem)])


@pytest.mark.parametrize(
    "lines",
    [
        [f"a\tb\t{A}", f"two\t{B}"],
        [f"{A}\ta\tb", f"{B}\ttwo"],
        [f"two\t{B}", f"a\tb\t{A}"],
        ["caption\turl", f"a\tb\t{A}", f"two\t{B}"],
        ["url\tcaption", f"{A}\ta\tb", f"{B}\ttwo"],
    ],
)
def test_tabs_in_captions(tmp_path: Path, lines: list[str]) -> None:
    rows = found(write(tmp_path / "x.tsv", "\n".join(lines)))
    assert sorted(row[1:] for row in rows) == [(A, "a\tb", ""), (B, "two", "")]
    assert [row[0] for row in rows] == [0, 1]


def test_a_caption_that_looks_like_a_url_and_tables_of_more_columns(tmp_path: Path) -> None:
    text = f"one\t{A}\nhttp://is.a.caption\t{B}\n"
    assert found(write(tmp_path / "x.tsv", text))[1] == (1, B, "http://is.a.caption", "")
    wide = "".join(f"{A}\tcaption {i}\t640\t480\n" for i in range(9))
    assert found(write(tmp_path / "x.tsv", wide))[3] == (3, A, "caption 3", "")
    named = f"id\tTEXT\tsize\tURL\n7\tone\t640\t{A}\n"
    assert found(write(tmp_path / "x.tsv", named)) == [(0, A, "one", "")]


def test_bytes_that_are_no_utf8_stay_in_the_url(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_bytes(b"caf\xe9\thttp://a.example/caf\xe9.jpg\n")
    assert found(tmp_path / "x.tsv") == [(0, "http://a.example/caf%E9.jpg", "caf\ufffd", "")]


def test_a_line_without_end_is_one_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "LONGEST", 64)
    rows = found(write(tmp_path / "x.tsv", f"one\t{A}\n" + "x" * 1000 + f"\ttwo\n\ntwo\t{B}"))
    assert [(row[0], row[3]) for row in rows] == [(0, ""), (1, "too_long"), (2, "blank_line"), (3, "")]


@pytest.mark.parametrize("form", ["json", "objects", "parquet", "lines"])
def test_missing_values_are_no_text(tmp_path: Path, form: str) -> None:
    urls, captions = [A, None, B, "", B], ["one", "b", None, "d", "5"]
    pairs = [{"image_url": u, "caption": c} for u, c in zip(urls, captions, strict=True)]
    if form == "parquet":
        pa = pytest.importorskip("pyarrow")
        path = tmp_path / "x.parquet"
        pytest.importorskip("pyarrow.parquet").write_table(pa.table({"URL": urls, "Caption": captions}), path)
    elif form == "lines":
        path = write(tmp_path / "x.jsonl", "".join(json.dumps(pair) + "\n" for pair in pairs))
    else:
        content = {"image_urls": urls, "captions": captions} if form == "json" else pairs
        path = write(tmp_path / "x.json", json.dumps(content))
    expected = [
        (0, A, "one", ""),
        (1, "", "b", "no_url"),
        (2, B, "", "no_caption"),
        (3, "", "d", "no_url"),
        (4, B, "5", ""),
    ]
    assert found(path) == expected


def test_other_values_in_json(tmp_path: Path) -> None:
    text = (
        f'[{{"url": "{A}", "caption": 2012}}, "x", {{"url": ["u"], "caption": "c"}}, {{"url": "{A}", "caption": NaN}}]'
    )
    rows = found(write(tmp_path / "x.json", text))
    assert [row[2:] for row in rows] == [("2012", ""), ("", "not_a_row"), ("c", "no_url"), ("", "no_caption")]
    path = write(
        tmp_path / "x.jsonl",
        f'\n{{"url": "{A}", "caption": "one"}}\n{{"url": "{A}", "capt\n{{"url": "{B}", "caption": "b"}}',
    )
    assert [(row[0], row[3]) for row in found(path)] == [(0, "blank_line"), (1, ""), (2, "not_a_row"), (3, "")]


def test_blank_lines_in_sbus_pair_of_files(tmp_path: Path) -> None:
    write(tmp_path / "x_urls.txt", f"{A}\n\n\n{B}\n\n")
    write(tmp_path / "x_captions.txt", "one\nlost\n\ntwo")
    expected = [(0, A, "one", ""), (1, "", "lost", "no_url"), (2, "", "", "blank_line"), (3, B, "two", "")]
    assert found(tmp_path / "x_urls.txt") == expected


@pytest.mark.parametrize("name", ["x.tsv.gz", "x.tsv", "x.jsonl.gz"])
def test_gzip_that_is_cut_or_damaged(tmp_path: Path, name: str) -> None:
    """Whatever the name says, and at whatever byte it ends."""
    lines = "".join(
        f'{{"id": {i}, "url": "{A}", "caption": "c{i}"}}\n' if "jsonl" in name else f"c{i}\t{A}\n" for i in range(500)
    )
    packed = gzip.compress(lines.encode())
    (tmp_path / name).write_bytes(packed)
    assert len(found(tmp_path / name)) == 500
    for end in (11, len(packed) // 2, len(packed) - 1):
        (tmp_path / name).write_bytes(packed[:end])
        with pytest.raises(SourceError, match=rf"{name}: .*cut off at byte {end:,}"):
            found(tmp_path / name)
    (tmp_path / name).write_bytes(packed[:200] + bytes(8) + packed[208:])
    with pytest.raises(SourceError, match=rf"{name}: .*damaged before byte"):
        found(tmp_path / name)


def test_a_cut_parquet_file_is_named(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    path = tmp_path / "x.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(pa.table({"url": [A], "caption": ["one"]}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"x\.parquet: not a whole parquet file"):
        found(path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such index"):
        list(read_index(tmp_path / "x.tsv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no \.parquet"):
        list(read_index(tmp_path / "empty"))

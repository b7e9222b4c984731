"""Rows of tables: every row once, in every format, and the unusable ones reported."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffprep.errors import SourceError
from ffprep.text.documents import table_parts, table_rows
from ffprep.text.documents.delimited import CSV, TSV, Dialect, delimited_rows
from ffprep.text.documents.table_parts import format_of, parts_of
from ffprep.text.documents.table_rows import BadRow, TableRow, json_rows, parquet_rows

TEXTS = st.lists(st.text(max_size=30), max_size=12)


def values(rows: table_rows.Rows) -> list[object]:
    return [row.values if isinstance(row, TableRow) else row.reason for row in rows]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, cuts=st.lists(st.integers(0, 300), max_size=5), ascii=st.booleans())
def test_ranges_of_json_lines_give_each_row_once(
    tmp_path: Path, texts: list[str], cuts: list[int], ascii: bool
) -> None:
    path = tmp_path / "x.jsonl"
    lines = [json.dumps({"text": t}, ensure_ascii=ascii) + "\n" for t in texts]
    data = "".join(lines).encode("utf-8", "surrogatepass" if ascii else "replace")
    path.write_bytes(data)
    whole = values(json_rows(path, ["text"]))
    if ascii:
        assert whole == [(t,) for t in texts]
    places = sorted({0, len(data), *(min(c, len(data)) for c in cuts)})
    pieces = [json_rows(path, ["text"], a, b) for a, b in pairwise(places)]
    assert [v for piece in pieces for v in values(piece)] == whole


def test_json_rows_that_cannot_be_used_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"text": "one", "n": {"m": 1}}\n{"text": broken\n\n[]\n{"n": {"m": 2}}\n'
        b'{"text": null, "n": {"m": 3}}\r\n' + b"[" * 100_000 + b'\n{"text": "\xff", "n": {"m": 4}}'
    )
    found = values(json_rows(path, ["text", "n.m"]))
    assert found[0] == ("one", 1)
    assert str(found[1]).startswith("not JSON")
    assert found[2:5] == ["no field 'text'", "no field 'text'", (None, 3)]
    assert str(found[5]).startswith("not JSON")
    assert found[6] == ("\udcff", 4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, indent=st.sampled_from([None, 1]), form=st.sampled_from(["x.json", "x.json.gz", "x.jsonl"]))
def test_an_array_gives_the_rows_of_its_lines(tmp_path: Path, texts: list[str], indent: int | None, form: str) -> None:
    rows = [{"text": text, "n": {"m": number}} for number, text in enumerate(texts)]
    data = b"\xef\xbb\xbf\n " + json.dumps(rows, indent=indent).encode() + b"\n"
    (tmp_path / form).write_bytes(gzip.compress(data) if form.endswith(".gz") else data)
    (part,) = parts_of(tmp_path / form, form, ["text", "n.m"], str(format_of(tmp_path / form)))
    found = list(part.read())
    assert [row.values for row in found if isinstance(row, TableRow)] == [(t, n) for n, t in enumerate(texts)]
    assert [row.name for row in found] == [f"{form}, element {number}" for number in range(len(texts))]


def test_an_array_is_not_divided_and_its_bad_elements_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_parts, "SPLIT", 64)
    path = tmp_path / "x.json"
    path.write_bytes(b'[{"text": "' + b"x" * 200 + b'"}, 3, {"n": 1}, null, {"text": "\xff"}]')
    (part,) = parts_of(path, path.name, ["text"], "jsonl")
    assert values(part.read()) == [("x" * 200,), *["no field 'text'"] * 3, ("\udcff",)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[{"text": "a"}, {"text"', "ends or is damaged in element 1"),
        (b'[{"text": "a"}]\n[{"text": "b"}]\n', "more follows after the array, which has 1 elements"),
        (gzip.compress(b'[{"text": "a"}]' * 100, mtime=0)[:-9], "damaged or incomplete"),
    ],
    ids=["cut", "more", "gzip cut"],
)
def test_a_damaged_array_is_an_error(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(SourceError, match=rf"x.json: {message}"):
        list(json_rows(tmp_path / "x.json", ["text"]))


def test_a_line_too_long_to_hold_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_rows, "LONGEST_ROW", 40)
    json_path, tsv_path = tmp_path / "x.jsonl", tmp_path / "x.tsv"
    json_path.write_bytes(b'{"text": "a"}\n{"text": "' + b"b" * 100 + b'"}\n{"text": "c"}\n')
    tsv_path.write_bytes(b"text\na\n" + b"b" * 100 + b"\nc\n")
    expected = [("a",), "a line of more than 40 bytes", ("c",)]
    assert values(json_rows(json_path, ["text"])) == expected
    assert values(delimited_rows(tsv_path, ["text"], TSV)) == expected


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress, bz2.compress])
def test_compressed_tables(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "x.jsonl.z"
    data = b'{"text": "one"}\n{"text": "two"}\n' * 200
    path.write_bytes(pack(data))  # type: ignore[operator]
    assert values(json_rows(path, ["text"])) == [("one",), ("two",)] * 200
    path.write_bytes(pack(data)[:-9])  # type: ignore[operator]
    with pytest.raises(SourceError, match="damaged or incomplete"):
        list(json_rows(path, ["text"]))


def test_zstandard(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    path = tmp_path / "x.jsonl.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        out.write(b'{"text": "one"}\n' * 9)
    assert values(json_rows(path, ["text"])) == [("one",)] * 9


def test_plain_delimited_text_has_no_quotes(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_bytes(
        b'\xef\xbb\xbfa\tb\r\n"open\t1\r\nhe said "hi"\t2\n\n\x0b\x85\xe2\x80\xa8\t3\none\n1\t2\t3\nlast\t4'
    )
    assert values(delimited_rows(path, ["b", "a"], TSV)) == [
        ("1", '"open'),
        ("2", 'he said "hi"'),
        ("3", "\x0b\udc85\u2028"),
        "1 values for 2 columns",
        "3 values for 2 columns",
        ("4", "last"),
    ]
    assert [row.name for row in delimited_rows(path, ["a"], TSV)][:3] == [
        "x.tsv, line 2",
        "x.tsv, line 3",
        "x.tsv, line 5",
    ]


def test_csv_quotes_delimiters_and_newlines(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbftext,label\r\n"a, ""b""\nc",1\r\nplain,2\nshort\n"open,3\n')
    found = values(delimited_rows(path, ["text", "label"], CSV))
    assert found[:3] == [('a, "b"\nc', "1"), ("plain", "2"), "1 values for 2 columns"]
    assert str(found[3]).startswith("not valid CSV")


def test_headers(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("a\tb\n1\t2\n")
    either = Dialect(header=None, names=("a", "b"))
    assert values(delimited_rows(path, ["b"], either)) == [("2",)]
    assert values(delimited_rows(path, ["b"], Dialect(header=False, names=("a", "b")))) == [("b",), ("2",)]
    path.write_text("1\t2\n")
    assert values(delimited_rows(path, ["b"], either)) == [("2",)]
    with pytest.raises(SourceError, match="no column 'c'; there are 1, 2"):
        list(delimited_rows(path, ["c"], TSV))
    with pytest.raises(SourceError, match="does not name the columns c"):
        list(delimited_rows(path, ["c"], Dialect(header=None)))
    path.write_text("")
    assert values(delimited_rows(path, ["a"], TSV)) == []


def test_parquet_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    texts = [f"text {i}" for i in range(2500)]
    pq.write_table(pa.table({"text": texts, "n": list(range(2500))}), path, row_group_size=700)
    assert values(parquet_rows(path, ["text", "n"])) == list(zip(texts, range(2500), strict=True))
    monkeypatch.setattr(table_parts, "SPLIT", 8000)
    parts = parts_of(path, "x.parquet", ["n"], "parquet")
    assert len(parts) > 1
    rows = [row for part in parts for row in part.read()]
    assert [row.values for row in rows if isinstance(row, TableRow)] == [(i,) for i in range(2500)]
    assert rows[1000].name == "x.parquet, row 1,000"
    with pytest.raises(SourceError, match="no column 'm'"):
        list(parquet_rows(path, ["m"]))
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-20])
    with pytest.raises(SourceError, match="cannot be read as parquet"):
        list(parquet_rows(path, ["n"]))
    data[4:2000] = bytes(1996)
    path.write_bytes(data)
    with pytest.raises(SourceError, match="row group 0 cannot be read"):
        list(parquet_rows(path, ["text"]))


def test_large_json_files_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_parts, "SPLIT", 100)
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"text": "x" * n}) + "\n" for n in range(40)))
    parts = parts_of(path, "x.jsonl", ["text"], "jsonl")
    assert len(parts) > 3
    assert len({part.key for part in parts}) == len(parts)
    found = [v for part in parts for v in values(part.read())]
    assert found == [("x" * n,) for n in range(40)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jsonl", "jsonl"),
        ("a.JSONL.xz", "jsonl"),
        ("a.csv.gz", "csv"),
        ("a.tsv", "tsv"),
        ("a.parquet", "parquet"),
        ("a.txt", None),
        ("a.xz", None),
        ("jsonl", None),
    ],
)
def test_formats_by_name(name: str, kind: str | None) -> None:
    assert format_of(Path(name)) == kind


def test_bad_is_not_a_row() -> None:
    assert not isinstance(BadRow("x", "y"), TableRow)

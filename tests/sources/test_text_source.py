"""Texts of any table: formats, labels, configurations, rows and blocks."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ffprep.beton import Reader
from ffprep.cli import main
from ffprep.errors import SourceError
from ffprep.sources.reading.labelled_texts import Texts, read_labels
from ffprep.sources.text import TableChoice, open_rows
from ffprep.text.blocks.blocks import open_blocks
from ffprep.text.tokens.sequences import split_row
from ffprep.text.tokens.vocabulary import Vocabulary

ROWS = [("A fine film.", "Good “indeed”.", "good"), ("So\nbad, bad", "", "bad"), ("<|endoftext|>", "x", "good")]


def write_jsonl(path: Path) -> Path:
    path.write_text("".join(json.dumps({"a": a, "in": {"b": b}, "l": c}) + "\n" for a, b, c in ROWS))
    return path


def write_csv(path: Path) -> Path:
    quoted = [[f'"{v}"' for v in row] for row in ROWS]
    path.write_text("a,in.b,l\n" + "".join(",".join(row) + "\n" for row in quoted))
    return path


def write_parquet(path: Path) -> Path:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    a, b, labels = zip(*ROWS, strict=True)
    pq.write_table(pa.table({"a": a, "in.b": b, "l": labels}), path)
    return path


FORMS: dict[str, Any] = {"x.jsonl": write_jsonl, "x.csv": write_csv, "x.parquet": write_parquet}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_are_a_list(texts: list[str]) -> None:
    found = pickle.loads(pickle.dumps(Texts(texts)))
    assert list(found) == texts
    assert found[1:3] == texts[1:3]
    with pytest.raises(IndexError):
        found[len(texts)]


@pytest.mark.parametrize("name", FORMS)
def test_every_format(name: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = FORMS[name](tmp_path / name)
    rows = open_rows(TableChoice((str(path),), "a", "in.b", "l"), vocabulary, 32, keep_text=True)
    rows = pickle.loads(pickle.dumps(rows))
    assert rows.manifest()["labels"] == ["bad", "good"]
    for index, (a, b, label) in enumerate(ROWS):
        tokens, length, number, text, pair = rows.sample(index)
        assert split_row(vocabulary, tokens, length, True) == (a, b)
        assert (number, text.decode(), pair.decode()) == (["bad", "good"].index(label), a, b)


def test_files_come_in_natural_order(vocabulary: Vocabulary, tmp_path: Path) -> None:
    for number in (10, 9, 1):
        (tmp_path / f"x{number}.jsonl").write_text(json.dumps({"text": str(number)}) + "\n")
    (tmp_path / "notes.md").write_text("no table")
    for files in ((str(tmp_path),), (str(tmp_path / "x*.jsonl"),)):
        rows = open_rows(TableChoice(files, "text"), vocabulary, 8)
        assert rows.table.first[:] == ["1", "9", "10"]
    with pytest.raises(SourceError, match="jsonl, csv, tsv or parquet"):
        open_rows(TableChoice((str(tmp_path / "notes.md"),), "text"), vocabulary, 8)
    with pytest.raises(SourceError, match="no such files"):
        open_rows(TableChoice((str(tmp_path / "a*"), str(tmp_path / "b*")), "text"), vocabulary, 8)


def test_files_without_header_or_with_other_delimiters(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "x.data"
    path.write_text('"one; two";3\nplain;4\n')
    choice = TableChoice((str(path),), "t", label="n", format="csv", delimiter=";", columns=("t", "n"))
    rows = open_rows(choice, vocabulary, 8)
    assert rows.table.first[:] == ["one; two", "plain"]
    assert [rows.sample(i)[2] for i in range(2)] == [3, 4]


def test_bad_rows(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(
        '{"text": "ok"}\n{"text": broken\n\n{"nope": 1}\n{"text": null}\n{"text": 3}\n{"text": "\\ud800"}\n'
    )
    choice = TableChoice((str(path),), "text")
    with pytest.raises(SourceError, match="byte 15: not JSON"):
        open_rows(choice, vocabulary, 8)
    rows = open_rows(choice, vocabulary, 8, skip=True)
    assert rows.table.first[:] == ["ok", "\ufffd"]
    assert (len(rows.left_out), rows.table.invalid) == (4, 1)
    assert [reason for _, reason in rows.left_out.rows[1:]] == [
        "no field 'text'",
        "a text is null",
        "a text is of type int",
    ]
    assert "4 left out: not JSON (1); no field 'text' (1)" in rows.summary()
    assert "the first is x.jsonl, byte 15" in rows.summary()


@pytest.mark.parametrize(
    ("found", "options", "values", "names"),
    [
        (["1", "0", ""], {}, [1, 0, -1], ()),
        ([1, 2.0, None], {}, [1, 2, -1], ()),
        (["0.5", "2"], {}, [0.5, 2.0], ()),
        ([1, 2], {"kind": "float"}, [1.0, 2.0], ()),
        (["b", "a", None], {}, [1, 0, -1], ("a", "b")),
        (["b", "a", 1], {"names": ["b", "a"]}, [0, 1, 1], ("b", "a")),
        ([True, False], {}, [1, 0], ()),
        ([], {}, [], ()),
    ],
)
def test_labels(found: list[Any], options: dict[str, Any], values: list[float], names: tuple[str, ...]) -> None:
    labels = read_labels(found, **options)
    assert labels.values.tolist() == values
    assert labels.names == names
    assert labels.values.dtype == (np.float64 if any(isinstance(v, float) for v in values) else np.int64)


@pytest.mark.parametrize(
    ("found", "options"),
    [(["c"], {"names": ["a"]}), ([2], {"names": ["a", "b"]}), (["x"], {"kind": "int"}), (["nan"], {"kind": "float"}),
     ([0.5], {"kind": "int"}), ([[1]], {"kind": "int"}), (["1e400"], {"kind": "float"})],
)  # fmt: skip
def test_labels_that_are_wrong(found: list[Any], options: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="row 0: label"):
        read_labels(found, **options)


INTEGERS = [("1", 1), ("1.0", 1), (1.0, 1), (" 12 ", 12), ("-3", -3), (2**62, 2**62), (str(2**62), 2**62), (True, 1)]
NONE = ["NA", "N/A", "nan", "NaN", "null", "None", "<NA>", "#N/A", " NA ", float("nan")]
NO_NUMBERS = ["abc", "?", "1_0", "inf", "1e400", [1], {}, "0x10"]


@given(
    st.lists(st.sampled_from(INTEGERS), min_size=8),
    st.lists(st.sampled_from(NONE + NO_NUMBERS), max_size=8),
    st.randoms(),
)
def test_what_is_no_label_never_changes_the_others(good: list[Any], bad: list[Any], random: Any) -> None:
    mixed = [(value, number) for value, number in good] + [(value, None) for value in bad]
    random.shuffle(mixed)
    refused: dict[int, str] = {}
    labels = read_labels([value for value, _ in mixed], bad=refused.__setitem__)
    assert sorted(refused) == [place for place, (_, number) in enumerate(mixed) if number is None]
    assert labels.values.dtype == np.int64
    assert labels.names == ()
    assert [labels.values[place] for place, (_, n) in enumerate(mixed) if n is not None] == [
        n for _, n in mixed if n is not None
    ]


@given(st.lists(st.sampled_from(["dog", "cat", "Nebraska"]), min_size=1), st.lists(st.sampled_from(NONE)), st.randoms())
def test_what_is_no_label_is_no_name_either(good: list[Any], bad: list[Any], random: Any) -> None:
    mixed = good + bad
    random.shuffle(mixed)
    refused: dict[int, str] = {}
    labels = read_labels(mixed, bad=refused.__setitem__)
    assert list(labels.names) == sorted(set(good))
    assert len(refused) == len(bad)
    assert [labels.names[n] for n in labels.values if n >= 0] == [value for value in mixed if value in good]
    if bad:
        assert {reason.partition(":")[0] for reason in refused.values()} == {"label is missing"}


def test_a_name_that_is_given_counts(vocabulary: Vocabulary) -> None:
    assert read_labels(["NA", "SA", "NA"], ["SA", "NA"]).values.tolist() == [1, 0, 1]


LABELLED: list[Any] = [("a", 1), ("b", 5), ("c", None), ("d", 10)]


def table(path: Path, spelling: Any) -> Path:
    """The rows of LABELLED, whose third label is written as given."""
    rows = [{"text": text, "label": spelling if label is None else label} for text, label in LABELLED]
    if path.suffix in (".csv", ".tsv"):
        between = "," if path.suffix == ".csv" else "\t"
        path.write_text(between.join(rows[0]) + "\n" + "".join(f"{r['text']}{between}{r['label']}\n" for r in rows))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=2))
    else:
        pa = pytest.importorskip("pyarrow")
        kind = float if isinstance(spelling, float) else str
        pytest.importorskip("pyarrow.parquet").write_table(
            pa.table({"text": [r["text"] for r in rows], "label": [kind(r["label"]) for r in rows]}), path
        )
    return path


@pytest.mark.parametrize("spelling", ["NA", "NaN", "null", float("nan"), "junk"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.json", "x.parquet"])
def test_a_label_that_is_none_in_every_format(vocabulary: Vocabulary, tmp_path: Path, name: str, spelling: Any) -> None:
    path = table(tmp_path / name, spelling)
    choice = TableChoice((str(path),), "text", label="label")
    with pytest.raises(SourceError, match=rf"{name}, .*: label is .*; --on-error skip goes on without it"):
        open_rows(choice, vocabulary, 8)
    rows = open_rows(choice, vocabulary, 8, keep_text=True, skip=True)
    assert [(rows.sample(n)[3], rows.sample(n)[2]) for n in range(len(rows))] == [(b"a", 1), (b"b", 5), (b"d", 10)]
    assert rows.fields["label"].type_id == 1
    assert len(rows.left_out) == 1
    assert rows.left_out.rows[0][0].startswith(f"{name}, ")
    assert rows.manifest()["rows"]["bad"] == 1


def test_blank_labels_among_others_are_told(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\na,0.5\nb,\nc, \n")
    rows = open_rows(TableChoice((str(path),), "text", label="label"), vocabulary, 8)
    assert [rows.sample(n)[2] for n in range(3)] == [0.5, -1, -1]
    assert "2 without a label (-1)" in rows.summary()


def test_pairs_stay_pairs_without_a_bad_row(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b,l\none,1,0\ntwo,2,NA\nthree,3,1\n")
    rows = open_rows(TableChoice((str(path),), "a", "b", "l"), vocabulary, 16, keep_text=True, skip=True)
    assert [rows.sample(n)[2:] for n in range(len(rows))] == [(0, b"one", b"1"), (1, b"three", b"3")]
    assert rows.sample_name(1) == "x.csv, line 4"


def test_bad_rows_are_in_the_report(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv", "NA")
    command = ["--files", str(path), "--label", "label", "--out", str(tmp_path / "x.beton")]
    stopped = run(*command)
    assert stopped.exit_code == 1
    assert "x.csv, line 4: label is missing: 'NA'; --on-error skip goes on without it" in stopped.output
    done = run(*command, "--on-error", "skip", "--report", str(tmp_path / "r.json"))
    assert done.exit_code == 0, done.output
    assert "1 left out: label is missing (1)" in done.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["left_out"] == [{"sample": "x.csv, line 4", "reason": "label is missing: 'NA'"}]
    with Reader(tmp_path / "x.beton") as reader:
        assert reader.column("label").tolist() == [1, 5, 10]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["convert", "text", *arguments])


def test_a_configuration(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "x.jsonl")
    config = tmp_path / "c.yaml"
    config.write_text(
        f"files: {path}\ntext: a\ntext_pair: in.b\nlabel: l\nlabels: [good, bad]\nlength: 16\nkeep-text: true\n"
        f"out: {tmp_path / 'x.beton'}\nquiet: true\n"
    )
    done = run(str(config))
    assert done.exit_code == 0, done.output
    with Reader(tmp_path / "x.beton") as reader:
        assert list(reader.fields) == ["tokens", "length", "label", "text", "text_pair"]
        assert reader.column("label").tolist() == [0, 1, 0]
        assert (reader.manifest or {})["source"]["labels"] == ["good", "bad"]
    changed = run(str(config), "length=8", "--out", str(tmp_path / "y.beton"), "--label-kind", "int")
    assert changed.exit_code == 0, changed.output
    with Reader(tmp_path / "y.beton") as reader:
        assert reader.value("tokens", 0).shape == (8,)
    again = CliRunner().invoke(main, ["convert", str(config), "dataset=text", "overwrite=true"])
    assert again.exit_code == 0, again.output
    config.write_text("files: x\nlenght: 3\n")
    wrong = run(str(config), "--out", str(tmp_path / "z.beton"))
    assert wrong.exit_code == 2
    assert "unknown option 'lenght'" in wrong.output


def test_options_alone_and_blocks(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path, out = str(write_csv(tmp_path / "x.csv")), str(tmp_path / "x.beton")
    assert run("--files", path, "--text", "a", "--out", out).exit_code == 0
    blocks = ["--files", path, "--text", "a", "--out", out, "--overwrite", "--layout", "blocks", "--block", "4"]
    done = run(*blocks)
    assert done.exit_code == 0, done.output
    with Reader(out) as reader:
        stream = np.concatenate(list(open_blocks(reader).stream()))
        assert vocabulary.decode_documents(stream) == [a for a, _, _ in ROWS]
    assert run(*blocks, "--limit", "3").exit_code == 2
    without = run(*blocks, "--address", "auto")
    assert without.exit_code == 2 and "--address is that of a Ray cluster; add --engine ray" in without.output
    assert run("--out", out).exit_code == 2
    missing = run("--files", path, "--text", "zz", "--out", out, "--overwrite")
    assert missing.exit_code == 1
    assert "no column 'zz'; there are a, in.b, l" in missing.output


def test_a_hub_data_set(vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"text": ["one", "two"], "label": [1, 0]})
    asked: list[Any] = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: (asked.append((a, k)), data)[1])
    out = str(tmp_path / "x.beton")
    done = run("--files", "someone/data", "--config", "big", "--split", "test", "--label", "label", "--out", out)
    assert done.exit_code == 0, done.output
    assert asked == [(("someone/data", "big"), {"split": "test"})]
    with Reader(out) as reader:
        assert reader.column("label").tolist() == [1, 0]

"""What the commands that look at files say about tokens, and what a plan says before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ffprep.cli import main
from ffprep.convert.corpus_planning import plan_corpus
from ffprep.errors import SourceError
from ffprep.sources.openwebtext import Corpus, open_corpus
from ffprep.text.documents.documents import FilesUnit
from ffprep.text.tokens.vocabulary import Vocabulary

TEXT = "Call me Ishmael. Some years ago, never mind how long precisely. "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "texts"
    root.mkdir()
    for number in range(12):
        (root / f"{number}.txt").write_text(TEXT * (number + 1))
    return root


def run(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("padded", [False, True])
def test_a_plan_is_what_comes(vocabulary: Vocabulary, folder: Path, tmp_path: Path, padded: bool) -> None:
    more = ["--padded"] if padded else []
    planned = json.loads(run("plan", "openwebtext", "--source", str(folder), "--block", "16", "--json", *more))
    out, report = tmp_path / "x.beton", tmp_path / "r.json"
    arguments = ["--source", str(folder), "--block", "16", "--out", str(out), "--report", str(report), *more]
    run("convert", "openwebtext", *arguments)
    made = json.loads(report.read_text())
    assert abs(planned["samples"] - made["blocks"]) <= 1
    assert planned["fits"]
    assert 0 <= made["file_size"] - planned["bytes_out"] < 1 << 14  # tables and the manifest
    assert "once more beside the file" in run("plan", "openwebtext", "--source", str(folder))


def test_plans_that_cannot_be_made(vocabulary: Vocabulary, folder: Path, tmp_path: Path) -> None:
    (folder / "empty.txt").write_text("")
    corpus = Corpus("x", [FilesUnit(folder, ("empty.txt",), 1)])
    with pytest.raises(SourceError, match="hold no text"):
        plan_corpus(corpus, tmp_path / "x.beton", vocabulary)
    with pytest.raises(SourceError, match="not known before"):
        plan_corpus(Corpus("x", [FilesUnit(folder, ("0.txt",), 1 << 40)]), tmp_path / "x.beton", vocabulary)
    done = CliRunner().invoke(main, ["plan", "openwebtext", "--source", str(folder), "--limit", "3"])
    assert done.exit_code == 2
    assert len(open_corpus(str(folder)).units) == 1


def test_blocks_are_described_counted_and_shown(vocabulary: Vocabulary, folder: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "x.beton")
    run("convert", "openwebtext", "--source", str(folder), "--block", "8", "--out", out)
    described = run("info", out)
    assert "GPT-2's, numbered as fairseq, 50,262 ids" in described
    assert "blocks           " in described and "of 8 tokens, across documents" in described
    assert "documents        12, " in described
    facts: dict[str, Any] = json.loads(run("info", out, "--json"))
    counted = json.loads(run("stats", out, "--form", "json"))
    blocks = facts["manifest"]["source"]["blocks"]["count"]
    assert [row for row in (counted if isinstance(counted, list) else counted["files"]) if row["samples"] == blocks]
    run("preview", out, "--out", str(tmp_path / "p.html"))
    assert "Call me Ishmael." in (tmp_path / "p.html").read_text()


def test_padded_blocks_and_rows(vocabulary: Vocabulary, folder: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "x.beton")
    run("convert", "openwebtext", "--source", str(folder), "--block", "8", "--padded", "--out", out)
    assert "padded within documents; 0 tokens after the last" in run("info", out)
    run("stats", out)
    (tmp_path / "x.csv").write_text("text\n" + TEXT * 9 + "\n")
    done = CliRunner().invoke(
        main, ["convert", "text", "--files", str(tmp_path / "x.csv"), "--no-quotes", "--out", out, "--overwrite",
               "--delimiter", "|", "--length", "10"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "truncated end: 1 rows; 0 rows left out" in run("info", out)
    run("preview", out, "--out", str(tmp_path / "p.html"))
    assert "&lt;s&gt;Call me" in (tmp_path / "p.html").read_text()

"""The table about the data: counts and averages that can be checked by hand."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ffprep.beton.reader import Reader
from ffprep.cli import main
from ffprep.convert.conversion import convert
from ffprep.errors import OptionError
from ffprep.fields import RGBImageField
from ffprep.inspect import stats as stats_module
from ffprep.inspect.stats import Stats, render, stats_of, total
from ffprep.sources.caption_source import CaptionSource, ListedCaptions
from ffprep.sources.reading.file_sets import FolderFiles
from ffprep.sources.text import TableChoice, open_rows
from ffprep.text.blocks.blocks import open_blocks
from ffprep.text.tokens.vocabulary import Vocabulary

CAPTIONS = [["a red cat", "cat"], ["one two three four"], ["x", "y", "z"]]


@pytest.fixture
def betons(demo_data: Path, tmp_path: Path, vocabulary: Vocabulary) -> dict[str, Path]:
    names = sorted(p.name for p in (demo_data / "coco" / "val2014").glob("*.jpg"))[:3]
    made = {}
    for form, text in (("pairs", False), ("pairs", True), ("grouped", False), ("grouped", True)):
        source = CaptionSource(
            "coco",
            FolderFiles(demo_data / "coco" / "val2014", names),
            np.arange(3),
            ListedCaptions(CAPTIONS),
            image=RGBImageField(jpeg="keep"),
            vocabulary=vocabulary,
            form=form,
            text=text,
        )
        made[f"{form}{text}"] = tmp_path / f"{form}{text}.beton"
        convert(source, made[f"{form}{text}"])
    return made


@pytest.mark.parametrize("form", ["pairsFalse", "pairsTrue", "groupedFalse", "groupedTrue"])
def test_counts(betons: dict[str, Path], vocabulary: Vocabulary, form: str) -> None:
    stats = stats_of(betons[form])
    assert (stats.images, stats.pairs, stats.captions_per_image) == (3, 6, 2.0)
    assert stats.words == pytest.approx((3 + 1 + 4 + 3) / 6)
    texts = [text for captions in CAPTIONS for text in captions]
    assert stats.tokens == pytest.approx(np.mean([len(vocabulary.encode(text)) for text in texts]))
    assert stats.samples == (6 if form.startswith("pairs") else 3)


def made(name: str, **counts: float) -> Stats:
    """Counts of a file, all others unknown."""
    unknown = dict.fromkeys((field.name for field in fields(Stats)), None)
    return Stats(**{**unknown, "file": name, "bytes": 1, **counts})  # type: ignore[arg-type]


A = made("a", samples=10, images=5, pairs=10, words=8.0, tokens=10.0)
B = made("b", samples=30, images=30, pairs=30, words=4.0, tokens=6.0)
GROUPED = made("g", samples=5, images=5, pairs=10, words=8.0, tokens=10.0)
BLOCKS = made("c", samples=7, blocks=7, tokens=191.0)
ROWS = made("d", samples=3, rows=3, tokens=11.0, classes=2)
IMAGES = made("e", samples=4, images=4, classes=3)


def test_total_weights_by_captions() -> None:
    both = total([A, B])
    assert (both.samples, both.images, both.pairs, both.words, both.tokens) == (40, 35, 40, 5.0, 7.0)
    assert both.captions_per_image == pytest.approx(40 / 35)
    assert total([BLOCKS]).images is None


@pytest.mark.parametrize("others", [[BLOCKS], [ROWS], [GROUPED], [IMAGES], [BLOCKS, ROWS, IMAGES]])
def test_total_adds_only_what_is_alike(others: list[Stats]) -> None:
    row = total([A, *others])
    assert row.samples is None
    assert row.pairs == 10 + sum(other.pairs or 0 for other in others)
    assert row.blocks == (7 if BLOCKS in others else None)
    assert row.rows == (3 if ROWS in others else None)
    assert row.tokens == (None if BLOCKS in others or ROWS in others else 10.0)
    assert row.classes is None
    assert row.bytes == 1 + len(others)
    assert " - " in render([A, *others, row], "text").splitlines()[-1]


@pytest.mark.parametrize("pair", [False, True])
def test_rows_are_counted_without_marks(vocabulary: Vocabulary, tmp_path: Path, pair: bool) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("a\tb\tlabel\none two\tthree\t4\nx\t\t-1\n")
    choice = TableChoice((str(path),), "a", "b" if pair else None, "label")
    convert(open_rows(choice, vocabulary, 16), tmp_path / "x.beton")
    stats = stats_of(tmp_path / "x.beton")
    texts = ["one two", "x", *(["three", ""] if pair else [])]
    assert (stats.samples, stats.rows, stats.pairs, stats.blocks, stats.classes) == (2, 2, None, None, 1)
    assert stats.tokens == sum(len(vocabulary.encode(text)) for text in texts) / 2


def test_a_split_without_labels_has_no_classes(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\na,\nb,-1\n")
    convert(open_rows(TableChoice((str(path),), "text", label="label"), vocabulary, 8), tmp_path / "x.beton")
    assert stats_of(tmp_path / "x.beton").classes is None


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("numbering", ["fairseq", "gpt2"])
def test_blocks_are_counted_without_marks(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, padded: bool, numbering: str
) -> None:
    texts = ["one two three four five", "six", "seven eight nine"]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command = ["convert", "text", "--files", tmp_path / "x.jsonl", "--layout", "blocks", "--block", 4, "--quiet"]
    command += ["--vocabulary", numbering, "--out", tmp_path / "x.beton", *(["--padded"] if padded else [])]
    done = CliRunner().invoke(main, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    monkeypatch.setattr(stats_module, "_CHUNK", 2)
    stats = stats_of(tmp_path / "x.beton")
    with Reader(tmp_path / "x.beton") as reader:
        blocks = open_blocks(reader)
        ends = int(np.count_nonzero(blocks.tail == blocks.vocabulary.eos))
        marks = len(texts) - ends if not padded else len(texts)
        real = blocks.count * 4 if not padded else int(np.sum(blocks.lengths()))  # type: ignore[arg-type]
        assert (stats.samples, stats.blocks, stats.rows) == (blocks.count, blocks.count, None)
    assert stats.tokens == pytest.approx((real - marks) / blocks.count)


def test_forms(betons: dict[str, Path]) -> None:
    rows = [stats_of(betons["pairsFalse"])]
    assert json.loads(render(rows, "json"))[0]["pairs"] == 6
    assert next(csv.DictReader(io.StringIO(render(rows, "csv"))))["images"] == "3"
    markdown = render(rows, "markdown").splitlines()
    assert markdown[0].startswith("| file | samples | images | pairs |")
    assert len({line.count("|") for line in markdown}) == 1
    assert "classes" not in render(rows, "text")
    with pytest.raises(OptionError, match="markdown"):
        render(rows, "html")

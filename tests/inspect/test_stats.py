"""The table about the data: counts and averages that can be checked by hand."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from ffprep.convert.conversion import convert
from ffprep.errors import OptionError
from ffprep.fields import RGBImageField
from ffprep.inspect.stats import Stats, render, stats_of, total
from ffprep.sources.caption_source import CaptionSource, ListedCaptions
from ffprep.sources.reading.file_sets import FolderFiles
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


def test_total_weights_by_captions() -> None:
    a = Stats("a", 10, 5, 10, 2.0, 8.0, 10.0, None, 100)
    b = Stats("b", 30, 30, 30, 1.0, 4.0, 6.0, None, 50)
    text = Stats("c", 7, None, None, None, None, 192.0, None, 1)
    both = total([a, b])
    assert (both.images, both.pairs, both.words, both.tokens) == (35, 40, 5.0, 7.0)
    assert both.captions_per_image == pytest.approx(40 / 35)
    assert total([text]).images is None


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

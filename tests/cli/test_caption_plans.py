"""``ffprep plan`` of image-text data sets beside what the conversion then makes; their statistics beside a count."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ffprep.cli import main
from ffprep.text.tokens.vocabulary import Vocabulary

COUNT = 60
WORDS = ["a", "cat", "on", "the", "mat", "naïve", "zoo", "of", "seven", "red", "lorries"]


def ffprep(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def caption(image: int, number: int) -> str:
    rng = np.random.default_rng((image, number))
    return " ".join(rng.choice(WORDS, 3 + (image + number) % 9))


def captions_of(image: int) -> list[str]:
    return [caption(image, number) for number in range(1 + image % 6)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of which the later ones are larger, and their captions in all forms."""
    root = tmp_path_factory.mktemp("captions")
    (root / "images").mkdir()
    for i in range(COUNT):
        pixels = np.random.default_rng(i).integers(0, 256, (30 + 4 * i, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{i + 1}.jpg", quality=90)
    images = [{"id": i + 1, "file_name": f"{i + 1}.jpg"} for i in range(COUNT)]
    annotations = [{"image_id": i + 1, "caption": text} for i in range(COUNT) for text in captions_of(i)]
    (root / "captions.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    regions = [{"id": i + 1, "regions": [{"phrase": text} for text in captions_of(i)]} for i in range(COUNT)]
    (root / "region_descriptions.json").write_text(json.dumps(regions))
    with tarfile.open(root / "00000.tar", "w") as tar:
        for i in range(COUNT):
            for name, data in (
                (f"{i:09}.jpg", (root / "images" / f"{i + 1}.jpg").read_bytes()),
                (f"{i:09}.txt", caption(i, 0).encode()),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return root


def source_of(place: Path, dataset: str) -> list[object]:
    if dataset == "coco":
        return ["--images", place / "images", "--annotations", place / "captions.json"]
    if dataset == "vg":
        return ["--images", place / "images", "--annotations", place / "region_descriptions.json"]
    return ["--shards", place / "00000.tar"]


@pytest.mark.parametrize("form", ["--pairs", "--grouped"])
@pytest.mark.parametrize("dataset", ["coco", "vg", "cc3m", "cc12m", "sbu"])
def test_plan_and_file(place: Path, tmp_path: Path, vocabulary: Vocabulary, dataset: str, form: str) -> None:
    arguments = [dataset, *source_of(place, dataset), form, "--out", tmp_path / "x.beton"]
    done = ffprep("plan", *arguments, "--json")
    assert done.exit_code == 0, done.output
    plan = json.loads(done.output)
    pairs = sum(len(captions_of(i)) for i in range(COUNT)) if dataset in ("coco", "vg") else COUNT
    assert plan["samples"] == (pairs if form == "--pairs" else COUNT)
    assert plan["fits"] is True and plan["seconds"] >= 0 and plan["free"] > 0 and plan["refused"] == 0
    assert ffprep("convert", *arguments, "--quiet").exit_code == 0
    assert plan["bytes_out"] == pytest.approx((tmp_path / "x.beton").stat().st_size, rel=0.1)
    images = sum(path.stat().st_size for path in (place / "images").iterdir())
    assert plan["bytes_in"] == pytest.approx(images, rel=0.15)
    text = ffprep("plan", *arguments).output
    assert all(word in text for word in ("samples", "source", "file", "free there", "time"))


def test_plan_of_a_part(place: Path, tmp_path: Path, vocabulary: Vocabulary) -> None:
    whole, part = (
        json.loads(ffprep("plan", "coco", *source_of(place, "coco"), "--json", *limit).output)
        for limit in ([], ["--limit", 60])
    )
    assert part["samples"] == 60
    assert part["bytes_in"] == pytest.approx(whole["bytes_in"] * 60 / whole["samples"], rel=0.01)


def test_plan_says_when_there_is_no_room(
    place: Path, tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    done = ffprep("plan", "sbu", *source_of(place, "sbu"), "--out", tmp_path / "x.beton")
    assert done.exit_code == 1 and "NOT ENOUGH" in done.output


def test_stats_of_several_files(place: Path, tmp_path: Path, vocabulary: Vocabulary) -> None:
    paths = []
    for dataset, form in (("coco", "--pairs"), ("coco", "--grouped"), ("cc3m", "--pairs")):
        paths.append(tmp_path / f"{dataset}{form}.beton")
        arguments = [dataset, *source_of(place, dataset), form, "--out", paths[-1], "--quiet"]
        assert ffprep("convert", *arguments).exit_code == 0
    rows = json.loads(ffprep("stats", *paths, "--form", "json").output)
    coco = [text for i in range(COUNT) for text in captions_of(i)]
    cc3m = [caption(i, 0) for i in range(COUNT)]
    for row, texts in zip(rows, (coco, coco, cc3m, coco + coco + cc3m), strict=True):
        assert row["pairs"] == len(texts)
        assert row["images"] == (COUNT if row["file"] != "total" else 3 * COUNT)
        assert row["captions_per_image"] == pytest.approx(len(texts) / row["images"])
        assert row["words"] == pytest.approx(np.mean([len(text.split()) for text in texts]))
        assert row["tokens"] == pytest.approx(np.mean([len(vocabulary.encode(text)) for text in texts]))
    markdown = ffprep("stats", *paths, "--form", "markdown").output.splitlines()
    table = ffprep("stats", *paths, "--form", "csv").output.splitlines()
    assert len(markdown) == 6 and len(table) == 5 and table[0].startswith("file,samples,images,pairs")
    plain: list[Any] = ffprep("stats", *paths).output.splitlines()
    assert len(plain) == 5 and plain[0].split()[:4] == ["file", "samples", "images", "pairs"]


def test_info_says_where_the_data_came_from(place: Path, tmp_path: Path, vocabulary: Vocabulary) -> None:
    out = tmp_path / "x.beton"
    assert ffprep("convert", "coco", *source_of(place, "coco"), "--out", out, "--quiet").exit_code == 0
    lines = ffprep("info", out).output.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("  from "))
    assert lines[begin].split() == ["from", "dataset", "coco,", "annotations", "captions.json,", "form", "pairs"]
    pairs = sum(len(captions_of(i)) for i in range(COUNT))
    assert lines[begin + 1].split() == f"captions {pairs}, images {COUNT}, length 64".split()


def test_refusals_name_the_image_once(place: Path, tmp_path: Path, vocabulary: Vocabulary) -> None:
    shutil.copytree(place, tmp_path / "copy")
    (tmp_path / "copy" / "images" / "7.jpg").write_bytes(b"no image")
    source = source_of(tmp_path / "copy", "coco")
    done = ffprep("convert", "coco", *source, "--grouped", "--out", tmp_path / "x.beton", "--on-error", "skip")
    assert done.exit_code == 0
    [line] = [line for line in done.output.splitlines() if "7.jpg" in line and "17.jpg" not in line]
    assert line.strip().startswith("7.jpg: ") and "image: " not in line

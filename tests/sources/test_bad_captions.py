"""Annotations and shards of which a part is bad: an error that names it, or all else with the bad ones counted."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ffprep.beton.reader import Reader
from ffprep.cli import main
from ffprep.errors import OptionError, SourceError
from ffprep.sources.base import shuffled
from ffprep.sources.caption_source import CaptionSource
from ffprep.sources.coco import open_coco
from ffprep.sources.reading import annotations as annotations_module
from ffprep.sources.reading import file_sets
from ffprep.sources.visual_genome import open_visual_genome
from ffprep.text.tokens.vocabulary import Vocabulary


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Files 1.jpg to 4.jpg that hold their numbers."""
    (tmp_path / "images").mkdir()
    for number in range(1, 5):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(b"%d" % number)
    return tmp_path / "images"


def put(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def found(source: CaptionSource) -> list[tuple[int, str, str]]:
    """Id, content and caption of each pair."""
    samples = [source.sample(number) for number in range(len(source))]
    return [(values[3], values[0].value.decode(), values[4].decode()) for values in samples]


GOOD = {"images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}]}
GOOD["annotations"] = [{"image_id": 1, "caption": "one"}, {"image_id": 2, "caption": "two"}]

BAD_IMAGES: list[tuple[Any, str]] = [
    (None, "has no id and file_name"),
    ({"id": 3}, "has no id and file_name"),
    ({"file_name": "3.jpg"}, "has no id and file_name"),
    ({"id": 3, "file_name": None}, "has no id and file_name"),
    ({"id": 2**70, "file_name": "3.jpg"}, "id does not fit in 64 bits: 1180591620717411303424"),
    ({"id": 3.5, "file_name": "3.jpg"}, "id is no whole number: 3.5"),
    ({"id": "camera 3", "file_name": "3.jpg"}, "id is no whole number: 'camera 3'"),
    ({"id": True, "file_name": "3.jpg"}, "id is no whole number: True"),
    ({"id": 2, "file_name": "3.jpg"}, "id is that of another image, too: 2, of 2.jpg"),
]
BAD_ANNOTATIONS: list[tuple[Any, str]] = [
    (7, "has no image_id and caption"),
    ({"image_id": 1}, "has no image_id and caption"),
    ({"image_id": 1, "caption": None}, "the caption is null"),
    ({"image_id": 1, "caption": 3}, "the caption is of type int"),
    ({"image_id": 1, "caption": ["x"]}, "the caption is of type list"),
    ({"image_id": "x", "caption": "x"}, "image id is no whole number: 'x'"),
    ({"image_id": float("nan"), "caption": "x"}, "image id is no whole number: nan"),
]


@pytest.mark.parametrize(
    ("kind", "bad", "reason"),
    [("images", *case) for case in BAD_IMAGES] + [("annotations", *case) for case in BAD_ANNOTATIONS],
)
def test_a_bad_annotation(
    tmp_path: Path, images: Path, options: dict[str, Any], kind: str, bad: Any, reason: str
) -> None:
    content = {**GOOD, kind: [GOOD[kind][0], bad, *GOOD[kind][1:]]}
    if bad == BAD_IMAGES[-1][0]:  # the first image keeps its id
        content[kind] = [*GOOD[kind], bad]
    path = put(tmp_path / "captions.json", content)
    with pytest.raises(SourceError) as error:
        open_coco([images], path, **options)
    assert str(error.value).startswith(f"{path}, {kind[:-1]} {content[kind].index(bad)}")
    assert reason in str(error.value)
    assert "--on-error skip" in str(error.value)
    source = open_coco([images], path, skip=True, **options)
    assert found(source) == [(1, "1", "one"), (2, "2", "two")]
    assert len(source.left_out) == 1
    assert source.left_out.causes == {reason.partition(":")[0]: 1}
    assert source.left_out.rows[0][0].startswith(f"captions.json, {kind[:-1]} ")


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [
        (["a1b2c3", "00ff00"], [0xA1B2C3, 0xFF00]),
        (["0x10", "11"], [16, 17]),
        (["12", "0013"], [12, 13]),
        ([12, "13"], [12, 13]),
        ([1.0, -5], [1, -5]),
        ([2**62, -(2**63)], [2**62, -(2**63)]),
        (["7fffffffffffffff", "a"], [2**63 - 1, 10]),
    ],
)
def test_ids_are_taken(
    tmp_path: Path, images: Path, options: dict[str, Any], ids: list[Any], numbers: list[int]
) -> None:
    content = {
        "images": [{"id": key, "file_name": f"{n}.jpg"} for n, key in enumerate(ids, 1)],
        "annotations": [{"image_id": key, "caption": str(n)} for n, key in enumerate(ids, 1)],
    }
    source = open_coco([images], put(tmp_path / "captions.json", content), **options)
    assert found(source) == [(number, str(n), str(n)) for n, number in enumerate(numbers, 1)]


def test_karpathys_file_with_bad_images(tmp_path: Path, images: Path, options: dict[str, Any]) -> None:
    listed: list[Any] = [
        {
            "filename": "1.jpg",
            "cocoid": 1,
            "split": "train",
            "sentences": [{"raw": "a"}, {"raw": None}, {"tokens": []}],
        },
        {"filename": "2.jpg", "cocoid": "zz", "split": "train", "sentences": [{"raw": "b"}]},
        {"filename": "3.jpg", "cocoid": 3, "split": "train"},
        {"filename": "4.jpg", "cocoid": "zz", "split": "val"},  # not asked for
        {"filename": "4.jpg", "cocoid": 4, "sentences": []},
    ]
    path = put(tmp_path / "dataset_coco.json", {"images": listed})
    source = open_coco([images], path, "karpathy:train", skip=True, **options)
    assert found(source) == [(1, "1", "a")]
    assert [name for name, _ in source.left_out.rows] == [
        "dataset_coco.json, image 0 (1.jpg), sentence 1",
        "dataset_coco.json, image 0 (1.jpg), sentence 2",
        "dataset_coco.json, image 1 (2.jpg)",
        "dataset_coco.json, image 2",
        "dataset_coco.json, image 4",
    ]
    with pytest.raises(SourceError, match=r"image 0 \(1.jpg\), sentence 1: the caption is null"):
        open_coco([images], path, "karpathy:train", **options)


def test_a_split_must_fit(tmp_path: Path, images: Path, options: dict[str, Any]) -> None:
    path = put(tmp_path / "captions_val2017.json", GOOD)
    for right in ("val2017", "val", "captions_val2017"):
        assert len(open_coco([images], path, right, **options)) == 2
    for wrong in ("train2017", "val201", "al2017", "test", ""):
        with pytest.raises(OptionError, match=f"--split {wrong} does not fit captions_val2017.json"):
            open_coco([images], path, wrong, **options)
    with zipfile.ZipFile(tmp_path / "annotations.zip", "w") as archive:
        archive.write(path, "annotations/captions_val2017.json")
        archive.writestr("annotations/instances_val2017.json", "{}")
    assert len(open_coco([images], tmp_path / "annotations.zip", "val", **options)) == 2
    for wrong in ("train2017", "val201"):
        with pytest.raises(SourceError, match=r"choose .* with --split .*found: .*captions_val2017.json, .*instances"):
            open_coco([images], tmp_path / "annotations.zip", wrong, **options)
    with pytest.raises(OptionError, match="no file of Karpathy's"):
        open_coco([images], path, "karpathy:train", **options)
    listed = [{"filename": "1.jpg", "cocoid": 1, "split": "train", "sentences": [{"raw": "a"}]}]
    path = put(tmp_path / "dataset_coco.json", {"images": listed})
    assert open_coco([images], path, "karpathy:train", **options).notes == []
    source = open_coco([images], path, "karpathy:train+restval", **options)
    assert source.notes == ["dataset_coco.json has no restval images; there are train (1)"]
    with pytest.raises(OptionError, match=r"has no such images; there are train \(1\)"):
        open_coco([images], path, "karpathy:val+test", **options)
    command: list[Any] = ["coco", "--images", images, "--annotations", path, "--split", "karpathy:train+restval"]
    for output in (
        ffprep(*command, "--out", tmp_path / "x.beton").output,
        CliRunner().invoke(main, ["plan", *map(str, command)]).output,
    ):
        assert output.count("has no restval images") == 1


def test_an_archive_of_karpathys_files(tmp_path: Path, images: Path, options: dict[str, Any]) -> None:
    with zipfile.ZipFile(tmp_path / "caption_datasets.zip", "w") as archive:
        for name, image in (("dataset_coco.json", "1.jpg"), ("dataset_flickr8k.json", "2.jpg")):
            listed = [{"filename": image, "imgid": 9, "split": "val", "sentences": [{"raw": name}]}]
            archive.writestr(name, json.dumps({"images": listed}))
        archive.writestr("__MACOSX/._dataset_coco.json", "x")
    source = open_coco([images], tmp_path / "caption_datasets.zip", "karpathy:val", **options)
    assert found(source) == [(9, "1", "dataset_coco.json")]


def test_compressed_annotations(tmp_path: Path, images: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "captions.json.gz"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    assert len(open_coco([images], path, **options)) == 2
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(SourceError, match=r"captions.json.gz: damaged or incomplete"):
        open_coco([images], path, **options)


@pytest.mark.parametrize("form", ["zip", "gz", "plain"])
def test_annotations_that_unpack_without_end(
    tmp_path: Path, images: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(annotations_module, "_SMALL", 1 << 16)
    monkeypatch.setattr(annotations_module, "LARGEST", 1 << 20)
    bomb = b'{"images": [' + b" " * (2 << 20) + b"]}"
    path = tmp_path / f"captions.{form}"
    if form == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("captions_train.json", bomb)
            archive.writestr("region_descriptions.json", bomb)
    else:
        path.write_bytes(gzip.compress(bomb) if form == "gz" else bomb)
    with pytest.raises(SourceError, match="are no annotations" if form == "zip" else "more than .* of JSON"):
        open_coco([images], path, **options)
    if form == "zip":
        with pytest.raises(SourceError, match="are no annotations"):
            open_visual_genome([images], path, **options)


def test_an_image_that_unpacks_without_end(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_sets, "LARGEST", 1000)
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.jpg", b"0" * 1001)
        archive.writestr("2.jpg", b"2")
    source = open_coco([tmp_path / "images.zip"], put(tmp_path / "captions.json", GOOD), **options)
    with pytest.raises(SourceError, match=r"in it 1.jpg: 1,001 bytes are more than a sample may have"):
        source.sample(0)
    assert source.sample(1)[0].value == b"2"


def test_visual_genome_with_bad_regions(tmp_path: Path, images: Path, options: dict[str, Any]) -> None:
    content: list[Any] = [
        {"id": 1, "regions": [{"phrase": "one"}, {"phrase": None}, {}, 3]},
        {"id": "q", "regions": []},
        {"id": 2},
        {"id": 3, "regions": [{"phrase": "three"}]},
        {"id": 4, "regions": [{"phrase": None}]},
    ]
    path = put(tmp_path / "region_descriptions.json", content)
    with pytest.raises(SourceError, match=r"image 0 \(id 1\), region 1: the caption is null; --on-error skip"):
        open_visual_genome([images], path, **options)
    source = open_visual_genome([images], path, skip=True, **options)
    assert found(source) == [(1, "1", "one"), (3, "3", "three")]
    assert source.left_out.causes == {"the caption is null": 4, "id is no whole number": 1} | {
        "lacks id or regions with phrases": 1
    }
    assert source.facts["images_without_caption"] == 1


# shards


# commands


def ffprep(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


def test_what_was_left_out_is_reported(demo_data: Path, tmp_path: Path, vocabulary: Vocabulary) -> None:
    photo = sorted((demo_data / "coco" / "val2014").glob("*.jpg"))[0]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(photo.read_bytes())
    content = {
        "images": GOOD["images"][:1],
        "annotations": [*GOOD["annotations"][:1], {"image_id": 1, "caption": None}],
    }
    command = ["coco", "--images", tmp_path / "images", "--annotations", put(tmp_path / "c.json", content)]
    command += ["--out", tmp_path / "x.beton"]
    stopped = ffprep(*command)
    assert stopped.exit_code == 1
    assert "c.json, annotation 1 (image 1): the caption is null; --on-error skip" in stopped.output
    done = ffprep(*command, "--on-error", "skip", "--report", tmp_path / "report.json")
    assert done.exit_code == 0, done.output
    assert "1 left out: the caption is null (1)" in done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["refused_count"], report["left_out_causes"]) == (0, {"the caption is null": 1})
    assert report["left_out"] == [{"sample": "c.json, annotation 1 (image 1)", "reason": "the caption is null"}]
    with Reader(tmp_path / "x.beton") as reader:
        assert reader.manifest is not None
        assert reader.manifest["report"]["left_out"] == report["left_out"]
    described = CliRunner().invoke(main, ["info", str(tmp_path / "x.beton")])
    assert "1     left out of the source: the caption is null" in described.output
    planned = CliRunner().invoke(main, ["plan", *map(str, command[:-2])])
    assert planned.exit_code == 0, planned.output
    assert "1 left out" in planned.output


def test_a_shuffled_source_reports_it_too(tmp_path: Path, images: Path, options: dict[str, Any]) -> None:
    content = {**GOOD, "annotations": [*GOOD["annotations"], {"image_id": 1, "caption": None}]}
    source = open_coco([images], put(tmp_path / "c.json", content), skip=True, **options)
    assert shuffled(source, 1).left_out is source.left_out

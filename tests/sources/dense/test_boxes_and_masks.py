"""COCO, Pascal VOC, ADE20K and folders of masks: what is stored of them, and what is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dense_trees import SIZES, Coco, ade20k, facts_of, ffprep, grey_png, picture, values_of, voc, voc_xml, write
from PIL import Image

from ffprep.errors import ConversionError, SourceError
from ffprep.jpeg import pillow
from ffprep.sources.dense.xml import read_xml
from ffprep.sources.images.masks import read_mask


@pytest.fixture
def coco(tmp_path: Path) -> Coco:
    return Coco(tmp_path)


def detection(coco: Coco, annotations: Path, *more: object) -> Any:
    out = coco.root / "a.beton"
    return ffprep(
        "convert", "coco-detection", "--images", coco.images, "--annotations", annotations, "--out", out, *more
    )


def test_coco_boxes(coco: Coco) -> None:
    done = detection(coco, coco.write())
    assert done.exit_code == 0 and "3 objects; 1 objects of crowds left out" in done.output, done.output
    rows = values_of(coco.root / "a.beton")
    assert [row["image_id"] for row in rows] == [1, 2, 3]
    assert rows[0]["boxes"].tolist() == [[1.5, 2, 11.5, 22.25], [60, 1, 64, 5]]
    assert rows[0]["labels"].tolist() == [1, 2] and rows[1]["boxes"].shape == (0, 4)
    assert rows[2]["boxes"].tolist() == [[30, 40, 50, 50]]  # clipped to the image
    facts = facts_of(coco.root / "a.beton")
    assert facts["classes"] == ["person", "train", "sky"] and facts["category_ids"] == [1, 7, 90]


def test_objects_without_a_part_in_their_image_are_left_out_and_counted(coco: Coco) -> None:
    annotations = coco.write()
    content = json.loads(annotations.read_text())
    model = next(one for one in content["annotations"] if not one.get("iscrowd"))
    outside = [[64, 0, 5, 5], [-9, 3, 9, 5], [0, 900, 3, 3], [5, 5, 0, 3]]
    content["annotations"] += [{**model, "id": 900 + k, "image_id": 1, "bbox": box} for k, box in enumerate(outside)]
    annotations.write_text(json.dumps(content))
    done = detection(coco, annotations)
    assert done.exit_code == 0, done.output
    facts = facts_of(coco.root / "a.beton")
    assert facts["objects"] == sum(len(row["labels"]) for row in values_of(coco.root / "a.beton")) == 3
    assert facts["objects_outside_their_image_left_out"] == 3 and facts["objects_without_area_left_out"] == 1


def test_a_polygon_of_two_points_says_how_many_it_needs(coco: Coco) -> None:
    annotations = coco.write()
    content = json.loads(annotations.read_text())
    content["annotations"][0]["segmentation"] = [[1, 1, 5, 5]]
    annotations.write_text(json.dumps(content))
    assert "polygons of 3 points or more" in detection(coco, annotations, "--masks", "instance").output
    assert detection(coco, annotations, "--overwrite").exit_code == 0  # boxes alone need no outlines


def test_coco_crowds_keypoints_and_smaller_images(coco: Coco) -> None:
    annotations = coco.write("person_keypoints_val2017.json")
    archive = coco.root / "annotations.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(annotations, "annotations/person_keypoints_val2017.json")
        file.writestr("annotations/person_keypoints_train2017.json", "{}")
    options = ("--split", "val2017", "--keypoints", "--crowd", "keep", "--no-empty", "--max-side", 32)
    done = detection(coco, archive, *options)
    assert done.exit_code == 0, done.output
    first, last = values_of(coco.root / "a.beton")
    assert first["iscrowd"].tolist() == [0, 1, 0] and first["boxes"][1].tolist() == [0, 0, 32, 24]
    np.testing.assert_allclose(last["boxes"], np.array([[30, 40, 50, 50]]) * 32 / 50, rtol=1e-6)
    np.testing.assert_allclose(last["keypoints"], [[[31 * 0.64, 41 * 0.64, 2], [0, 0, 0]]], rtol=1e-6)
    assert facts_of(coco.root / "a.beton")["keypoints"] == ["nose", "tail"]
    assert "choose the annotation file with --split" in detection(coco, archive, "--split", "test").output


def test_coco_counts_what_does_not_match(coco: Coco) -> None:
    coco.listed.append({"id": 9, "file_name": "missing.jpg", "width": 4, "height": 4})
    coco.objects += [
        {"image_id": 77, "category_id": 1, "bbox": [1, 1, 2, 2]},
        {"image_id": 2, "category_id": 1, "bbox": [1, 1, 0, 2]},
    ]
    write(coco.images / "unknown.jpg", picture(SIZES[0]))
    done = detection(coco, coco.write())
    assert done.exit_code == 0, done.output
    for said in (
        "1 images missing",
        "1 objects without image",
        "1 objects without area left out",
        "1 images not annot",
    ):
        assert said in done.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"category_id": 5}, "annotation 4: its category is unknown: 5, not one of 1, 7, 90"),
        ({"category_id": [1]}, "its category is unknown"),
        ({"bbox": [1, 2, 3]}, "bbox is no list of x, y, width and height: [1, 2, 3]"),
        ({"bbox": [1, 2, float("nan"), 4]}, "bbox is no list"),
        ({"bbox": [1, 2, 10**400, 4]}, "bbox is no list"),
        ({"image_id": "one"}, "image id is no whole number: 'one'"),
        ({"bbox": None}, "bbox is no list"),
    ],
)
def test_bad_coco_annotations(coco: Coco, change: dict[str, Any], said: str) -> None:
    coco.objects.append({"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], **change})
    annotations = coco.write()
    refused = detection(coco, annotations)
    assert refused.exit_code == 1 and said in refused.output and "--on-error skip" in refused.output, refused.output
    taken = detection(coco, annotations, "--on-error", "skip")
    assert taken.exit_code == 0 and "1 left out" in taken.output
    assert [len(row["boxes"]) for row in values_of(coco.root / "a.beton")] == [2, 0, 1]


def test_files_that_are_no_coco_annotations(coco: Coco) -> None:
    for text, said in (
        ("{", "not valid JSON"),
        ("[]", "no COCO instances: there is no list of images"),
        (json.dumps({"images": [], "annotations": []}), "no list of categories in it; there are images, annotations"),
        ("[" * 100_000, "not valid JSON"),
    ):
        refused = detection(coco, write(coco.root / "instances_x.json", text))
        assert refused.exit_code == 1 and said in refused.output, refused.output


def test_images_of_another_size_than_annotated(coco: Coco) -> None:
    write(coco.images / "000000000001.jpg", picture((48, 64)))
    refused = detection(coco, coco.write())
    assert refused.exit_code == 1
    assert "000000000001.jpg (sample 0): the image is 48x64 pixels, but its annotations are for 64x48" in refused.output


def test_coco_panoptic(coco: Coco) -> None:
    annotations, masks, ids = coco.panoptic()
    command = ["convert", "coco-panoptic", "--images", coco.images, "--masks", masks, "--annotations", annotations]
    done = ffprep(*command, "--out", coco.root / "a.beton")
    assert done.exit_code == 0, done.output
    for row, pixels in zip(values_of(coco.root / "a.beton"), ids, strict=True):
        np.testing.assert_array_equal(row["mask"], np.select([pixels > 1000, pixels == 300], [1, 2], 255))
        np.testing.assert_array_equal(row["segments"], np.select([pixels > 1000, pixels == 300], [1, 2], 0))
        assert row["segment_labels"].tolist() == [1, 2] and row["segment_iscrowd"].tolist() == [1, 0]
    (masks / "000000000002.png").unlink()
    refused = ffprep(*command, "--out", coco.root / "b.beton")
    assert refused.exit_code == 1 and "its mask is missing: 000000000002.png" in refused.output
    assert ffprep(*command, "--out", coco.root / "b.beton", "--on-error", "skip").exit_code == 0
    assert [row["image_id"] for row in values_of(coco.root / "b.beton")] == [1, 3]
    rgb = np.asarray(Image.open(masks / "000000000001.png")).copy()
    rgb[0, 0] = (5, 0, 0)
    Image.fromarray(rgb).save(masks / "000000000001.png")
    refused = ffprep(*command, "--out", coco.root / "c.beton", "--on-error", "skip")
    assert "has pixels of the segment 5, which its annotation does not list" in refused.output


def test_voc_boxes(tmp_path: Path) -> None:
    top, _ = voc(tmp_path)
    done = ffprep("convert", "voc", "--source", tmp_path, "--out", tmp_path / "a.beton")
    assert done.exit_code == 0 and "3 images; 3 objects" in done.output, done.output
    rows = values_of(tmp_path / "a.beton")
    assert rows[0]["boxes"].tolist() == [[0, 0, 64, 48], [4, 5, 5, 6]]
    assert rows[0]["labels"].tolist() == [7, 14] and rows[1]["labels"].tolist() == []
    assert rows[0]["difficult"].tolist() == [0, 1] and rows[0]["truncated"].tolist() == [1, 0]
    assert rows[2]["boxes"].tolist() == [[1.5, 2, 10, 20]]
    for year in ("2012", "VOC2012"):
        assert ffprep("plan", "voc", "--source", tmp_path / "VOCdevkit", "--year", year).exit_code == 0
    refused = ffprep("plan", "voc", "--source", tmp_path / "VOCdevkit", "--year", "2007")
    assert "VOCdevkit: has VOC2012; choose with --year, such as --year 2012" in refused.output
    dropped = ffprep("convert", "voc", "--source", top, "--out", tmp_path / "b.beton", "--difficult", "drop")
    assert "1 objects that are difficult left out" in dropped.output
    assert [len(row["boxes"]) for row in values_of(tmp_path / "b.beton")] == [1, 0, 1]
    refused = ffprep("convert", "voc", "--source", top, "--out", tmp_path / "c.beton", "--split", "test")
    assert "has no list test.txt; there are train, val" in refused.output


def test_voc_masks(tmp_path: Path) -> None:
    top, masks = voc(tmp_path)
    command = ["convert", "voc", "--source", top, "--task", "segmentation", "--out"]
    assert ffprep(*command, tmp_path / "a.beton").exit_code == 0
    for row, mask in zip(values_of(tmp_path / "a.beton"), masks, strict=True):
        np.testing.assert_array_equal(row["mask"], mask)
        np.testing.assert_array_equal(row["objects"], mask)
    assert facts_of(tmp_path / "a.beton")["classes"][:2] == ["background", "aeroplane"]
    assert ffprep(*command, tmp_path / "b.beton", "--max-side", 20).exit_code == 0
    for row in values_of(tmp_path / "b.beton"):
        with Image.open(__import__("io").BytesIO(row["image"])) as image:
            assert row["mask"].shape == (image.height, image.width) and max(image.size) == 20
    (top / "SegmentationObject" / "2007_000001.png").unlink()
    refused = ffprep(*command, tmp_path / "c.beton")
    assert refused.exit_code == 1 and "2007_000001: its mask is missing" in refused.output


BOMB = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""
OUTSIDE = (
    '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation><object><name>&a;</name></object></annotation>'
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "declares a document type or entities"),
        (OUTSIDE, "declares a document type or entities"),
        (BOMB.encode("utf-16").decode("latin-1"), "declares a document type or entities"),
        ("<!DOCTYPE annotation><annotation></annotation>", "declares a document type or entities"),
        ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><annotation></annotation>", "declares a document type or entities"),
        ("<annotation><object>", "not well-formed XML"),
        ("", "not well-formed XML"),
        ("<html></html>", "begins with <html>; <annotation> is expected"),
        ("<annotation>" + "<a>" * 60, "nested more than 50 deep"),
        ("<annotation><object><name>&x;</name></object></annotation>", "not well-formed XML"),
        (
            voc_xml((64, 48), [("unicorn", (1, 1, 2, 2), 0, 0)]),
            "object 0: its class 'unicorn' is unknown; there are aero",
        ),
        (voc_xml((64, 48), [("cat", (9, 1, 2, 2), 0, 0)]), "(cat): its bndbox has no xmin <= xmax"),
        (voc_xml((64, 48), [("cat", (float("nan"), 1, 2, 2), 0, 0)]), "its bndbox has no"),
    ],
)
def test_bad_and_hostile_xml(tmp_path: Path, text: str, said: str) -> None:
    top, _ = voc(tmp_path)
    write(top / "Annotations" / "2007_000001.xml", text.encode("latin-1"))
    refused = ffprep("convert", "voc", "--source", top, "--out", tmp_path / "a.beton")
    assert refused.exit_code == 1 and "2007_000001: its annotation is bad" in refused.output, refused.output
    assert said in refused.output
    assert ffprep("convert", "voc", "--source", top, "--out", tmp_path / "a.beton", "--on-error", "skip").exit_code == 0
    assert len(values_of(tmp_path / "a.beton")) == 2


def test_xml_of_other_encodings() -> None:
    for encoding in ("utf-8", "utf-16", "iso-8859-1"):
        text = f'<?xml version="1.0" encoding="{encoding}"?><annotation><name>\xe9</name></annotation>'
        assert read_xml(text.encode(encoding), "x").findtext("name") == "\xe9"
    with pytest.raises(SourceError, match="not well-formed XML"):
        read_xml(b'<?xml version="1.0" encoding="no-such"?><a/>', "x")


def test_ade20k(tmp_path: Path) -> None:
    top, masks = ade20k(tmp_path)
    command = ["convert", "ade20k", "--source", tmp_path, "--out"]
    done = ffprep(*command, tmp_path / "a.beton")
    assert done.exit_code == 0 and "150 classes" in done.output, done.output
    for row, mask in zip(values_of(tmp_path / "a.beton"), masks, strict=True):
        np.testing.assert_array_equal(row["mask"], mask - np.uint8(1))  # 0 becomes 255
    assert facts_of(tmp_path / "a.beton")["classes"][149] == "thing 150, stuff"
    assert ffprep(*command, tmp_path / "b.beton", "--zero", "class").exit_code == 0
    for row, mask in zip(values_of(tmp_path / "b.beton"), masks, strict=True):
        np.testing.assert_array_equal(row["mask"], mask)
    write(top / "annotations" / "training" / "ADE_train_00000002.png", grey_png(np.full((60, 40), 200)))
    assert "has the label 199, which is none of the 150" in ffprep(*command, tmp_path / "c.beton").output
    write(top / "annotations" / "training" / "ADE_train_00000002.png", grey_png(np.zeros((40, 60))))
    assert "its mask ADE_train_00000002.png has 60x40" in ffprep(*command, tmp_path / "d.beton").output
    (top / "annotations" / "training" / "ADE_train_00000002.png").unlink()
    assert "has no mask: ADE_train_00000002.png" in ffprep(*command, tmp_path / "e.beton").output
    assert "has no folder images/validation" in ffprep(*command, tmp_path / "f.beton", "--split", "val").output


def test_folders_of_masks(tmp_path: Path) -> None:
    labels = np.arange(48 * 64).reshape(48, 64) % 3
    write(tmp_path / "i" / "bonn" / "1_leftImg8bit.png", picture((64, 48), "PNG"))
    write(tmp_path / "m" / "bonn" / "1_gtFine_labelTrainIds.png", grey_png(labels))
    write(tmp_path / "m" / "bonn" / "1_gtFine_color.png", picture((64, 48), "PNG"))
    names = write(tmp_path / "names.txt", "road\ncar\nsky\n")
    command = ["convert", "masks", "--images", tmp_path / "i", "--masks", tmp_path / "m", "--classes", names]
    suffixes = ["--image-suffix", "_leftImg8bit", "--mask-suffix", "_gtFine_labelTrainIds"]
    done = ffprep(*command, *suffixes, "--out", tmp_path / "a.beton")
    assert done.exit_code == 0 and "1  image raw: PNG, without loss" in done.output, done.output
    (row,) = values_of(tmp_path / "a.beton")
    np.testing.assert_array_equal(row["mask"], labels)
    np.testing.assert_array_equal(row["image"], np.asarray(Image.open(tmp_path / "i/bonn/1_leftImg8bit.png")))
    assert facts_of(tmp_path / "a.beton")["classes"] == ["road", "car", "sky"]
    assert "has no mask of the 1 images" in ffprep(*command, "--out", tmp_path / "b.beton").output
    suffixes[-1] = "_gtFine_color"
    assert (
        "has the mode RGB; one with one channel is expected"
        in ffprep(*command, *suffixes, "--out", tmp_path / "b.beton").output
    )


def test_masks_are_not_decoded_before_their_size_is_that_of_the_image(
    coco: Coco, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PNG of some kilobytes may hold a hundred million pixels."""
    annotations, masks, _ = coco.panoptic()
    (masks / "000000000001.png").write_bytes(grey_png(np.zeros((2000, 2000))))
    top, _ = voc(coco.root / "voc")
    (top / "SegmentationClass" / "2007_000000.png").write_bytes(grey_png(np.zeros((2000, 2000))))
    out = ["--out", coco.root / "a.beton"]
    commands = (
        ["coco-panoptic", "--images", coco.images, "--masks", masks, "--annotations", annotations],
        ["voc", "--source", top, "--task", "segmentation", "--split", "train"],
    )
    decode = pillow.load_plain

    def small(data: bytes, *more: Any) -> Any:
        assert len(data) < 3000, "decoded"
        return decode(data, *more)

    monkeypatch.setattr(pillow, "load_plain", small)
    for command in commands:
        refused = ffprep("convert", *command, *out)
        assert refused.exit_code == 1 and "has 2000x2000: the image is not the one" in refused.output, refused.output
    monkeypatch.undo()
    (masks / "000000000001.png").write_bytes(grey_png(np.zeros((48, 64))))
    refused = ffprep("convert", *commands[0], *out, "--max-pixels", 3000)
    assert "64 x 48 pixels are over the limit of 3000" in refused.output


def test_masks_keep_to_max_pixels() -> None:
    data = grey_png(np.zeros((30, 40)))
    assert read_mask(data, 1200).shape == (30, 40)
    with pytest.raises(ConversionError, match="over the limit of 1199"):
        read_mask(data, 1199)


def test_more_segments_than_a_mask_can_number(coco: Coco) -> None:
    annotations, masks, _ = coco.panoptic()
    content = json.loads(annotations.read_text())
    content["annotations"][0]["segments_info"] = [{"id": 1 + n, "category_id": 7} for n in range(65_536)]
    write(annotations, json.dumps(content))
    given = ("--images", coco.images, "--masks", masks, "--annotations", annotations, "--out", coco.root / "a.beton")
    refused = ffprep("convert", "coco-panoptic", *given)
    assert refused.exit_code == 1 and "annotation 0: more than 65,535 segments" in refused.output


def test_annotations_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused before they are read, and before they are parsed."""
    top, _ = voc(tmp_path)
    size = len((top / "Annotations" / "2007_000000.xml").read_bytes())
    command = ("convert", "voc", "--source", top, "--split", "train", "--out", tmp_path / "a.beton")
    monkeypatch.setattr("ffprep.sources.dense.voc.LARGEST", size - 1)
    refused = ffprep(*command)
    assert refused.exit_code == 1 and f"{size} bytes are more than a sample may have" in refused.output, refused.output
    monkeypatch.setattr("ffprep.sources.dense.xml.LARGEST", 20)
    with pytest.raises(SourceError, match="x: 21 bytes are no annotation"):
        read_xml(b"<a></a>".ljust(21), "x")
    assert read_xml(b"<a></a>".ljust(20), "x").tag == "a"
    monkeypatch.setattr("ffprep.sources.dense.voc.LARGEST_SAMPLE", 50)
    refused = ffprep(*command, "--task", "segmentation")
    assert refused.exit_code == 1 and "bytes are more than a sample may have (50)" in refused.output, refused.output

"""``ffprep verify --against`` of images with boxes, masks and other fields."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dense_trees import Coco, ade20k, ffprep, grey_png, labels_of, picture, voc, write
from PIL import Image


def problems(out: Path, *words: object) -> list[str]:
    done = ffprep("verify", out, "--json", *words)
    assert done.stdout.startswith("["), done.output
    [report] = json.loads(done.stdout)
    assert done.exit_code == (0 if report["ok"] else 1)
    return list(report["problems"])


def convert(*words: object) -> None:
    done = ffprep("convert", *words, "--quiet")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("more", [(), ("--crowd", "keep", "--no-empty", "--max-side", 40), ("--masks", "both")])
def test_coco_boxes(tmp_path: Path, more: tuple[object, ...]) -> None:
    coco, out = Coco(tmp_path), tmp_path / "x.beton"
    for one in coco.objects:
        one["segmentation"] = [[2, 2, 30, 2, 30, 30, 2.5, 28]]
    annotations = coco.write()
    convert("coco-detection", "--images", coco.images, "--annotations", annotations, "--out", out, *more)
    where = ("--against", coco.images, "--annotations", annotations)
    assert problems(out, *where) == []
    coco.objects[0]["bbox"][2] += 1
    if more[:1] == ("--masks",):
        coco.objects[0]["segmentation"][0][0] = 9
    coco.write()
    found = "\n".join(problems(out, *where))
    assert "field 'boxes'" in found
    refused = ffprep("verify", out, "--against", coco.images)
    assert refused.exit_code != 0 and "give it as --annotations" in refused.output


def test_panoptic_masks(tmp_path: Path) -> None:
    coco, out = Coco(tmp_path), tmp_path / "x.beton"
    annotations, masks, _ = coco.panoptic()
    convert(
        "coco-panoptic", "--images", coco.images, "--annotations", annotations, "--masks", masks, "--out", out
    )  # fmt: skip
    where = ("--against", coco.images, "--annotations", annotations)
    assert problems(out, *where, "--masks", masks) == []
    first, second = sorted(masks.iterdir())[0], sorted(masks.iterdir())[2]
    shutil.copy(first, second)
    assert any("(" in text for text in problems(out, *where, "--masks", masks))
    refused = ffprep("verify", out, *where)
    assert refused.exit_code != 0 and "give their folder as --masks" in refused.output
    assert "belong to --against" in ffprep("verify", out, "--masks", masks).output


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_voc(tmp_path: Path, task: str) -> None:
    (top, _), out = voc(tmp_path), tmp_path / "x.beton"
    convert("voc", "--source", top, "--task", task, "--split", "train", "--out", out, "--difficult", "drop")
    assert problems(out, "--against", top) == []
    path = sorted((top / "JPEGImages").iterdir())[0]
    write(path, picture((64, 48))[:-40] + b"\xff\xd9")
    assert problems(out, "--against", top) != []


@pytest.mark.parametrize("zero", ["ignore", "class"])
def test_ade20k(tmp_path: Path, zero: str) -> None:
    (top, _), out = ade20k(tmp_path), tmp_path / "x.beton"
    convert("ade20k", "--source", top, "--split", "train", "--out", out, "--zero", zero)
    assert problems(out, "--against", top) == []
    masks = sorted((top / "annotations" / "training").iterdir())
    masks[0].unlink()
    assert problems(out, "--against", top) != []


def test_images_with_masks(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "in" / "a" / f"{number}_left.png", picture((20 + number, 16), "PNG"))
        write(tmp_path / "labels" / "a" / f"{number}_ids.png", grey_png(labels_of((20 + number, 16), 3, number)))
    write(tmp_path / "names.txt", "car\ntree\nsky")
    out, source, masks = tmp_path / "x.beton", tmp_path / "in", tmp_path / "labels"
    options = ("--image-suffix", "_left", "--mask-suffix", "_ids", "--reduce-zero", "--classes", tmp_path / "names.txt")
    convert("masks", "--images", source, "--masks", masks, *options, "--out", out)
    assert problems(out, "--against", source, "--masks", masks) == []
    shutil.copy(masks / "a" / "1_ids.png", masks / "a" / "2_ids.png")
    labels = labels_of((23, 16), 3, 3)
    labels[5, 7] = 1 if labels[5, 7] != 1 else 2
    write(masks / "a" / "3_ids.png", grey_png(labels))
    size, value = problems(out, "--against", source, "--masks", masks)
    assert "a/2_left.png" in size and "a/3_left.png" in value and "field 'mask': value [5, 7]" in value
    refused = ffprep("verify", out, "--against", source)
    assert refused.exit_code != 0 and "give it as --masks" in refused.output


def test_images(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / "in" / "abc"[number % 3] / f"{number}.jpg", picture((40 + number, 30)))
    out, source = tmp_path / "x.beton", tmp_path / "in"
    convert("images", "--source", source, "--field", "place=text:path", "--val-share", 0.25, "--out", out)
    val = tmp_path / "x-val.beton"
    assert problems(out, "--against", source) == problems(val, "--against", source) == []
    for name in "abc":
        for path in (source / name).iterdir():
            write(path, picture((20, 20)))
    assert len(problems(out, "--against", source)) + len(problems(val, "--against", source)) == 12


def test_tables_with_labels_of_names_and_filters(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for number in range(9):
        write(tmp_path / f"{number}.jpg", picture((40, 30)))
        rows.append({"image": f"{number}.jpg", "kind": "zxy"[number % 3], "score": number / 2})
    table = write(tmp_path / "list.jsonl", "\n".join(json.dumps(row) for row in rows))
    out = tmp_path / "x.beton"
    options = ("--label", "kind", "--field", "score=float", "--filter", "score > 1")
    convert("images", "--source", table, *options, "--out", out)
    assert problems(out, "--against", table) == []
    rows[7]["score"] = 99
    write(table, "\n".join(json.dumps(row) for row in rows))
    [problem] = problems(out, "--against", table)
    assert "field 'score'" in problem


def test_tables_of_images_elsewhere_and_fields_in_any_order(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for number in range(6):
        write(tmp_path / "photos" / f"{number}.jpg", picture((40, 30)))
        rows.append({"image": f"{number}.jpg", "kind": "ab"[number % 2], "boxes": [[1, 2, 3, 4]] * number})
    table = write(tmp_path / "lists" / "list.jsonl", "\n".join(json.dumps(row) for row in rows))
    out, images = tmp_path / "x.beton", ("--images", tmp_path / "photos")
    options = (
        "--label",
        "none",
        "--field",
        "boxes=boxes",
        "--field",
        "where=text:image",
        "--field",
        "label=label:kind",
    )
    convert("images", "--source", table, *images, *options, "--out", out)
    assert problems(out, "--against", table, *images) == []
    assert all("--images names its folder" in one for one in problems(out, "--against", table))
    rows[3]["boxes"] = [[1, 2, 3, 4]] * 2
    write(table, "\n".join(json.dumps(row) for row in rows))
    [problem] = problems(out, "--against", table, *images)
    assert "3.jpg" in problem and "field 'boxes'" in problem


def test_images_stored_as_arrays(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "in" / f"{number}.png", grey16_png(number))
    out = tmp_path / "x.beton"
    convert("images", "--source", tmp_path / "in", "--field", "image=array-uint16", "--out", out)
    assert problems(out, "--against", tmp_path / "in") == []
    write(tmp_path / "in" / "1.png", grey16_png(7))
    [problem] = problems(out, "--against", tmp_path / "in")
    assert "1.png" in problem and "field 'image'" in problem


def grey16_png(add: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray((np.arange(12 * 9).reshape(9, 12) * 600 + add).astype(np.uint16)).save(file, "PNG")
    return file.getvalue()

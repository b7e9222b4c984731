"""COCO's polygons and run lengths as masks: the pixels are those of pycocotools, which made the strings below."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from dense_trees import Coco, facts_of, ffprep, values_of
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ffprep.errors import SourceError
from ffprep.sources.dense.shapes import filled, object_numbers, semantic_mask, shape_of

GOLDEN: list[tuple[int, int, list[list[float]], str]] = [
    (24, 31, [[2, 3, 20.5, 4.25, 25, 20, 9.75, 22.1]], "c11g03M2N3M2N2N3M2O0O00000000O10000000003L5L4L3Mn3"),
    (17, 12, [[-3, -2, 15, 5, 4, 20]], "0983M3N1N0001N1O1O2M2O2NM"),
    (
        30,
        30,
        [[1, 1, 10, 1, 10, 10, 1, 10], [5, 5, 28, 7.5, 15, 29]],
        "o09e000000000001O2N32MN2N3M2N3M00N2O2M2N2O1N2O1N2N2O1Ne2",
    ),
    (9, 9, [[4, 4, 4, 4, 4, 4]], "a2"),
    (20, 25, [[3, 3, 22, 17, 22, 3, 3, 17]], "o1>7N2N2N101N2N1O2Od00[O101N2N2O0O2N2N2h1"),
]
"""Height, width, polygons, and the string of ``pycocotools.mask.merge(frPyObjects(polygons, height, width))``."""


@pytest.fixture
def coco(tmp_path: Any) -> Coco:
    return Coco(tmp_path)


@pytest.mark.parametrize(("height", "width", "polygons", "string"), GOLDEN)
def test_polygons_have_pycocotools_pixels(height: int, width: int, polygons: Any, string: str) -> None:
    want = filled(shape_of({"size": [height, width], "counts": string}), height, width)
    assert (filled(shape_of(polygons), height, width) == want).all()


def slow(points: Any, height: int, width: int) -> NDArray[np.bool_]:
    """The same, step by step: an edge of the boundary after the other, a border between pixels after the other."""
    fine = [(int(5 * x + 0.5), int(5 * y + 0.5)) for x, y in points]
    walked = []
    for (x0, y0), (x1, y1) in zip(fine, [*fine[1:], fine[0]], strict=True):
        by_x = abs(x1 - x0) >= abs(y1 - y0)
        turned = x0 > x1 if by_x else y0 > y1
        (xs, ys), (xe, ye) = ((x1, y1), (x0, y0)) if turned else ((x0, y0), (x1, y1))
        many = max(abs(x1 - x0), abs(y1 - y0))
        slope = ((ye - ys) if by_x else (xe - xs)) / max(many, 1)
        for d in range(many + 1):
            t = many - d if turned else d
            walked.append((xs + t, int(ys + slope * t + 0.5)) if by_x else (int(xs + slope * t + 0.5), ys + t))
    out = np.zeros(height * width + 1, int)
    for (u0, v0), (u1, v1) in itertools.pairwise(walked):
        if u0 == u1:
            continue
        x = ((u1 if u1 < u0 else u1 - 1) + 0.5) / 5 - 0.5
        if x != int(x) or not 0 <= x <= width - 1:
            continue
        y = int(np.ceil(min(max((min(v0, v1) + 0.5) / 5 - 0.5, 0), height)))
        out[int(x) * height + y :] ^= 1
    return out[:-1].astype(bool).reshape(width, height).T


coordinates = st.floats(-9, 29, allow_nan=False) | st.integers(-9, 29)


@given(
    points=st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9),
    height=st.integers(1, 22),
    width=st.integers(1, 22),
)
def test_polygons_equal_their_slow_twin(points: Any, height: int, width: int) -> None:
    shape = shape_of([[float(value) for point in points for value in point]])
    assert (filled(shape, height, width) == slow(points, height, width)).all()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 5))
def test_run_lengths_alternate_by_columns(counts: list[int], height: int) -> None:
    total = sum(counts)
    counts = [*counts, -total % height or (0 if total else height)]
    width = sum(counts) // height
    flat = [i % 2 for i, count in enumerate(counts) for _ in range(count)]
    want = np.array(flat, bool).reshape(width, height).T
    assert (filled(shape_of({"size": [height, width], "counts": counts}), height, width) == want).all()


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([3, 4], "add up to 7, not to 12"),
        ([], "add up to 0"),
        ([13], "longer than the image"),
        ([-1, 13], "no whole numbers"),
        ([4.0, 8], "no whole numbers"),
        ("3~", "no string that COCO"),
        ("o" * 40, "no string that COCO"),
        ("o", "end in the middle"),
    ],
)
def test_damaged_run_lengths(counts: Any, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        filled(shape_of({"size": [3, 4], "counts": counts}), 3, 4)
    with pytest.raises(SourceError, match="for 4x3 pixels, the image has 3x3"):
        filled(shape_of({"size": [3, 4], "counts": counts}), 3, 3)


def test_boundaries_that_are_no_outlines() -> None:
    wild = shape_of([[0, 0, 99_000, 99_000] * 50])
    with pytest.raises(SourceError, match="that is no outline"):
        filled(wild, 9, 9)


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def test_masks_and_numbers_of_boxes(coco: Coco) -> None:
    """Object 0 and the last are of two classes and overlap; the crowd is dropped; object 2 has no area in the image."""
    width, height = coco.listed[0]["width"], coco.listed[0]["height"]
    crowd = [0, 10, width * height - 10]
    coco.objects = [
        {"image_id": 1, "category_id": 7, "bbox": [5, 5, 20, 20], "segmentation": square(5, 5, 20)},
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1,
         "segmentation": {"size": [height, width], "counts": crowd}},
        {"image_id": 1, "category_id": 1, "bbox": [900, 5, 3, 3], "segmentation": square(900, 5, 3)},
        {"image_id": 1, "category_id": 90, "bbox": [20, 20, 8, 8], "segmentation": square(20, 20, 8)},
    ]  # fmt: skip
    out = coco.root / "a.beton"
    arguments = ["--images", coco.images, "--annotations", coco.write(), "--out", out, "--masks", "both"]
    done = ffprep("convert", "coco-detection", *arguments)
    assert done.exit_code == 0, done.output
    rows = values_of(out)
    first = rows[0]
    big, small = filled(shape_of(square(5, 5, 20)), height, width), filled(shape_of(square(20, 20, 8)), height, width)
    want = np.zeros((height, width), int)
    want[:10, 0] = 255
    want[big], want[small], want[big & small] = 2, 3, 255
    assert (first["mask"] == want).all() and (big & small).any()
    assert first["labels"].tolist() == [1, 2]
    assert (first["objects"] == np.where(small, 2, np.where(big, 1, 0))).all()
    assert not rows[1]["mask"].any() and rows[1]["objects"].shape == rows[1]["mask"].shape
    facts = facts_of(out)
    assert facts["outlines"] == "both" and facts["ignored"] == 255


def test_masks_are_scaled_with_their_images(coco: Coco) -> None:
    for one in coco.objects:
        one["segmentation"] = square(one["bbox"][0], one["bbox"][1], 8)
    out = coco.root / "a.beton"
    arguments = ["--images", coco.images, "--annotations", coco.write(), "--out", out, "--max-side", 32]
    assert ffprep("convert", "coco-detection", *arguments, "--masks", "instance").exit_code == 0
    rows = values_of(out)
    assert [max(row["objects"].shape) for row in rows] == [32, 32, 32] and "mask" not in rows[0]


@pytest.mark.parametrize(
    "segmentation",
    [None, [[1, 2, 3]], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, "6"]], [[0, 0, 1e9, 0, 1, 1]], {"size": [3], "counts": []}, 7],
)
def test_outlines_that_are_none(coco: Coco, segmentation: Any) -> None:
    for one in coco.objects:
        one["segmentation"] = square(1, 1, 8)
    coco.objects[0]["segmentation"] = segmentation
    out = coco.root / "a.beton"
    arguments = ["--images", coco.images, "--annotations", coco.write(), "--out", out, "--masks", "semantic"]
    refused = ffprep("convert", "coco-detection", *arguments)
    assert refused.exit_code == 1 and "annotation 0" in refused.output and "segmentation is no list" in refused.output
    assert ffprep("convert", "coco-detection", *arguments, "--on-error", "skip").exit_code == 0


def test_other_sizes_and_no_sizes_name_the_sample(coco: Coco) -> None:
    for one in coco.objects:
        one["segmentation"] = {"size": [2, 2], "counts": [4]}
    out = coco.root / "a.beton"
    arguments = ["--images", coco.images, "--annotations", coco.write(), "--out", out, "--masks", "semantic"]
    refused = ffprep("convert", "coco-detection", *arguments)
    assert refused.exit_code == 1 and "are for 2x2 pixels, the image has 64x48" in refused.output
    assert json.loads((coco.root / "annotations" / "instances_val2017.json").read_text())["images"]


def test_one_pixel_of_two_objects() -> None:
    one, two = np.zeros((2, 2, 3), bool)
    one[0], two[:, 0] = True, True
    assert semantic_mask([one, two], [1, 1], [], (2, 3), 255).tolist() == [[1, 1, 1], [1, 0, 0]]
    assert semantic_mask([one, two], [1, 2], [], (2, 3), 255).tolist() == [[255, 1, 1], [2, 0, 0]]
    assert object_numbers([one, two], (2, 3)).tolist() == [[2, 1, 1], [2, 0, 0]]

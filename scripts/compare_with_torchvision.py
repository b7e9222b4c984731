"""Compare masks, boxes and keypoints that follow an image with what torchvision v2 makes of the same drawn parameters.

Of maps of coordinates (rotations, shears, tilts) it also compares the images, and of mixup and CutMix what they make of
tensors with the same share, box and neighbours.

    PYTHONPATH=. python scripts/compare_with_torchvision.py

Needs torchvision. It prints how many masks, boxes and keypoints were compared and how far they are apart.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from ffprep import Loader
from ffprep import transforms as T
from ffprep.fields.decoders import (
    RandomResizedCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
    ResizeRGBImageDecoder,
)
from ffprep.fields.dense import BoxesDecoder, BoxValuesDecoder, KeypointsDecoder, MaskDecoder
from ffprep.loader.plan.pipelines import read_pipelines
from ffprep.pipeline.form import BatchInfo
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import mixup
from tests.transforms.dense import (
    COUNT,
    Draw,
    boxes_of,
    keypoints_of,
    labels_of,
    mask_of,
    random_crop,
    size_of,
    write_dense,
)

SEED, EPOCHS = 3, 40


def scene(i: int) -> list[Any]:
    """Return a sample as torchvision's tensors: mask, boxes, keypoints."""
    size = size_of(i)
    boxes = tv_tensors.BoundingBoxes(torch.from_numpy(boxes_of(i)), format="XYXY", canvas_size=size)
    points = tv_tensors.KeyPoints(torch.from_numpy(keypoints_of(i)[:, :, :2].copy()), canvas_size=size)
    return [tv_tensors.Mask(torch.from_numpy(mask_of(i).copy())), boxes, points]


OUT = (52, 44)
CROP = RandomResizedCropRGBImageDecoder((61, 48), scale=(0.08, 1.0))


def by_crops(values: list[Any], size: tuple[int, int], draw: Draw, streams: list[int]) -> list[Any]:
    box = random_crop(draw, streams[0], size, CROP.scale, CROP.ratio)
    values = [F.resized_crop(x, *box, [61, 48], antialias=True) for x in values]
    if draw(streams[1], 0) < 0.5:
        values = [F.horizontal_flip(x) for x in values]
    if draw(streams[2], 0) < 0.5:
        values = [F.vertical_flip(x) for x in values]
    top, left = int(draw(streams[3], 0) * 22), int(draw(streams[3], 1) * 9)
    return [F.crop(x, top, left, 40, 40) for x in values]


def by_evaluation(values: list[Any], size: tuple[int, int], draw: Draw, streams: list[int]) -> list[Any]:
    return [F.center_crop(F.resize(x, [48], antialias=True), [40, 44]) for x in values]


def on_canvas(values: list[Any], rows: int, cols: int, y: int, x: int) -> list[Any]:
    border = [max(x, 0), max(y, 0), max(OUT[1] - x - cols, 0), max(OUT[0] - y - rows, 0)]
    values = [F.pad(F.resize(v, [rows, cols], antialias=True), border) for v in values]
    return [F.crop(v, max(-y, 0), max(-x, 0), *OUT) for v in values]


def by_letterbox(values: list[Any], size: tuple[int, int], draw: Draw, streams: list[int]) -> list[Any]:
    fit = min(OUT[0] / size[0], OUT[1] / size[1])
    rows, cols = round(size[0] * fit), round(size[1] * fit)
    return on_canvas(values, rows, cols, (OUT[0] - rows) // 2, (OUT[1] - cols) // 2)


def by_scale_jitter(values: list[Any], size: tuple[int, int], draw: Draw, streams: list[int]) -> list[Any]:
    factor = (0.1 + 1.9 * draw(streams[0], 0)) * min(OUT[0] / size[0], OUT[1] / size[1])
    rows, cols, r = max(int(size[0] * factor), 1), max(int(size[1] * factor), 1), draw(streams[0], 1)
    values = on_canvas(values, rows, cols, -int(max(rows - OUT[0], 0) * r), -int(max(cols - OUT[1], 0) * r))
    return [F.horizontal_flip(x) for x in values] if draw(streams[1], 0) < 0.5 else values


def by_random_resize(values: list[Any], size: tuple[int, int], draw: Draw, streams: list[int]) -> list[Any]:
    short = 30 + int(draw(streams[0], 0) * 50)
    values = [F.resize(x, [short], antialias=True) for x in values]
    height, width = values[0].shape
    border = [max(OUT[1] - width, 0), max(OUT[0] - height, 0)]
    values = [F.pad(x, border) for x in values]
    top = int(draw(streams[0], 1) * (height + 2 * border[1] - OUT[0] + 1))
    left = int(draw(streams[0], 2) * (width + 2 * border[0] - OUT[1] + 1))
    return [F.crop(x, top, left, *OUT) for x in values]


Twin = Callable[[list[Any], tuple[int, int], Draw, list[int]], list[Any]]
CHAINS: dict[str, tuple[list[Any], Twin]] = {
    "random crop, flips, window": (
        [CROP, T.RandomHorizontalFlip(), T.RandomVerticalFlip(), T.RandomCrop(40)],
        by_crops,
    ),
    "evaluation crop": ([ResizeCenterCropRGBImageDecoder((40, 44), 48)], by_evaluation),
    "letterbox": ([T.LetterboxRGBImageDecoder(OUT)], by_letterbox),
    "scale jitter, flip": ([T.ScaleJitterRGBImageDecoder(OUT), T.RandomHorizontalFlip()], by_scale_jitter),
    "random resize": ([T.RandomResizeRGBImageDecoder(OUT, 30, 80)], by_random_resize),
}


def compare(path: Path, image: list[Any], twin: Twin) -> str:
    """Compare all samples of some epochs, and say how far they are apart."""
    given = {
        "image": image,
        "mask": PipelineSpec("mask", MaskDecoder(), draws="image"),
        "boxes": PipelineSpec("boxes", BoxesDecoder(), draws="image"),
        "labels": PipelineSpec("labels", BoxValuesDecoder(), draws="boxes"),
        "keypoints": PipelineSpec("keypoints", KeypointsDecoder(), draws="boxes"),
        "depth": None,
        "number": None,
    }
    masks = labels = wrong = boxes = 0
    furthest = furthest_point = 0.0
    with Loader(path, COUNT, pipelines=given, seed=SEED) as loader:
        [first] = [p for p in read_pipelines(given, loader.files) if p.name == "image"]
        streams = [first.stream, *(stream for _, stream in first.transforms)]
        for epoch in range(EPOCHS):
            _, got_masks, got_boxes, got_labels, got_points = loader.batch(range(COUNT), epoch)
            for i in range(COUNT):
                mask, kept, points = twin(scene(i), size_of(i), Draw(SEED, epoch, i), streams)
                wrong += int((got_masks[i] != mask.numpy()).sum())
                kept, valid = F.sanitize_bounding_boxes(kept, min_size=1, min_area=1)
                n = int(got_boxes.mask[i].sum())
                assert n == len(kept) and got_labels[i][:n].tolist() == labels_of(i)[valid.numpy()].tolist()
                if n:
                    furthest = max(furthest, float(np.abs(got_boxes.boxes[i][:n] - kept.numpy()).max()))
                    apart = np.abs(got_points[i][:n, :, :2] - points.numpy()[valid.numpy()])
                    furthest_point = max(furthest_point, float(apart.max()))
                masks, labels, boxes = masks + 1, labels + mask.numel(), boxes + n
    return (
        f"{masks:,} masks, {wrong:,} of {labels:,} labels differ; {boxes:,} boxes kept, the same ones, at most "
        f"{furthest:.2g} pixels apart, their keypoints {furthest_point:.2g}"
    )


# -- maps of coordinates ----------------------------------------------------------------------------------------------

SIDES, FILL = (61, 48), 255
GREY = (FILL,) * 3
Drawn = Callable[[int], float]
Apply = Callable[[Any, Drawn, Any, Any], Any]
"""Torchvision's operation on a value, given the draws, the interpolation and the fill."""


def between(low: float, high: float, u: float) -> float:
    return low + (high - low) * u


def affine(x: Any, draw: Drawn, way: Any, fill: Any) -> Any:
    shift = [round(between(-0.2, 0.2, draw(2)) * SIDES[1]), round(between(-0.3, 0.3, draw(3)) * SIDES[0])]
    shear = [between(-20, 20, draw(5)), between(-10, 15, draw(6))]
    return F.affine(x, between(-40, 40, draw(1)), shift, between(0.7, 1.4, draw(4)), shear, way, fill)


def corners(draw: Drawn) -> list[list[int]]:
    height, width = SIDES
    reach = int(0.5 * (width // 2)) + 1, int(0.5 * (height // 2)) + 1
    in_x, in_y = ([int(draw(2 + axis + 2 * k) * reach[axis]) for k in range(4)] for axis in (0, 1))
    across = [in_x[0], width - 1 - in_x[1], width - 1 - in_x[2], in_x[3]]
    return [list(point) for point in zip(across, [in_y[0], in_y[1], height - 1 - in_y[2], height - 1 - in_y[3]])]  # noqa: B905


def tilted(x: Any, end: list[list[int]], way: Any, fill: Any) -> Any:
    """F.perspective, with coefficients in float64; it rounds those that it makes of points to float32."""
    rows: list[list[float]] = []
    for (a, b), (c, d) in zip(end, START, strict=True):
        rows += [[a, b, 1, 0, 0, 0, -c * a, -c * b], [0, 0, 0, a, b, 1, -d * a, -d * b]]
    coefficients = np.linalg.solve(np.array(rows, float), np.array(START, float).ravel()).tolist()
    return F.perspective(x, None, None, way, fill, coefficients)


START = [[0, 0], [SIDES[1] - 1, 0], [SIDES[1] - 1, SIDES[0] - 1], [0, SIDES[0] - 1]]
END = [[4, 2], [44, 0], [47, 55], [-3, 60]]


def degrees(value: float) -> float:
    return math.degrees(math.atan(value))


MAPS: dict[str, tuple[Callable[[str], Any], Apply]] = {
    "RandomAffine": (
        lambda way: T.RandomAffine(40, (0.2, 0.3), (0.7, 1.4), (-20, 20, -10, 15), way, GREY),
        affine,
    ),
    "Affine": (
        lambda way: T.Affine(25, (5, -3), 1.2, (8, -4), way, GREY),
        lambda x, draw, way, fill: F.affine(x, 25, [5, -3], 1.2, [8, -4], way, fill),
    ),
    "RandomRotation": (
        lambda way: T.RandomRotation(60, way, GREY),
        lambda x, draw, way, fill: F.rotate(x, -between(-60, 60, draw(1)), way, fill=fill),
    ),
    "Rotate": (lambda way: T.Rotate(33, way, GREY), lambda x, draw, way, fill: F.rotate(x, 33, way, fill=fill)),
    "RandomPerspective": (
        lambda way: T.RandomPerspective(0.5, 1.0, way, GREY),
        lambda x, draw, way, fill: tilted(x, corners(draw), way, fill),
    ),
    "Perspective": (
        lambda way: T.Perspective(START, END, way, GREY),
        lambda x, draw, way, fill: tilted(x, END, way, fill),
    ),
    "ShearX": (
        lambda way: T.ShearX(0.3, way, GREY),
        lambda x, draw, way, fill: F.affine(x, 0, [0, 0], 1, [degrees(0.3), 0], way, fill, [0, 0]),
    ),
    "ShearY": (
        lambda way: T.ShearY(-0.3, way, GREY),
        lambda x, draw, way, fill: F.affine(x, 0, [0, 0], 1, [0, degrees(-0.3)], way, fill, [0, 0]),
    ),
    "TranslateX": (
        lambda way: T.TranslateX(7, way, GREY),
        lambda x, draw, way, fill: F.affine(x, 0, [7, 0], 1, [0, 0], way, fill),
    ),
    "TranslateY": (
        lambda way: T.TranslateY(-9, way, GREY),
        lambda x, draw, way, fill: F.affine(x, 0, [0, -9], 1, [0, 0], way, fill),
    ),
}


def compare_map(path: Path, make: Callable[[str], Any], twin: Apply, epochs: int = 4) -> str:
    """Compare pictures, masks, boxes and keypoints after a map of coordinates with torchvision's of the same draws."""
    ways = {"nearest": F.InterpolationMode.NEAREST, "bilinear": F.InterpolationMode.BILINEAR}
    given: dict[str, Any] = dict.fromkeys(("image", "mask", "boxes", "labels", "keypoints", "depth", "number"))
    given["plain"] = PipelineSpec("image", ResizeRGBImageDecoder(SIDES))
    for way in ways:
        given[way] = PipelineSpec("image", ResizeRGBImageDecoder(SIDES), [make(way)])
    small = {"min_size": 1e-9, "min_area": 1e-9}
    for name, leader in (("plain", "plain"), ("moved", "nearest")):
        given[f"{name} masks"] = PipelineSpec("mask", MaskDecoder(fill=FILL), draws=leader)
        given[f"{name} boxes"] = PipelineSpec("boxes", BoxesDecoder(**(small if name == "plain" else {})), draws=leader)
        given[f"{name} points"] = PipelineSpec("keypoints", KeypointsDecoder(), draws=f"{name} boxes")
    totals: Counter[str] = Counter()
    furthest: dict[str, float] = dict.fromkeys(("bilinear, Pillow", "boxes", "keypoints"), 0.0)
    names = [name for name, spec in given.items() if spec is not None]
    with Loader(path, COUNT, pipelines=given, seed=SEED) as loader:
        streams = {p.name: [stream for _, stream in p.transforms] for p in read_pipelines(given, loader.files)}
        for epoch in range(epochs):
            got = dict(zip(names, loader.batch(range(COUNT), epoch), strict=True))
            for i in range(COUNT):
                drawn = {way: partial(Draw(SEED, epoch, i), streams[way][0]) for way in ways}

                def of(x: Any, way: str, fill: Any, drawn: dict[str, Any] = drawn) -> Any:
                    return twin(x, drawn[way], ways[way], fill)

                picture, mask = got["plain"][i], got["plain masks"][i]
                shown = np.asarray(of(Image.fromarray(picture), "nearest", list(GREY)))
                totals["pixels"] += shown[..., 0].size
                totals["pixels, Pillow"] += int((shown != got["nearest"][i]).any(2).sum())
                labels = np.asarray(of(Image.fromarray(mask), "nearest", FILL))
                totals["labels, Pillow"] += int((labels != got["moved masks"][i]).sum())
                moved = of(tv_tensors.Mask(torch.from_numpy(mask.copy())), "nearest", FILL).numpy()
                totals["labels, tensors"] += int((moved != got["moved masks"][i]).sum())
                shown = np.asarray(of(Image.fromarray(picture), "bilinear", list(GREY))).astype(int)
                furthest["bilinear, Pillow"] = max(
                    furthest["bilinear, Pillow"], float(np.abs(shown - got["bilinear"][i]).max())
                )
                n = int(got["plain boxes"].mask[i].sum())
                boxes = tv_tensors.BoundingBoxes(
                    torch.from_numpy(got["plain boxes"].boxes[i][:n].copy()), format="XYXY", canvas_size=SIDES
                )
                kept, valid = F.sanitize_bounding_boxes(of(boxes, "nearest", None), min_size=1, min_area=1)
                many = int(got["moved boxes"].mask[i].sum())
                totals["boxes"] += many
                if many != len(kept):
                    totals["boxes kept by one alone"] += abs(many - len(kept))
                    continue
                if not many:
                    continue
                apart = np.abs(got["moved boxes"].boxes[i][:many] - kept.numpy())
                furthest["boxes"] = max(furthest["boxes"], float(apart.max()))
                points = got["plain points"][i][:n, :, :2].copy()
                points = tv_tensors.KeyPoints(torch.from_numpy(points), canvas_size=SIDES)
                points = of(points, "nearest", None).numpy()[valid.numpy()]
                there = got["moved points"][i][:many]
                apart = np.abs(there[:, :, :2] - points)[there[:, :, 2] > 0]
                furthest["keypoints"] = max(furthest["keypoints"], float(apart.max(initial=0)))
    return (
        f"of {totals['pixels']:,} nearest pixels {totals['pixels, Pillow']:,} differ from Pillow images', of labels "
        f"{totals['labels, Pillow']:,} from Pillow's and {totals['labels, tensors']:,} from those on tensors; bilinear "
        f"levels are at most {furthest['bilinear, Pillow']:g} from Pillow images'; {totals['boxes']:,} boxes are at "
        f"most {furthest['boxes']:.2g} pixels apart, {totals['boxes kept by one alone']} kept by one alone, keypoints "
        f"{furthest['keypoints']:.2g}"
    )


def compare_mixes(batches: int = 200) -> str:
    """Compare mixed images and labels with those of torchvision's MixUp and CutMix."""
    furthest: dict[str, float] = {}
    for k in range(batches):
        rng = np.random.default_rng(k)
        n, h, w = (int(side) for side in rng.integers((2, 5, 5), (9, 40, 40)))
        batch = BatchInfo(np.arange(n) + 11 * k, 3, 5, 0)
        labels = torch.from_numpy(rng.integers(0, 7, n))
        levels = torch.from_numpy(rng.integers(0, 256, (n, 3, h, w), np.uint8))
        for mix, other in ((T.Mixup(0.8), v2.MixUp(num_classes=7)), (T.CutMix(1.0, (h, w)), v2.CutMix(num_classes=7))):
            blend = mix.draw(batch)
            share = float(blend.share[0])
            drawn: dict[str, Any] = {"lam": share}
            if blend.boxes is not None:
                top, bottom, left, right = (int(side) for side in blend.boxes[0])
                drawn = {"lam_adjusted": share, "box": (left, top, right, bottom)}
            other.make_params = lambda _, drawn=drawn: drawn
            targets = T.MixupToOneHot(7).apply(mix.labels.apply(labels[:, None], batch), batch)
            for dtype in (torch.float32, torch.float16, torch.bfloat16):
                x = ((levels / 255 - 0.45) / 0.22).to(dtype)
                shown, wanted = other(x, labels)
                for layout in (torch.contiguous_format, torch.channels_last):
                    mixed = mix.images.apply(x.contiguous(memory_format=layout), batch)
                    apart = {f"{type(mix).__name__} {dtype}": mixed - shown, "labels": targets - wanted}
                    for name, difference in apart.items():
                        furthest[name] = max(furthest.get(name, 0.0), float(difference.abs().max()))
    return ", ".join(f"{name} {apart:.2g}" for name, apart in furthest.items())


def main() -> None:
    print(f"mixing on the host, furthest: {compare_mixes()}", flush=True)
    with mock.patch.object(mixup, "_by_kernel", return_value=None):
        print(f"mixing as on a device, furthest: {compare_mixes()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = write_dense(Path(folder) / "dense.beton")
        for name, (image, twin) in CHAINS.items():
            print(f"{name}: {compare(path, image, twin)}", flush=True)
        for name, (make, apply) in MAPS.items():
            print(f"{name}: {compare_map(path, make, apply)}", flush=True)


if __name__ == "__main__":
    main()

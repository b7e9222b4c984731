"""Compare masks, boxes and keypoints that follow an image with what torchvision v2 makes of the same drawn parameters.

    PYTHONPATH=. python scripts/compare_with_torchvision.py

Needs torchvision. It prints how many masks, boxes and keypoints were compared and how far they are apart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from ffprep import Loader
from ffprep import transforms as T
from ffprep.fields.decoders import (
    RandomResizedCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
)
from ffprep.fields.dense import BoxesDecoder, BoxValuesDecoder, KeypointsDecoder, MaskDecoder
from ffprep.loader.plan.pipelines import read_pipelines
from ffprep.pipeline.pipeline_spec import PipelineSpec
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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_dense(Path(folder) / "dense.beton")
        for name, (image, twin) in CHAINS.items():
            print(f"{name}: {compare(path, image, twin)}", flush=True)


if __name__ == "__main__":
    main()

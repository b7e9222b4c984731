"""Compare masks, boxes and keypoints that follow an image with what torchvision v2 makes of the same drawn parameters.

    PYTHONPATH=. python scripts/compare_with_torchvision.py

Needs torchvision. It prints how many masks, boxes and keypoints were compared and how far they are apart.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from ffprep import Loader
from ffprep import transforms as T
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder, ResizeCenterCropRGBImageDecoder
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


def main() -> None:
    crop = RandomResizedCropRGBImageDecoder((61, 48), scale=(0.08, 1.0))
    chains: dict[str, list[Any]] = {
        "random crop, flips, window": [crop, T.RandomHorizontalFlip(), T.RandomVerticalFlip(), T.RandomCrop(40)],
        "evaluation crop": [ResizeCenterCropRGBImageDecoder((40, 44), 48)],
    }
    masks = labels = boxes = 0
    furthest = furthest_point = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = write_dense(Path(folder) / "dense.beton")
        for image in chains.values():
            given = {
                "image": image,
                "mask": PipelineSpec("mask", MaskDecoder(), draws="image"),
                "boxes": PipelineSpec("boxes", BoxesDecoder(), draws="image"),
                "labels": PipelineSpec("labels", BoxValuesDecoder(), draws="boxes"),
                "keypoints": PipelineSpec("keypoints", KeypointsDecoder(), draws="boxes"),
                "depth": None,
                "number": None,
            }
            with Loader(path, COUNT, pipelines=given, seed=SEED) as loader:
                [first] = [p for p in read_pipelines(given, loader.files) if p.name == "image"]
                streams = [first.stream, *(stream for _, stream in first.transforms)]
                for epoch in range(EPOCHS):
                    _, got_masks, got_boxes, got_labels, got_points = loader.batch(range(COUNT), epoch)
                    for i in range(COUNT):
                        draw, values = Draw(SEED, epoch, i), scene(i)
                        if len(streams) > 1:
                            box = random_crop(draw, streams[0], size_of(i), crop.scale, crop.ratio)
                            values = [F.resized_crop(x, *box, [61, 48], antialias=True) for x in values]
                            if draw(streams[1], 0) < 0.5:
                                values = [F.horizontal_flip(x) for x in values]
                            if draw(streams[2], 0) < 0.5:
                                values = [F.vertical_flip(x) for x in values]
                            top, left = int(draw(streams[3], 0) * 22), int(draw(streams[3], 1) * 9)
                            values = [F.crop(x, top, left, 40, 40) for x in values]
                        else:
                            values = [F.center_crop(F.resize(x, [48], antialias=True), [40, 44]) for x in values]
                        mask, kept, points = values
                        assert np.array_equal(got_masks[i], mask.numpy())
                        kept, valid = F.sanitize_bounding_boxes(kept, min_size=1, min_area=1)
                        n = int(got_boxes.mask[i].sum())
                        assert n == len(kept) and got_labels[i][:n].tolist() == labels_of(i)[valid.numpy()].tolist()
                        if n:
                            furthest = max(furthest, float(np.abs(got_boxes.boxes[i][:n] - kept.numpy()).max()))
                            apart = np.abs(got_points[i][:n, :, :2] - points.numpy()[valid.numpy()])
                            furthest_point = max(furthest_point, float(apart.max()))
                        masks, labels, boxes = masks + 1, labels + mask.numel(), boxes + n
    print(f"{masks} masks of {labels} labels: all equal")
    print(f"{boxes} boxes kept, the same ones: at most {furthest:.2g} pixels apart")
    print(f"their keypoints: at most {furthest_point:.2g} pixels apart")


if __name__ == "__main__":
    main()

"""Semantic segmentation: images and label masks, scaled by 0.5 to 2, cropped and flipped alike.

Chen et al., "Rethinking atrous convolution for semantic image segmentation" (DeepLabv3), 2017: crops of 513, scales of
0.5 to 2, flips; labels outside the image do not count; SGD of 0.007 for a batch of 16, momentum 0.9, a rate that falls
with the power of 0.9. The scale is drawn as that of a crop here: its area is 0.25 to 1 of the image's, or the image
covers 0.5 to 1 of the output's side and what is around it is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from common import FEATURES, IGNORED, MEAN, Learner, Setting, normalised, objects, run
from torch import Tensor, nn

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
from ffprep.fields.dense import MaskDecoder
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import RandomAffine, RandomApply, RandomHorizontalFlip, ToTensor

PAPER, DEMO = Setting(513, 16, classes=21), Setting(64, 8, classes=4)


def make_loader(path: Path, setting: Setting) -> Loader:
    smaller = RandomAffine(0, translate=(0.25, 0.25), scale=(0.5, 1.0), interpolation="bilinear", fill=tuple(MEAN))
    image = [
        RandomResizedCropRGBImageDecoder(setting.size, scale=(0.25, 1.0)),
        RandomHorizontalFlip(),
        RandomApply([smaller], 0.5),
        *normalised(),
    ]
    mask = PipelineSpec("mask", MaskDecoder(np.int64, fill=IGNORED), [ToTensor()], draws="image")
    pipelines = {"image": image, "mask": mask, "boxes": None, "labels": None}
    return Loader(
        path, setting.batch_size, order=OrderOption.RANDOM, seed=0, pipelines=pipelines, device=setting.device
    )


class Segmenter(Learner):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.dense = nn.Sequential(*list(self.encoder)[:6])  # a stride of 4
        self.classify = nn.Conv2d(FEATURES, setting.classes, 1)

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.007, momentum=0.9, weight_decay=1e-4)

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        scores = nn.functional.interpolate(self.classify(self.dense(images)), images.shape[2:], mode="bilinear")
        return nn.functional.cross_entropy(scores, masks, ignore_index=IGNORED)


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, Segmenter, PAPER, DEMO, arguments, objects)


if __name__ == "__main__":
    main()

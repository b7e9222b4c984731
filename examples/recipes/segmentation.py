"""Semantic segmentation: images and label masks, scaled by 0.5 to 2, cropped and flipped alike.

Chen et al., "Rethinking atrous convolution for semantic image segmentation" (DeepLabv3), 2017, as in pytorch/vision,
references/segmentation: ``base_size`` 520, so a shorter side of 260 to 1,040, flips, crops of 480, labels outside the
image do not count (presets.py); for 8 GPUs ``--lr 0.02 -b 4`` (README.md), momentum 0.9, weight decay 1e-4, a rate that
falls with the power of 0.9 (train.py), which is left out here, and so is the auxiliary loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from common import FEATURES, IGNORED, Learner, Setting, normalised, objects, run
from torch import Tensor, nn

from ffprep import Loader, OrderOption
from ffprep.fields.dense import MaskDecoder
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import RandomHorizontalFlip, RandomResizeRGBImageDecoder, ToTensor

PAPER, DEMO = Setting(480, 32, classes=21), Setting(64, 8, classes=4)


def make_loader(path: Path, setting: Setting) -> Loader:
    base = setting.size * 520 // 480
    image = [
        RandomResizeRGBImageDecoder(setting.size, base // 2, 2 * base),
        RandomHorizontalFlip(),
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
        return torch.optim.SGD(self.parameters(), 0.02, momentum=0.9, weight_decay=1e-4)

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        scores = nn.functional.interpolate(self.classify(self.dense(images)), images.shape[2:], mode="bilinear")
        return nn.functional.cross_entropy(scores, masks, ignore_index=IGNORED)


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, Segmenter, PAPER, DEMO, arguments, objects)


if __name__ == "__main__":
    main()

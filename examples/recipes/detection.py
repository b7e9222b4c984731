"""Detection with padded boxes: a batch has (batch, count, 4) boxes and a mask that says which of them are there.

The loss and the optimizer are those of Zhou, Wang, Krahenbuhl, "Objects as points" (CenterNet), 2019: inputs of 512, a
heatmap of centres for each class with a focal loss (2 and 4), the size of boxes with the weight 0.1; Adam of 5e-4 for a
batch of 128. The pictures are those of pytorch/vision, references/detection/presets.py, ``lsj``: large scale jitter of
0.1 to 2, a crop of fixed size filled up with (123, 117, 104), flips (at 1,024 there); CenterNet's own colour jitter,
without its noise along the principal components. Its third head, for the offsets that the stride takes away, is left
out, and a centre's bump is a sixth as wide as the box, where the paper has it as wide as boxes still overlap by 0.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common import FEATURES, Learner, Setting, normalised, objects, run
from torch import Tensor, nn

from ffprep import Loader, OrderOption
from ffprep.fields.dense import BoxesDecoder, BoxValuesDecoder
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import ColorJitter, RandomHorizontalFlip, ScaleJitterRGBImageDecoder, ToTensor

PAPER, DEMO = Setting(512, 128, classes=80), Setting(64, 8, classes=4)
STRIDE = 4


def make_loader(path: Path, setting: Setting) -> Loader:
    image = [
        ScaleJitterRGBImageDecoder(setting.size, (0.1, 2.0), fill=(123, 117, 104)),
        RandomHorizontalFlip(),
        ColorJitter(0.4, 0.4, 0.4),
        *normalised(),
    ]
    pipelines = {
        "image": image,
        "mask": None,
        "boxes": PipelineSpec("boxes", BoxesDecoder(count=100, format="cxcywh"), [ToTensor()], draws="image"),
        "labels": PipelineSpec("labels", BoxValuesDecoder(fill=-1), [ToTensor()], draws="boxes"),
    }
    return Loader(
        path, setting.batch_size, order=OrderOption.RANDOM, seed=0, pipelines=pipelines, device=setting.device
    )


class CenterNet(Learner):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.dense = nn.Sequential(*list(self.encoder)[:6])
        self.heat, self.sides = nn.Conv2d(FEATURES, setting.classes, 1), nn.Conv2d(FEATURES, 2, 1)
        nn.init.constant_(self.heat.bias, -2.19)  # type: ignore[arg-type]  # probabilities of 0.1 at first

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 5e-4 * self.setting.batch_size / 128)

    def forward(self, images: Tensor, found: Any, labels: Tensor) -> Tensor:
        features = self.dense(images)
        heat, sides = self.heat(features).sigmoid().clamp(1e-4, 1 - 1e-4), self.sides(features)
        boxes, real = found.boxes / STRIDE, found.mask
        height, width = heat.shape[2:]
        across = torch.arange(width, device=boxes.device) + 0.5
        down = torch.arange(height, device=boxes.device) + 0.5
        # A bump around each box's centre, a sixth as wide as the box; padding has none.
        spread = (boxes[..., 2:] / 6).clamp(min=0.5)[..., None]
        x = (-(((across - boxes[..., 0, None]) / spread[..., 0, :]) ** 2) / 2).exp()
        y = (-(((down - boxes[..., 1, None]) / spread[..., 1, :]) ** 2) / 2).exp()
        bumps = (y[..., :, None] * x[..., None, :]) * real[..., None, None]
        kinds = nn.functional.one_hot(labels.clamp(min=0), heat.shape[1]).to(heat.dtype) * real[..., None]
        wanted = torch.einsum("bnhw,bnc->bnchw", bumps, kinds).amax(1)
        places = (boxes[..., 1].long().clamp(0, height - 1) * width + boxes[..., 0].long().clamp(0, width - 1))[real]
        rows = torch.nonzero(real)[:, 0]
        at = heat.flatten(2)[rows, labels[real], places]
        count = real.sum().clamp(min=1)
        there = -((1 - at) ** 2 * at.log()).sum()
        elsewhere = -((1 - wanted) ** 4 * heat**2 * (1 - heat).log()).sum()
        apart = (sides.flatten(2)[rows, :, places] - boxes[real][:, 2:]).abs().sum()
        return (there + elsewhere + 0.1 * apart) / count


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, CenterNet, PAPER, DEMO, arguments, objects)


if __name__ == "__main__":
    main()

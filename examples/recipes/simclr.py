"""SimCLR: two views of each image, from one decode.

Chen, Kornblith, Norouzi, Hinton, "A simple framework for contrastive learning of visual representations", 2020,
appendix A, and google-research/simclr, data_util.py: crops of 0.08 to 1 of the area (bicubic), flip, colour jitter of
strength 1 (0.8, 0.8, 0.8, 0.2) with 0.8, grey with 0.2, a blur of a tenth of the side, sigma 0.1 to 2, with 0.5;
temperature 0.1, LARS of 0.3 for each 256 images of a batch of 4,096, weight decay 1e-6 (the repository's command has
1e-4). Brightness is multiplied, as in version 2 of the repository. torch has no LARS: SGD stands for it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common import Learner, Setting, head, normalised, run
from torch import Tensor, nn

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import ColorJitter, GaussianBlur, RandomGrayscale, RandomHorizontalFlip

PAPER, DEMO = Setting(224, 4096), Setting(64, 16)
TEMPERATURE = 0.1


def view(size: int) -> list[Any]:
    return [
        RandomResizedCropRGBImageDecoder(size, scale=(0.08, 1.0), interpolation="bicubic"),
        RandomHorizontalFlip(),
        ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        RandomGrayscale(0.2),
        GaussianBlur(size // 10 | 1, (0.1, 2.0), p=0.5),
        *normalised(),
    ]


def make_loader(path: Path, setting: Setting) -> Loader:
    pipelines = {
        "image": view(setting.size),
        "second": PipelineSpec("image", transforms=view(setting.size)),
        "label": None,
    }
    return Loader(
        path, setting.batch_size, order=OrderOption.RANDOM, seed=0, pipelines=pipelines, device=setting.device
    )


class SimClr(Learner):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.project = head(128)

    def optimizer(self) -> torch.optim.Optimizer:
        rate = 0.3 * self.setting.batch_size / 256
        return torch.optim.SGD(self.parameters(), rate, momentum=0.9, weight_decay=1e-6)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        z = nn.functional.normalize(self.project(self.encoder(torch.cat([first, second]))), dim=1)
        similar = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
        partner = torch.arange(len(z), device=z.device).roll(len(first))
        return nn.functional.cross_entropy(similar, partner)


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, SimClr, PAPER, DEMO, arguments)


if __name__ == "__main__":
    main()

"""BYOL: two views, one of them solarised at times and hardly ever blurred, and an average of the model as teacher.

Grill et al., "Bootstrap your own latent", 2020, appendix B, table 6, and google-deepmind/deepmind-research, byol: crops
of 0.08 to 1 of the area (bicubic, utils/dataset.py), jitter (0.4, 0.4, 0.2, 0.1) with 0.8, grey with 0.2, a blur of 23
pixels with 1.0 and 0.1, solarising from half the range on with 0.0 and 0.2 (utils/augmentations.py); for 1,000 epochs
the average's momentum begins at 0.996, LARS of 0.2 for each 256 images of a batch of 4,096, weight decay 1.5e-6
(the presets of its configuration). Its jitter adds to the brightness, this one multiplies it. torch has no LARS: SGD
stands for it here.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common import Learner, Setting, follow, head, normalised, run
from torch import Tensor, nn

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import ColorJitter, GaussianBlur, RandomGrayscale, RandomHorizontalFlip, RandomSolarize

PAPER, DEMO = Setting(224, 4096), Setting(64, 16)


def view(size: int, blur: float, solarize: float) -> list[Any]:
    return [
        RandomResizedCropRGBImageDecoder(size, scale=(0.08, 1.0), interpolation="bicubic"),
        RandomHorizontalFlip(),
        ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8),
        RandomGrayscale(0.2),
        GaussianBlur(23, (0.1, 2.0), p=blur),
        RandomSolarize(128, p=solarize),
        *normalised(),
    ]


def make_loader(path: Path, setting: Setting) -> Loader:
    second = PipelineSpec("image", transforms=view(setting.size, blur=0.1, solarize=0.2))
    pipelines = {"image": view(setting.size, blur=1.0, solarize=0.0), "second": second, "label": None}
    return Loader(
        path, setting.batch_size, order=OrderOption.RANDOM, seed=0, pipelines=pipelines, device=setting.device
    )


class Byol(Learner):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.online = nn.Sequential(self.encoder, head(64))
        self.predict = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64))
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def optimizer(self) -> torch.optim.Optimizer:
        learned = [*self.online.parameters(), *self.predict.parameters()]
        return torch.optim.SGD(learned, 0.2 * self.setting.batch_size / 256, momentum=0.9, weight_decay=1.5e-6)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        predicted = self.predict(self.online(torch.cat([first, second])))
        with torch.no_grad():
            wanted = self.target(torch.cat([second, first]))
        return 2 - 2 * nn.functional.cosine_similarity(predicted, wanted).mean()

    def after_step(self) -> None:
        follow(self.target, self.online, 0.996)


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, Byol, PAPER, DEMO, arguments)


if __name__ == "__main__":
    main()

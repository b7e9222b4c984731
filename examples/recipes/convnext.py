"""ConvNeXt: RandAugment as in timm, mixup, CutMix, random erasing, label smoothing.

Liu et al., "A ConvNet for the 2020s", 2022, table 5, and facebookresearch/ConvNeXt, main.py: crops at 224
(``train_interpolation`` bicubic, which timm then takes for the policy, too), ``aa`` rand-m9-mstd0.5-inc1, ``mixup``
0.8, ``cutmix`` 1.0, ``mixup_switch_prob`` 0.5, ``reprob`` 0.25 with ``remode`` pixel, ``smoothing`` 0.1, AdamW with
``lr`` 4e-3 for a batch of 4,096, ``weight_decay`` 0.05, 300 epochs of which ``warmup_epochs`` 20, ``model_ema_decay``
0.9999 (the schedule and ``drop_path`` are left out). timm erases with normal noise after normalisation, here it is
noise over all levels before.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from common import FEATURES, Learner, Setting, follow, normalised, run
from torch import Tensor, nn

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.transforms import (
    CutMix,
    Mixup,
    MixupOrCutMix,
    MixupToOneHot,
    RandomErasing,
    RandomHorizontalFlip,
    ToTensor,
    timm_policy,
)

PAPER, DEMO = Setting(224, 4096), Setting(64, 16, classes=6)


def make_loader(path: Path, setting: Setting) -> Loader:
    mix = MixupOrCutMix(Mixup(0.8), CutMix(1.0, setting.size))
    image = [
        RandomResizedCropRGBImageDecoder(setting.size, interpolation="bicubic"),
        RandomHorizontalFlip(),
        timm_policy("rand-m9-mstd0.5-inc1", interpolation="bicubic", fill=(124, 116, 104)),
        RandomErasing(0.25, (0.02, 1 / 3), value="random"),
        *normalised(),
        mix.images,
    ]
    label = [IntDecoder(), mix.labels, ToTensor(), MixupToOneHot(setting.classes)]
    pipelines = {"image": image, "label": label}
    return Loader(
        path, setting.batch_size, order=OrderOption.RANDOM, seed=0, pipelines=pipelines, device=setting.device
    )


class Classifier(Learner):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.classify = nn.Linear(FEATURES, setting.classes)
        self.average = copy.deepcopy(self.encoder).requires_grad_(False)
        self.loss = nn.CrossEntropyLoss(label_smoothing=0.1)

    def optimizer(self) -> torch.optim.Optimizer:
        learned = [*self.encoder.parameters(), *self.classify.parameters()]
        return torch.optim.AdamW(learned, 4e-3 * self.setting.batch_size / 4096, weight_decay=0.05)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = self.loss(self.classify(self.encoder(images)), targets)
        return loss

    def after_step(self) -> None:
        follow(self.average, self.encoder, 0.9999)


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, Classifier, PAPER, DEMO, arguments)


if __name__ == "__main__":
    main()

"""DeiT III: vision transformers with 3-Augment and a binary loss.

Touvron, Cord, Jegou, "DeiT III: Revenge of the ViT", 2022, with the values of the command for ViT-S on ImageNet-1k
(facebookresearch/deit, README_revenge.md, 8 GPUs): ``--batch 256 --lr 4e-3 --unscale-lr --epochs 800 --weight-decay
0.05 --input-size 224 --reprob 0.0 --smoothing 0.0 --warmup-epochs 5 --opt fusedlamb --mixup .8 --cutmix 1.0
--drop-path 0.05 --repeated-aug --bce-loss --color-jitter 0.3 --ThreeAugment``. Crops of 0.08 to 1 of the area
(bicubic), a flip, one of grey, solarised or blurred, then colour jitter (augment.py); each image 3 times (samplers.py);
a class that is in a mixed image counts in full (engine.py). torch has no LAMB: AdamW stands for it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from common import FEATURES, Learner, Setting, normalised, run
from torch import Tensor, nn

from ffprep import Loader, RepeatedOrder
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.transforms import (
    ColorJitter,
    CutMix,
    Mixup,
    MixupOrCutMix,
    MixupToOneHot,
    RandomHorizontalFlip,
    ThreeAugment,
    ToTensor,
)

PAPER, DEMO = Setting(224, 2048), Setting(64, 16, classes=6)


def make_loader(path: Path, setting: Setting) -> Loader:
    mix = MixupOrCutMix(Mixup(0.8), CutMix(1.0, setting.size))
    image = [
        RandomResizedCropRGBImageDecoder(setting.size, interpolation="bicubic"),
        RandomHorizontalFlip(),
        ThreeAugment(),
        ColorJitter(0.3, 0.3, 0.3),
        *normalised(),
        mix.images,
    ]
    label = [IntDecoder(), mix.labels, ToTensor(), MixupToOneHot(setting.classes)]
    pipelines = {"image": image, "label": label}
    return Loader(path, setting.batch_size, order=RepeatedOrder(3), seed=0, pipelines=pipelines, device=setting.device)


class Classifier(Learner):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.classify = nn.Linear(FEATURES, setting.classes)

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), 4e-3 * self.setting.batch_size / 2048, weight_decay=0.05)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        present = (targets > 0).to(targets.dtype)  # both classes of a mixed image count in full
        return nn.functional.binary_cross_entropy_with_logits(self.classify(self.encoder(images)), present)


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, Classifier, PAPER, DEMO, arguments)


if __name__ == "__main__":
    main()

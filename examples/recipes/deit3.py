"""DeiT III: vision transformers with 3-Augment and a binary loss.

Touvron, Cord, Jegou, "DeiT III: Revenge of the ViT", 2022, for ImageNet-1k: random resized crops at 192 (bicubic), one
of grey, solarised or blurred, colour jitter 0.3, mixup 0.8 or CutMix 1.0, repeated augmentation, no erasing, no
smoothing; LAMB of 3e-3 for a batch of 2,048, weight decay 0.02 to 0.05, 400 or 800 epochs, then 20 at 224. torch has
no LAMB: AdamW stands for it here.
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

PAPER, DEMO = Setting(192, 2048), Setting(64, 16, classes=6)


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
        return torch.optim.AdamW(self.parameters(), 3e-3 * self.setting.batch_size / 2048, weight_decay=0.02)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        present = (targets > 0).to(targets.dtype)  # both classes of a mixed image count in full
        return nn.functional.binary_cross_entropy_with_logits(self.classify(self.encoder(images)), present)


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, Classifier, PAPER, DEMO, arguments)


if __name__ == "__main__":
    main()

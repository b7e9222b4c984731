"""ResNet-50 by torchvision's second recipe: 80.9 % on ImageNet.

Vryniotis, "How to train state-of-the-art models using TorchVision's latest primitives", PyTorch blog, 2021, whose
command is, for 8 GPUs: ``--batch-size 128 --lr 0.5 --lr-scheduler cosineannealinglr --lr-warmup-epochs 5 --auto-augment
ta_wide --epochs 600 --random-erase 0.1 --weight-decay 0.00002 --norm-weight-decay 0.0 --label-smoothing 0.1
--mixup-alpha 0.2 --cutmix-alpha 1.0 --train-crop-size 176 --model-ema --val-resize-size 232 --ra-sampler --ra-reps 4``.
TrivialAugment is bilinear, as crops are (pytorch/vision, references/classification/presets.py). The schedule, the
average of the weights and the exception of norms from weight decay are left out here. Evaluate with
``imagenet_val(path, size=224, resize=232)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from common import FEATURES, MEAN, Learner, Setting, normalised, run
from torch import Tensor, nn

from ffprep import Loader, RepeatedOrder
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.transforms import (
    CutMix,
    Mixup,
    MixupOrCutMix,
    MixupToOneHot,
    RandomErasing,
    RandomHorizontalFlip,
    ToTensor,
    TrivialAugmentWide,
)

PAPER, DEMO = Setting(176, 1024), Setting(64, 16, classes=6)


def make_loader(path: Path, setting: Setting) -> Loader:
    mix = MixupOrCutMix(Mixup(0.2), CutMix(1.0, setting.size))
    image = [
        RandomResizedCropRGBImageDecoder(setting.size),
        RandomHorizontalFlip(),
        TrivialAugmentWide(interpolation="bilinear"),
        RandomErasing(0.1, value=MEAN),  # the mean is 0 once it is normalised
        *normalised(),
        mix.images,
    ]
    label = [IntDecoder(), mix.labels, ToTensor(), MixupToOneHot(setting.classes)]
    pipelines = {"image": image, "label": label}
    return Loader(path, setting.batch_size, order=RepeatedOrder(4), seed=0, pipelines=pipelines, device=setting.device)


class Classifier(Learner):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.classify = nn.Linear(FEATURES, setting.classes)
        self.loss = nn.CrossEntropyLoss(label_smoothing=0.1)

    def optimizer(self) -> torch.optim.Optimizer:
        rate = 0.5 * self.setting.batch_size / 1024
        return torch.optim.SGD(self.parameters(), rate, momentum=0.9, weight_decay=2e-5)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = self.loss(self.classify(self.encoder(images)), targets)
        return loss


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, Classifier, PAPER, DEMO, arguments)


if __name__ == "__main__":
    main()

"""CIFAR-10 in the style of airbench: flips that alternate from epoch to epoch, shifts by two pixels.

Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, and KellerJordan/cifar10-airbench,
legacy/airbench94.py: whether an image is mirrored is drawn once and changes with each epoch, so that two epochs show
both; ``translate`` 2 pixels of the mirrored border; ``batch_size`` 1,024, ``label_smoothing`` 0.2, Nesterov's SGD with
``lr`` 11.5 for 1,024 images, ``momentum`` 0.85 and ``weight_decay`` 0.0153, both apart from the momentum's factor,
``train_epochs`` 9.9. airbench96.py shifts by 4 and adds ``Cutout(12, (125, 123, 114))``, for 37 epochs.
``with_index=True`` tells which images a batch has, and so which of them to mirror.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from common import CIFAR, FEATURES, Learner, Setting, normalised, run
from torch import Tensor, nn

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import IntDecoder, ResizeRGBImageDecoder
from ffprep.transforms import RandomCrop, Squeeze, ToTensor

PAPER, DEMO = Setting(32, 1024, classes=10), Setting(32, 24, classes=6)


def make_loader(path: Path, setting: Setting) -> Loader:
    image = [
        ResizeRGBImageDecoder(setting.size),  # stored pixels of this size come out as they are
        RandomCrop(setting.size, 2, padding_mode="reflect"),
        *normalised(*CIFAR),
    ]
    pipelines = {"image": image, "label": [IntDecoder(), ToTensor(), Squeeze()]}
    return Loader(
        path,
        setting.batch_size,
        order=OrderOption.RANDOM,
        seed=0,
        pipelines=pipelines,
        device=setting.device,
        with_index=True,
    )


class Airbench(Learner):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.classify = nn.Sequential(self.encoder, nn.Linear(FEATURES, setting.classes))
        self.loss = nn.CrossEntropyLoss(label_smoothing=0.2)
        self.register_buffer(
            "shown", torch.randint(0, 2, (1 << 16,))
        )  # how often each image has been shown, from 0 or 1

    def optimizer(self) -> torch.optim.Optimizer:
        # 11.5 is for a mean over 1,024 images of a scaled network; what is usual for other networks is below 1.
        return torch.optim.SGD(self.parameters(), 0.1, momentum=0.85, nesterov=True, weight_decay=5e-4)

    def forward(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        mirrored = (self.shown[index] % 2 == 1)[:, None, None, None]
        self.shown[index] += 1
        loss: Tensor = self.loss(self.classify(torch.where(mirrored, images.flip(3), images)), labels)
        return loss


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, Airbench, PAPER, DEMO, arguments)


if __name__ == "__main__":
    main()

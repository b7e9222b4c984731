"""FixMatch: a few labelled images, and many without labels, seen weakly and strongly augmented.

Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence", 2020, for CIFAR-10, and
google-research/fixmatch, fixmatch.py: ``batch`` 64 labelled images and ``uratio`` 7 times as many others; flips and
shifts by up to 12.5 % (weak), RandAugment and Cutout of half a side on top of these (strong); labels of the weak view
count from ``confidence`` 0.95 on; SGD with ``lr`` 0.03 and Nesterov's momentum 0.9, ``wd`` 5e-4. RandAugment has the
paper's 14 operations with their ranges, as in kekmodel/FixMatch-pytorch, dataset/randaugment.py: two, each with 0.5, of
a strength that is drawn from its whole range, where that repository draws one of nine strengths. Cutout's square lies
within the image; there it may lie across its edge. Left out are the rate's fall with cos(7 pi k / 16 K) and the average
of the weights (0.999). ``stratified`` chooses the labelled images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from common import CIFAR, FEATURES, Learner, Setting, normalised, run
from torch import Tensor, nn

from ffprep import Loader, OrderOption
from ffprep.beton.reader import Reader
from ffprep.fields.decoders import IntDecoder, ResizeRGBImageDecoder
from ffprep.loader.folds import stratified
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import (
    AutoContrast,
    Brightness,
    Color,
    Contrast,
    Cutout,
    Equalize,
    Posterize,
    RandomCrop,
    RandomHorizontalFlip,
    Rotate,
    Sharpness,
    ShearX,
    ShearY,
    Solarize,
    Squeeze,
    ToTensor,
    TranslateX,
    TranslateY,
)
from ffprep.transforms.policies.policy import Candidate, Policy, PolicyStep

PAPER, DEMO = Setting(32, 64, classes=10), Setting(32, 6, classes=6)
LABELLED = 250
OTHERS = 7
THRESHOLD = 0.95


def weak(size: int) -> list[Any]:
    return [ResizeRGBImageDecoder(size), RandomHorizontalFlip(), RandomCrop(size, size // 8, padding_mode="reflect")]


def rand_augment() -> Policy:
    """Two of FixMatch's operations; what a magnitude from 0 to 10 makes of each is in the table."""
    whole = "towards zero"
    pool = [
        Candidate("Identity"),
        Candidate("AutoContrast", AutoContrast()),
        Candidate("Equalize", Equalize()),
        *(Candidate(kind.__name__, kind(1), 0.09, 0.05) for kind in (Brightness, Color, Contrast, Sharpness)),
        Candidate("Posterize", Posterize(8), 0.4, 4, whole),
        Candidate("Rotate", Rotate(0), 3, 0, whole, negative=0.5),
        Candidate("ShearX", ShearX(0), 0.03, negative=0.5),
        Candidate("ShearY", ShearY(0), 0.03, negative=0.5),
        Candidate("Solarize", Solarize(256), -25.6, 256, whole),
        Candidate("TranslateX", TranslateX(0), lambda height, width: 0.03 * width, 0, whole, negative=0.5),
        Candidate("TranslateY", TranslateY(0), lambda height, width: 0.03 * height, 0, whole, negative=0.5),
    ]
    return Policy(pool, [[PolicyStep("", 0.5, 10)] * 2], noise="uniform")


class Both:
    """Two loaders as one: labelled images and their labels, then two views of others."""

    def __init__(self, path: Path, setting: Setting) -> None:
        with Reader(path) as reader:
            labels = reader.column("label")
            some = stratified(labels, max(setting.batch_size, min(LABELLED, len(labels) // 10)))
        options: dict[str, Any] = {"order": OrderOption.RANDOM, "seed": 0, "device": setting.device}
        size = setting.size
        label = [IntDecoder(), ToTensor(), Squeeze()]
        strong = [*weak(size), rand_augment(), Cutout(size // 2, (127, 127, 127)), *normalised(*CIFAR)]
        self.labelled = Loader(
            path,
            setting.batch_size,
            indices=some,
            pipelines={"image": [*weak(size), *normalised(*CIFAR)], "label": label},
            **options,
        )
        views = {
            "image": [*weak(size), *normalised(*CIFAR)],
            "strong": PipelineSpec("image", transforms=strong),
            "label": None,
        }
        self.others = Loader(path, OTHERS * setting.batch_size, pipelines=views, **options)

    def forever(self) -> Iterator[tuple[Tensor, ...]]:
        for one, two in zip(self.labelled.forever(), self.others.forever(), strict=True):
            yield *one, *two

    def __enter__(self) -> Both:
        return self

    def __exit__(self, *unused: object) -> None:
        self.labelled.close()
        self.others.close()


class FixMatch(Learner):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.classify = nn.Sequential(self.encoder, nn.Linear(FEATURES, setting.classes))

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.03, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def forward(self, images: Tensor, labels: Tensor, weak_view: Tensor, strong_view: Tensor) -> Tensor:
        first, second, third = self.classify(torch.cat([images, weak_view, strong_view])).split(
            [len(images), len(weak_view), len(strong_view)]
        )
        confidence, pseudo = second.detach().softmax(1).max(1)
        others = nn.functional.cross_entropy(third, pseudo, reduction="none")
        return nn.functional.cross_entropy(first, labels) + (others * (confidence >= THRESHOLD)).mean()


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(Both, FixMatch, PAPER, DEMO, arguments)


if __name__ == "__main__":
    main()

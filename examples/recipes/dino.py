"""DINO: two large crops and eight small ones of each image, all from one decode.

Caron et al., "Emerging properties in self-supervised vision transformers", 2021, and facebookresearch/dino,
main_dino.py: crops of 0.4 to 1 of the area at 224 and of 0.05 to 0.4 at 96 (bicubic), jitter (0.4, 0.4, 0.2, 0.1) with
0.8, grey with 0.2, blur with 1.0, 0.1 and 0.5, solarising with 0.2 in the second; temperatures 0.04 (teacher) and 0.1,
momentum 0.996 of the teacher and 0.9 of the centre; AdamW of 5e-4 for each 256 images of a batch of 1,024, weight decay
0.04, which grows to 0.4. The schedules, the clipping of gradients and the frozen last layer are left out. Pillow's blur
of a radius of 0.1 to 2 is a Gaussian of that sigma, cut here at 3 sigma.
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

PAPER, DEMO = Setting(224, 1024), Setting(64, 8)
SMALL = 8
OUT = 128  # 65,536 in the paper


def view(size: int, scale: tuple[float, float], blur: float, solarize: float = 0.0) -> list[Any]:
    return [
        RandomResizedCropRGBImageDecoder(size, scale=scale, interpolation="bicubic"),
        RandomHorizontalFlip(),
        ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8),
        RandomGrayscale(0.2),
        GaussianBlur(13, (0.1, 2.0), p=blur),
        *([RandomSolarize(128, p=solarize)] if solarize else []),
        *normalised(),
    ]


def make_loader(path: Path, setting: Setting) -> Loader:
    second = view(setting.size, (0.4, 1.0), blur=0.1, solarize=0.2)
    pipelines: dict[str, Any] = {
        "image": view(setting.size, (0.4, 1.0), blur=1.0),
        "second": PipelineSpec("image", transforms=second),
        "label": None,
    }
    for number in range(SMALL):
        small = view(setting.size * 96 // 224, (0.05, 0.4), blur=0.5)
        pipelines[f"small{number}"] = PipelineSpec("image", transforms=small)
    return Loader(
        path, setting.batch_size, order=OrderOption.RANDOM, seed=0, pipelines=pipelines, device=setting.device
    )


class Dino(Learner):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.student = nn.Sequential(self.encoder, head(OUT))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(OUT))

    def optimizer(self) -> torch.optim.Optimizer:
        rate = 5e-4 * self.setting.batch_size / 256
        return torch.optim.AdamW(self.student.parameters(), rate, weight_decay=0.04)

    def forward(self, *views: Tensor) -> Tensor:
        large, small = torch.cat(views[:2]), torch.cat(views[2:])
        seen = torch.cat([self.student(large), self.student(small)]).chunk(len(views))
        with torch.no_grad():
            taught = self.teacher(large)
            wanted = ((taught - self.centre) / 0.04).softmax(1).chunk(2)
            self.centre.lerp_(taught.mean(0), 0.1)
        losses = [
            nn.functional.cross_entropy(s / 0.1, t) for i, t in enumerate(wanted) for j, s in enumerate(seen) if i != j
        ]
        return torch.stack(losses).mean()

    def after_step(self) -> None:
        follow(self.teacher, self.student, 0.996)


def main(arguments: Sequence[str] | None = None) -> list[float]:
    return run(make_loader, Dino, PAPER, DEMO, arguments)


if __name__ == "__main__":
    main()

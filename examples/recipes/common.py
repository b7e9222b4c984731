"""What the recipes share: options, data, a loop over some steps.

Each recipe is a function that makes its loader and a module whose ``forward`` takes a batch and returns the loss.
Without ``--data`` it takes a few steps on the demo photographs, at a small size; with it, the paper's size and batch
size are the defaults. Models are the tiny ones of ``examples/models.py``: put yours in their place.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import demo_data
from dense_targets import IGNORED, write_objects
from models import ImageEncoder

from ffprep.transforms import NormalizeImage, ToTensor, ToTorchImage

__all__ = [
    "CIFAR",
    "FEATURES",
    "IGNORED",
    "MEAN",
    "Learner",
    "Setting",
    "follow",
    "head",
    "normalised",
    "objects",
    "run",
]

MEAN, STD = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
CIFAR = np.array([0.4914, 0.4822, 0.4465]) * 255, np.array([0.2470, 0.2435, 0.2616]) * 255
"""Mean and deviation of CIFAR-10."""
FEATURES = 64


@dataclass(frozen=True)
class Setting:
    """What depends on the machine and on the paper: side of the images, samples in a batch, number of classes."""

    size: int
    batch_size: int
    classes: int = 1000
    device: str | None = None
    seed: int = 0


class Learner(nn.Module):
    """A model with its loss. ``forward`` takes the members of a batch."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.setting = setting
        self.encoder = ImageEncoder(features=FEATURES)

    def optimizer(self) -> torch.optim.Optimizer:
        raise NotImplementedError

    def after_step(self) -> None:
        """Whatever follows the optimizer's step, such as the average of weights."""


def normalised(mean: Any = MEAN, std: Any = STD) -> list[Any]:
    """The end of an image's pipeline."""
    return [NormalizeImage(mean, std, np.float32), ToTensor(), ToTorchImage()]


def objects(folder: Path) -> Path:
    """Photographs with ellipses as objects: fields ``image``, ``mask``, ``boxes`` and ``labels``."""
    return write_objects(demo_data.images(folder, 48), folder / "objects.beton")


def head(out: int, hidden: int = 128) -> nn.Sequential:
    """A projection head of two layers."""
    layers = nn.Linear(FEATURES, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, out)
    return nn.Sequential(*layers)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, momentum: float) -> None:
    """Move the weights of an average of models towards a model's."""
    for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, 1 - momentum)


def run(
    make_loader: Callable[[Path, Setting], Any],
    make_learner: Callable[[Setting], Learner],
    paper: Setting,
    demo: Setting,
    arguments: Sequence[str] | None = None,
    make_data: Callable[[Path], Path] = demo_data.images,
) -> list[float]:
    """Train for some steps and return their losses."""
    module = sys.modules[make_loader.__module__]
    parser = argparse.ArgumentParser(description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a .beton file; the demo photographs by default")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--classes", type=int)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else None)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        default = paper if options.data else demo
        setting = Setting(
            options.size or default.size,
            options.batch_size or default.batch_size,
            options.classes or default.classes,
            options.device,
        )
        torch.manual_seed(setting.seed)
        learner = make_learner(setting)
        learner.to(setting.device or "cpu")
        optimizer = learner.optimizer()
        losses = []
        with make_loader(options.data or make_data(Path(folder)), setting) as loader:
            for step, batch in zip(range(options.steps), loader.forever(), strict=False):
                loss: Tensor = learner(*batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                learner.after_step()
                losses.append(loss.item())
                print(f"step {step + 1}: loss {losses[-1]:.3f}")
    return losses

"""A reader of .beton files for lightly: its transforms, collate functions and losses stay as they are.

pip install lightly
python examples/integrations/lightly_beton.py train.beton

lightly's transforms take PIL images, which one Python process decodes whole, as from a folder. Where that is what
training waits for, `ffprep.transforms` makes both views in the loader's threads: see examples/recipes/simclr.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightly.loss
import torch
import torchvision
from lightly.data import LightlyDataset
from lightly.transforms import SimCLRTransform

import ffprep


class BetonImages(torch.utils.data.Dataset[tuple[Any, int]]):
    """Images and labels of .beton files, as `LightlyDataset.from_torch_dataset` takes them."""

    def __init__(self, path: str | Path, transform: Callable[[Any], Any] | None = None) -> None:
        self.samples, self.transform = ffprep.Dataset(path, raw=True), transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        sample = self.samples[index]
        return sample["image"] if self.transform is None else self.transform(sample["image"]), sample.get("label", -1)


def main(path: str, size: int = 64, steps: int = 3) -> None:
    dataset = LightlyDataset.from_torch_dataset(BetonImages(path), transform=SimCLRTransform(input_size=size))
    loader = torch.utils.data.DataLoader(dataset, batch_size=8, shuffle=True, drop_last=True, num_workers=2)
    model, loss = torchvision.models.resnet18(num_classes=128), lightly.loss.NTXentLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.06)
    for step, ((one, other), _labels, _names) in zip(range(steps), loader, strict=False):
        value = loss(model(one), model(other))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        print(f"step {step + 1}: loss {value.item():.3f}")


if __name__ == "__main__":
    main(sys.argv[1])

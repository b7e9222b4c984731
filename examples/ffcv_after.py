"""The training script of ffcv_before.py with ffcv's name replaced, and nothing else."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from models import ImageEncoder
from torch import nn

from ffprep.fields.decoders import CenterCropRGBImageDecoder, IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.loader import Loader, OrderOption
from ffprep.transforms import NormalizeImage, RandomHorizontalFlip, Squeeze, ToTensor, ToTorchImage

MEAN = np.array([0.485, 0.456, 0.406]) * 255
STD = np.array([0.229, 0.224, 0.225]) * 255


def make_loader(path: str, batch_size: int, size: int, train: bool) -> Loader:
    if train:
        image = [RandomResizedCropRGBImageDecoder((size, size)), RandomHorizontalFlip()]
    else:
        image = [CenterCropRGBImageDecoder((size, size), ratio=224 / 256)]
    image += [NormalizeImage(MEAN, STD, np.float32), ToTensor(), ToTorchImage()]
    return Loader(
        path,
        batch_size=batch_size,
        num_workers=1,
        order=OrderOption.RANDOM if train else OrderOption.SEQUENTIAL,
        seed=0,
        drop_last=train,
        pipelines={"image": image, "label": [IntDecoder(), ToTensor(), Squeeze()]},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("val")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    train = make_loader(options.train, options.batch_size, options.size, True)
    val = make_loader(options.val, options.batch_size, options.size, False)
    torch.manual_seed(0)
    model = nn.Sequential(ImageEncoder(), nn.Linear(64, 1000))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for epoch in range(options.epochs):
        for images, labels in train:
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        right = seen = 0
        with torch.no_grad():
            for images, labels in val:
                right += int((model(images).argmax(1) == labels).sum())
                seen += len(labels)
        print(f"epoch {epoch}: loss {loss.item():.3f}, {right} of {seen} right")


if __name__ == "__main__":
    main()

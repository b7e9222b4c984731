"""Small raw pictures, as a CIFAR script of ffcv's users loads them: two loaders used in turn, then torch modules."""

import sys
from pathlib import Path

import numpy as np
import torch as ch
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.decoders import IntDecoder, SimpleRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.pipeline.operation import Operation
from ffcv.transforms import (
    Convert,
    Cutout,
    RandomHorizontalFlip,
    RandomTranslate,
    ToDevice,
    ToTensor,
    ToTorchImage,
)
from ffcv.transforms.common import Squeeze
from ffcv.writer import DatasetWriter

MEAN, STD = [125.0, 123.0, 114.0], [51.0, 50.0, 52.0]


class Normalize(ch.nn.Module):
    def forward(self, x):
        mean, std = (ch.tensor(v, dtype=x.dtype).view(3, 1, 1) for v in (MEAN, STD))
        return (x - mean) / std


class Pictures:
    def __len__(self):
        return 40

    def __getitem__(self, i):
        return np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8), i % 10


def make_loaders(folder):
    device = ch.device("cpu")
    loaders = {}
    for name in ("train", "test"):
        path = str(folder / f"{name}.beton")
        writer = DatasetWriter(path, {"image": RGBImageField(), "label": IntField()}, num_workers=1)
        writer.from_indexed_dataset(Pictures())
        label_pipeline: list[Operation] = [IntDecoder(), ToTensor(), ToDevice(device), Squeeze()]
        image_pipeline: list[Operation] = [SimpleRGBImageDecoder()]
        if name == "train":
            fill = tuple(map(int, MEAN))
            image_pipeline.extend([RandomHorizontalFlip(), RandomTranslate(padding=2, fill=fill), Cutout(4, fill)])
        image_pipeline.extend(
            [ToTensor(), ToDevice(device, non_blocking=True), ToTorchImage(), Convert(ch.float32), Normalize()]
        )
        loaders[name] = Loader(
            path,
            batch_size=16,
            num_workers=1,
            order=OrderOption.RANDOM if name == "train" else OrderOption.SEQUENTIAL,
            drop_last=name == "train",
            pipelines={"image": image_pipeline, "label": label_pipeline},
        )
    return loaders


def main(folder):
    loaders = make_loaders(Path(folder))
    found = {}
    for epoch in range(2):
        seen = 0
        for images, labels in loaders["train"]:
            assert images.shape == (16, 3, 32, 32) and images.dtype == ch.float32 and labels.shape == (16,)
            assert images.is_contiguous(memory_format=ch.channels_last) and abs(float(images.mean())) < 1
            seen += len(labels)
        assert seen == 32 == len(loaders["train"]) * 16
        batches = [(images.clone(), labels.clone()) for images, labels in loaders["test"]]
        found[f"images{epoch}"] = np.concatenate([images.numpy() for images, _ in batches])
        found[f"labels{epoch}"] = np.concatenate([labels.numpy() for _, labels in batches])
    np.savez(Path(folder) / "found.npz", **found)


if __name__ == "__main__":
    main(sys.argv[1])

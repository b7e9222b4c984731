"""Photographs as ffcv's ImageNet recipe loads them: growing resolution, half precision, centre crops to evaluate.

Stock ffcv runs this on a GPU only: it normalises on the CPU nowhere but before ToTensor().
"""

import sys
from pathlib import Path

import numpy as np
import torch as ch
from ffcv.fields.basics import IntDecoder
from ffcv.fields.rgb_image import CenterCropRGBImageDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.pipeline.operation import Operation
from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, Squeeze, ToDevice, ToTensor, ToTorchImage

MEAN = np.array([0.485, 0.456, 0.406]) * 255
STD = np.array([0.229, 0.224, 0.225]) * 255
DEVICE = ch.device("cpu")


class Trainer:
    def __init__(self, path):
        labels = [IntDecoder(), ToTensor(), Squeeze(), ToDevice(DEVICE, non_blocking=True)]
        tail = [
            ToTensor(),
            ToDevice(DEVICE, non_blocking=True),
            ToTorchImage(),
            NormalizeImage(MEAN, STD, np.float16),
        ]
        resolution = self.resolution(0)
        self.decoder = RandomResizedCropRGBImageDecoder((resolution, resolution))
        train: list[Operation] = [self.decoder, RandomHorizontalFlip(), *tail]
        self.train_loader = Loader(
            path,
            batch_size=8,
            num_workers=2,
            order=OrderOption.QUASI_RANDOM,
            os_cache=False,
            drop_last=True,
            pipelines={"image": train, "label": labels},
            distributed=False,
        )
        crop = CenterCropRGBImageDecoder((64, 64), ratio=224 / 256)
        self.val_loader = Loader(
            path,
            batch_size=5,
            num_workers=2,
            order=OrderOption.SEQUENTIAL,
            drop_last=False,
            pipelines={"image": [crop, *tail], "label": list(labels)},
            distributed=False,
        )

    def resolution(self, epoch):
        return 32 if epoch < 1 else 64

    def train(self):
        shapes = []
        for epoch in range(2):
            resolution = self.resolution(epoch)
            self.decoder.output_size = (resolution, resolution)
            for images, labels in self.train_loader:
                assert images.dtype == ch.float16 and labels.shape == (8,)
                assert images.is_contiguous(memory_format=ch.channels_last)
            shapes.append(images.shape)
            assert sum(len(labels) for _, labels in self.val_loader) == 24
        return shapes


def main(folder):
    [path] = Path(folder).glob("*.beton")
    shapes = Trainer(str(path)).train()
    assert shapes == [(8, 3, 32, 32), (8, 3, 64, 64)]
    np.savez(Path(folder) / "found.npz", shapes=np.array(shapes))


if __name__ == "__main__":
    main(sys.argv[1])

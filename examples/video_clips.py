"""Clips of videos: which way does the picture move? Grey frames, cropped alike, eight to a clip.

    python examples/video_clips.py [--steps 60]

Makes a file of short videos, windows that slide over photographs to the left or to the right, with the number of each
frame's video. The loader draws two clips of each video in an epoch; a small network of three dimensions learns the
direction.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import demo_data
import numpy as np
import torch
from PIL import Image

from ffprep import ClipOrder, Loader
from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer
from ffprep.fields import IntField, RGBImageField
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.transforms import Grayscale, NormalizeImage, Squeeze, ToTensor, ToTorchImage

FRAMES = 8


def write_videos(source: Path, out: Path, videos: int) -> Path:
    """Write a file of frames: fields image, video (the number of its video) and label (1 for a move to the right)."""
    fields = {"image": RGBImageField("jpg"), "video": IntField(), "label": IntField()}
    rng = np.random.default_rng(0)
    with Reader(source) as reader:
        pictures = [
            Image.open(io.BytesIO(reader.value("image", i))).convert("RGB").resize((160, 96))
            for i in range(min(12, reader.num_samples))
        ]
    lengths = rng.integers(10, 20, videos)
    with Writer(out, fields, int(lengths.sum()), overwrite=True) as writer:
        for video, length in enumerate(lengths):
            picture, label = pictures[video % len(pictures)], int(rng.integers(0, 2))
            for frame in range(length):
                left = 4 * (length - 1 - frame if label else frame)
                values = np.asarray(picture.crop((left, 0, left + 80, 96))), video, label
                writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=64)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--size", type=int, default=32)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = demo_data.images(Path(folder), 12)
        path = write_videos(source, Path(folder) / "videos.beton", arguments.videos)
        pipelines = {
            "image": [
                RandomResizedCropRGBImageDecoder(arguments.size, scale=(0.5, 1.0)),
                Grayscale(),
                NormalizeImage(120.0, 60.0, np.float32),
                ToTensor(),
                ToTorchImage(),
            ],
            "video": None,
            "label": [IntDecoder(), ToTensor(), Squeeze(1)],
        }
        net = torch.nn.Sequential(
            torch.nn.Conv3d(1, 8, (3, 5, 5), padding=(0, 2, 2)),
            torch.nn.ReLU(),
            torch.nn.Conv3d(8, 16, (3, 5, 5), stride=(1, 2, 2)),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool3d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(16, 2),
        )
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        order = ClipOrder(FRAMES, video="video", per_video=2)
        with Loader(path, 16, order=order, seed=0, pipelines=pipelines) as loader:
            for step, (clips, labels) in zip(range(1, arguments.steps + 1), loader.forever(), strict=False):
                # clips: (batch, frames, 1, height, width); labels: (batch, frames), all alike
                predicted = net(clips.transpose(1, 2))
                loss = torch.nn.functional.cross_entropy(predicted, labels[:, 0])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if step % 10 == 0 or step == arguments.steps:
                    right = (predicted.argmax(1) == labels[:, 0]).float().mean()
                    print(f"step {step}: {tuple(clips.shape)}, loss {loss.item():.3f}, {right:.0%} right")


if __name__ == "__main__":
    main()

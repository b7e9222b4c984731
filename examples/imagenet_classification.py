"""Classify images: growing resolution, classes drawn evenly, an evaluation that counts every image once.

python examples/imagenet_classification.py --train train.beton --val val.beton --classes 1000 --size 128 192
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import demo_data
import torch
from models import ImageEncoder
from torch import nn

from ffprep import OrderOption, WeightedOrder
from ffprep.fields.decoders import ProgressiveSize
from ffprep.presets import imagenet_train, imagenet_val


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, help="made from the demo photographs by default")
    parser.add_argument("--val", type=Path)
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--size", type=int, nargs=2, default=(64, 96), help="side of images at first and in the end")
    parser.add_argument("--balanced", action="store_true", help="draw classes evenly")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        train_file = options.train or demo_data.images(Path(folder), 96)
        val_file = options.val or demo_data.images(Path(folder), 30, seed=1)
        small, large = options.size
        # Pixels stay uint8 until they are on the device; the side is a function of the epoch.
        train = imagenet_train(
            train_file,
            options.batch_size,
            seed=0,
            size=ProgressiveSize(small, large, 0, max(1, options.epochs - 1)),
            order=WeightedOrder.balanced(train_file) if options.balanced else OrderOption.RANDOM,
            device=options.device,
        )
        val = imagenet_val(val_file, options.batch_size, size=large, device=options.device)
        torch.manual_seed(0)
        model = nn.Sequential(ImageEncoder(), nn.Linear(64, options.classes)).to(options.device)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        for epoch in range(options.epochs):
            model.train()
            losses = []
            for images, labels in train:
                loss = nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            model.eval()
            with torch.no_grad():
                right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in val)
            loss_shown = float(torch.stack(losses).mean())
            print(
                f"epoch {epoch}: {images_size(train, epoch)} loss {loss_shown:.3f}, {right} of {len(val.indices)} right"
            )
        train.close()
        val.close()


def images_size(loader: object, epoch: int) -> str:
    """Return the side of an epoch's images."""
    images, _ = loader.batch([0], epoch)  # type: ignore[attr-defined]
    return f"{images.shape[2]}x{images.shape[3]} px,"


if __name__ == "__main__":
    main()

"""A small network trained on photographs through ffprep, and through Pillow as torchvision uses it: the same accuracy?

    python benchmarks/training/training.py --data /path/to/photographs --runs 5

The task: tiles of 48x48 pixels cut from photographs, and which photograph a tile is from; two thirds of a photograph's
tiles are for training, the others for the test. Training images are random resized crops of a tile to 32x32, flipped at
random; test images are whole tiles resized to 32x32. The network, its initial weights (one seed a run), the optimiser
and the number of steps are the same; each pipeline draws its own crops and order. Where torchvision is installed it
runs as well; the Pillow pipeline follows its `RandomResizedCrop` (ten tries, log-uniform ratio) step by step.
"""

from __future__ import annotations

import argparse
import io
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

TILE, SIZE, BATCH = 48, 32, 64
SCALE, RATIO = (0.35, 1.0), (3 / 4, 4 / 3)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Tiles:
    """JPEGs with their labels, for training and for the test."""

    train: list[tuple[bytes, int]]
    test: list[tuple[bytes, int]]
    classes: int


def cut(folder: Path, photographs: int, tiles: int) -> Tiles:
    """Cut tiles, the same for every call, from the first photographs that are large enough for them."""
    train: list[tuple[bytes, int]] = []
    test: list[tuple[bytes, int]] = []
    label = 0
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg")):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        columns, rows = image.width // TILE, image.height // TILE
        if columns * rows < tiles:
            continue
        places = [(x * TILE, y * TILE) for y in range(rows) for x in range(columns)]
        random.Random(label).shuffle(places)
        for number, (x, y) in enumerate(places[:tiles]):
            out = io.BytesIO()
            image.crop((x, y, x + TILE, y + TILE)).save(out, "JPEG", quality=95)
            (test if number % 3 == 2 else train).append((out.getvalue(), label))
        label += 1
        if label == photographs:
            break
    return Tiles(train, test, label)


def tiles_of(data: Path | None, photographs: int, tiles: int) -> Tiles:
    """Cut tiles from the photographs of a folder, or from the demo's."""
    with tempfile.TemporaryDirectory(prefix="ffprep-training-") as folder:
        if data is None:
            from ffprep.demo.photographs import make_photographs

            data = make_photographs(Path(folder) / "photographs", 32)
        found = cut(data, photographs, tiles)
    if found.classes < 2:
        raise SystemExit(f"{data}: fewer than two photographs are large enough for {tiles} tiles")
    return found


class FfprepPipeline:
    """ffprep's loader on files made of the tiles."""

    def __init__(self, tiles: Tiles, scratch: Path) -> None:
        from ffprep.beton.writing.writer import Writer
        from ffprep.fields import IntField, RGBImageField

        self._paths = {}
        for name, samples in (("train", tiles.train), ("test", tiles.test)):
            fields = {"image": RGBImageField(), "label": IntField()}
            self._paths[name] = scratch / f"{name}.beton"
            with Writer(self._paths[name], fields, len(samples)) as writer:
                for data, label in samples:
                    writer.write([fields["image"].encode(data), fields["label"].encode(label)])

    def train(self, seed: int) -> Callable[[], Batches]:
        """Return a function that begins the next epoch."""
        from ffprep.presets import imagenet_train

        loader = imagenet_train(self._paths["train"], BATCH, 1, seed, size=SIZE, scale=SCALE, ratio=RATIO)
        return lambda: iter(loader)

    def test(self) -> Batches:
        """Go through the test images."""
        from ffprep.presets import imagenet_val

        return iter(imagenet_val(self._paths["test"], BATCH, 1, size=SIZE))


class PillowPipeline:
    """Pillow, with the random numbers and the arithmetic of torchvision's transforms on PIL images."""

    def __init__(self, tiles: Tiles, scratch: Path) -> None:
        self._tiles = tiles

    def _box(self, draw: random.Random, width: int, height: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = width * height * draw.uniform(*SCALE)
            ratio = math.exp(draw.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                y, x = draw.randint(0, height - h), draw.randint(0, width - w)
                return x, y, x + w, y + h
        return 0, 0, width, height  # tiles are square, so the middle is all

    def crop(self, image: Image.Image, draw: random.Random) -> Image.Image:
        """Cut, resize and flip at random."""
        image = image.crop(self._box(draw, image.width, image.height)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draw.random() < 0.5 else image

    def train(self, seed: int) -> Callable[[], Batches]:
        """Return a function that begins the next epoch."""
        draw = random.Random(seed)

        def epoch() -> Batches:
            samples = list(self._tiles.train)
            draw.shuffle(samples)
            whole = len(samples) // BATCH * BATCH
            return _stacked(samples[:whole], lambda image: self.crop(image, draw))

        return epoch

    def test(self) -> Batches:
        """Go through the test images."""
        return _stacked(self._tiles.test, lambda image: image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


class TorchvisionPipeline(PillowPipeline):
    """torchvision's own transforms."""

    def train(self, seed: int) -> Callable[[], Batches]:
        """Return a function that begins the next epoch; torchvision draws from torch's global generator."""
        from torchvision import transforms

        change = transforms.Compose(
            [transforms.RandomResizedCrop(SIZE, SCALE, RATIO), transforms.RandomHorizontalFlip()]
        )
        order = random.Random(seed)

        def epoch() -> Batches:
            samples = list(self._tiles.train)
            order.shuffle(samples)
            return _stacked(samples[: len(samples) // BATCH * BATCH], change)

        return epoch


def _stacked(samples: list[tuple[bytes, int]], change: Callable[[Image.Image], Image.Image]) -> Batches:
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    for start in range(0, len(samples), BATCH):
        part = samples[start : start + BATCH]
        pixels = []
        for data, _ in part:
            with Image.open(io.BytesIO(data)) as image:
                pixels.append(np.asarray(change(image)))
        images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
        yield (images - mean) / std, torch.tensor([label for _, label in part])


def network(classes: int) -> nn.Sequential:
    """A convolutional network that trains in seconds."""
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((3, 24, 2), (24, 48, 2), (48, 96, 1)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, classes))


def accuracy(model: nn.Module, batches: Batches) -> float:
    """Share of images whose photograph is found, in percent."""
    model.eval()
    right = total = 0
    with torch.no_grad():
        for images, labels in batches:
            right += int((model(images).argmax(1) == labels).sum())
            total += len(labels)
    model.train()
    return 100 * right / total


def train(pipeline: Any, seed: int, epochs: int, steps: int, classes: int) -> float:
    """Train one network, `steps` batches an epoch; return its accuracy on the test images."""
    torch.manual_seed(seed)
    model = network(classes)
    begin = pipeline.train(seed)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=epochs * steps)
    for _ in range(epochs):
        for images, labels in begin():
            loss = nn.functional.cross_entropy(model(images), labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            rate.step()
    return accuracy(model, pipeline.test())


def table(results: dict[str, list[float]]) -> str:
    """Mean and spread of each pipeline, and how far from ffprep, in standard errors of that difference."""
    lines = [
        "| pipeline | runs | accuracy, % (mean and standard deviation) | to ffprep |",
        "|---|---|---|---|",
    ]
    ours = results["ffprep"]
    for name, found in results.items():
        spread = statistics.stdev(found) if len(found) > 1 else float("nan")
        beside = ""
        if name != "ffprep" and len(found) > 1:
            error = math.sqrt(statistics.variance(found) / len(found) + statistics.variance(ours) / len(ours))
            beside = f"{statistics.mean(found) - statistics.mean(ours):+.2f} ± {error:.2f} (standard error)"
        lines.append(f"| {name} | {len(found)} | {statistics.mean(found):.2f} ± {spread:.2f} | {beside} |")
    return "\n".join(lines)


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of JPEGs, searched to any depth; demo photographs if absent")
    parser.add_argument("--photographs", type=int, default=64, help="classes")
    parser.add_argument("--tiles", type=int, default=60, help="tiles of each photograph")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipelines: dict[str, Any] = {"ffprep": FfprepPipeline, "Pillow, torchvision's steps": PillowPipeline}
    try:
        import torchvision
    except ImportError:
        print("torchvision is not installed: left out", file=sys.stderr)
    else:
        pipelines[f"torchvision {torchvision.__version__}"] = TorchvisionPipeline
    results: dict[str, list[float]] = {name: [] for name in pipelines}
    with tempfile.TemporaryDirectory(prefix="ffprep-training-") as folder:
        tiles = tiles_of(options.data, options.photographs, options.tiles)
        steps = len(tiles.train) // BATCH
        made = {name: kind(tiles, Path(folder)) for name, kind in pipelines.items()}
        for run in range(options.runs):
            for name, pipeline in made.items():
                start = time.perf_counter()
                results[name].append(train(pipeline, run, options.epochs, steps, tiles.classes))
                seconds = time.perf_counter() - start
                print(f"run {run + 1}: {name}: {results[name][-1]:.2f} % in {seconds:.0f} s", file=sys.stderr)
    print(f"{tiles.classes} photographs, {len(tiles.train)} training and {len(tiles.test)} test tiles, ", end="")
    print(f"{options.epochs} epochs, chance {100 / tiles.classes:.1f} %\n")
    print(table(results))


if __name__ == "__main__":
    main()

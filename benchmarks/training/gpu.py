"""Images a second into a training step on a GPU, and the share of time that the step waits for them.

    python benchmarks/training/gpu.py --data /path/to/ImageFolder --workers 8 --markdown
    python benchmarks/training/gpu.py --device cpu --model tiny --size 32 --batch 8 --images 64 --rounds 1  # a trial

A ResNet-50 (bf16 autocast, channels_last, SGD) is trained on batches that lie on the device already, and on those of
ffprep, of torch's DataLoader with Pillow (pinned memory, asynchronous copies) and of stock ffcv where it is installed,
each in a process of its own, taking turns epoch by epoch. ``waiting`` is the share of a loader's step that the step
without loading does not take: 1 - rate / rate with synthetic data, round by round. ``alone`` is the rate at which a
loader delivers batches to the device when nothing is trained. ffprep runs with its images as uint8 over the bus, and
with float16 made on the host, for comparison.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ffprep.inspect.timing.paired import Contestant, Timing, compare
from ffprep.inspect.timing.runners import MEAN, STD

CLASSES = 1000
MODELS = {"resnet50": (64, (3, 4, 6, 3)), "tiny": (8, (1, 1))}
"""Width of the first stage, and blocks of each stage."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut (He et al., 2015; the stride is the 3x3's)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.main = nn.Sequential(
            *_conv(inputs, width, 1, 1), nn.ReLU(), *_conv(width, width, 3, stride), nn.ReLU(),
            *_conv(width, outputs, 1, 1),
        )  # fmt: skip
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(inputs, outputs, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        return nn.functional.relu(self.main(x) + self.shortcut(x))


def _conv(inputs: int, outputs: int, size: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]


def network(name: str) -> nn.Sequential:
    """Return the residual network of that name."""
    width, blocks = MODELS[name]
    layers = [*_conv(3, width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = width
    for stage, count in enumerate(blocks):
        for block in range(count):
            layers.append(Bottleneck(inputs, width << stage, 2 if stage > 0 and block == 0 else 1))
            inputs = 4 * (width << stage)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES))


def synthetic(device: torch.device, batch: int, size: int, steps: int) -> Callable[[], Iterator[Any]]:
    """One batch on the device, again and again."""
    images = torch.randn(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (batch,), device=device)
    return lambda: iter([(images, labels)] * steps)


def ffprep_batches(
    path: str, device: torch.device, batch: int, size: int, workers: int, host: bool
) -> Callable[[], Iterator[Any]]:
    """ffprep's loader; with `host`, float16 images are made on the host and moved by a stage of their own."""
    from ffprep.loader import Loader, OrderOption
    from ffprep.presets import imagenet_train
    from ffprep.presets.images import image_pipeline, scalar_pipeline

    if not host:
        loader = imagenet_train(path, batch, workers, 0, size=size, dtype=np.float16, channels_last=True, device=device)
        return lambda: iter(loader)
    from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder

    image = image_pipeline(RandomResizedCropRGBImageDecoder(size), flip=0.5, dtype=np.float16, channels_last=True)
    image.append(lambda x: x.to(device, non_blocking=True))
    pipelines = {"image": image, "label": scalar_pipeline(IntDecoder(), device)}
    loader = Loader(path, batch, workers, order=OrderOption.RANDOM, seed=0, pipelines=pipelines)
    return lambda: iter(loader)


class Photographs(torch.utils.data.Dataset[Any]):
    """Image files, cropped at random, resized and flipped by Pillow, as uint8."""

    def __init__(self, folder: str, size: int) -> None:
        self.files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in (".jpeg", ".jpg"))
        self.classes = sorted({path.parent.name for path in self.files})
        self.size = size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        from ffprep.inspect.timing.runners import random_crop

        draw = np.random.default_rng(int(torch.randint(1 << 60, ())))
        with Image.open(self.files[index]) as opened:
            image = opened.convert("RGB")
        x, y, w, h = random_crop(draw, image.width, image.height, (0.08, 1.0))
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
        if draw.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        label = self.classes.index(self.files[index].parent.name)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1), label


def torch_batches(
    folder: str, device: torch.device, batch: int, size: int, workers: int
) -> Callable[[], Iterator[Any]]:
    """torch's DataLoader; normalised on the device, so that it moves uint8, too."""
    loader: Any = torch.utils.data.DataLoader(
        Photographs(folder, size), batch, shuffle=True, drop_last=True, num_workers=workers,
        pin_memory=device.type == "cuda", persistent_workers=workers > 0,
    )  # fmt: skip
    mean, std = (torch.tensor(x, device=device).view(1, 3, 1, 1) * 255 for x in (MEAN, STD))

    def batches() -> Iterator[Any]:
        for images, labels in loader:
            moved = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            yield (moved - mean) / std, labels.to(device, non_blocking=True)

    return batches


def stock_batches(path: str, device: torch.device, batch: int, size: int, workers: int) -> Callable[[], Iterator[Any]]:
    """Stock ffcv's loader as its ImageNet script sets it up."""
    from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, Squeeze, ToDevice, ToTensor, ToTorchImage

    normal = NormalizeImage(255 * np.array(MEAN), 255 * np.array(STD), np.float16)
    start = [RandomResizedCropRGBImageDecoder((size, size)), RandomHorizontalFlip(), ToTensor()]
    image = [*start, ToDevice(device, non_blocking=True), ToTorchImage(), normal]
    if device.type == "cpu":  # its normalisation of tensors is for CUDA alone
        image = [*start[:2], normal, ToTensor(), ToTorchImage()]
    label = [IntDecoder(), ToTensor(), Squeeze(), ToDevice(device, non_blocking=True)]
    loader = Loader(
        path, batch, workers, os_cache=True, order=OrderOption.RANDOM, drop_last=True,
        pipelines={"image": image, "label": label},
    )  # fmt: skip
    return lambda: iter(loader)


def contestant(
    kind: str, device: str, model: str, batch: int, size: int, steps: int, **where: Any
) -> Callable[[], int]:
    """Return what trains for an epoch on batches of a kind, or only takes them when there is no model."""
    place = torch.device(device)
    if place.type == "cpu":
        torch.set_num_threads(1)
    makers: dict[str, Callable[..., Callable[[], Iterator[Any]]]] = {
        "synthetic": lambda: synthetic(place, batch, size, steps),
        "ffprep": lambda: ffprep_batches(where["path"], place, batch, size, where["workers"], False),
        "ffprep, host": lambda: ffprep_batches(where["path"], place, batch, size, where["workers"], True),
        "torch": lambda: torch_batches(where["folder"], place, batch, size, where["workers"]),
        "ffcv": lambda: stock_batches(where["path"], place, batch, size, where["workers"]),
    }
    batches = makers[kind]()
    net: Any = None
    if model != "none":
        net = network(model).to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def epoch() -> int:
        seen = 0
        for images, labels in batches():
            seen += len(images)
            if net is None:
                continue
            with torch.autocast(place.type, torch.bfloat16):
                loss = nn.functional.cross_entropy(net(images), labels)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        return seen

    return epoch


def prepare(data: Path, out: Path, images: int) -> tuple[Path, Path, int]:
    """Repeat a folder's images by links, convert them; return folder, file and how many."""
    from ffprep.convert.conversion import convert
    from ffprep.fields import RGBImageField
    from ffprep.sources.imagenet import open_imagenet

    found = sorted(path for path in data.rglob("*") if path.suffix.lower() in (".jpeg", ".jpg"))
    if not found:
        raise SystemExit(f"{data}: no JPEGs")
    for number in range(max(images, 1)):
        path = found[number % len(found)]
        folder = out / "train" / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{path.stem}_{number}{path.suffix}").symlink_to(path.resolve())
    convert(open_imagenet(str(out), "train", image=RGBImageField()), out / "train.beton")
    return out / "train", out / "train.beton", max(images, 1)


def table(training: list[Timing], alone: list[Timing], markdown: bool) -> str:
    """A line a loader."""
    rows = [["loader", "images/s", "waiting", "alone, images/s"]]
    reference = training[0]
    for timing, only in zip(training, [None, *alone], strict=True):
        rate = timing.failure or f"{timing.median:,.0f}"
        share = ""
        if timing is not reference and not timing.failure and not reference.failure:
            lost = [1 - a / b for a, b in zip(timing.rates, reference.rates, strict=True)]
            share = f"{100 * statistics.median(lost):.1f} %"
        rows.append([timing.name, rate, share, "" if only is None else only.failure or f"{only.median:,.0f}"])
    if markdown:
        lines = [f"| {' | '.join(row)} |" for row in rows]
        return "\n".join([lines[0], "|---|---|---|---|", *lines[1:]])
    return "\n".join("  ".join(cell.ljust(28) for cell in row).rstrip() for row in rows)


def main() -> None:
    """Time all loaders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of JPEGs in class folders; demo photographs if absent")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", choices=sorted(MODELS), default="resnet50")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--images", type=int, default=12_800, help="images in an epoch; the folder's are repeated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    kinds = {"ffprep": "ffprep", "ffprep, float16 on the host": "ffprep, host", "torch DataLoader, Pillow": "torch"}
    if importlib.util.find_spec("ffcv") is not None:
        kinds["stock ffcv"] = "ffcv"
    search = os.pathsep.join([str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory(prefix="ffprep-gpu-") as scratch:
        data = options.data
        if data is None:
            from ffprep.demo.photographs import make_photographs

            data = make_photographs(Path(scratch) / "photographs", 64)
        folder, path, count = prepare(data, Path(scratch), options.images)
        common = {
            "device": options.device, "batch": options.batch, "size": options.size, "workers": options.workers,
            "steps": count // options.batch, "path": str(path), "folder": str(folder),
        }  # fmt: skip

        def enter(name: str, kind: str, model: str) -> Contestant:
            job = {**common, "kind": kind, "model": model}
            return Contestant(name, "gpu:contestant", job, environment={"PYTHONPATH": search})

        loaders = [enter(name, kind, options.model) for name, kind in kinds.items()]
        training = compare([enter("synthetic data", "synthetic", options.model), *loaders], options.rounds)
        alone = compare([enter(name, kind, "none") for name, kind in kinds.items()], options.rounds)
    where = options.device
    if torch.cuda.is_available() and where.startswith("cuda"):
        where = torch.cuda.get_device_name(where)
    print(f"{options.model}, bf16, batches of {options.batch}, {options.size} pixels, {count} images, ", end="")
    print(f"{options.workers} workers, {options.rounds} rounds, on {where}\n")
    print(table(training, alone, options.markdown))
    if any(timing.failure for timing in [*training, *alone]):
        sys.exit(1)


if __name__ == "__main__":
    main()

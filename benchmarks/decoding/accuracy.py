"""How close images are to torchvision's and to stock ffcv's: peak signal-to-noise ratio of each image, by operation.

    python benchmarks/decoding/accuracy.py [FILE.beton] [--size 224] [--markdown]

Without a file, the photographs of ``ffprep demo``. The references:

- resampling: Pillow's decoding, cropped, and torchvision's ``v2.functional.resize(antialias=True)`` on uint8 tensors;
  without torchvision ``torch.nn.functional.interpolate(antialias=True)``, which is what it calls;
- resampling by area: stock ffcv's own decoders on the same file, where ffcv is installed, and OpenCV's INTER_AREA on
  Pillow's pixels, where OpenCV is, for both;
- colour, blur and geometry: torchvision's functions on our uint8 images, where torchvision is installed.

torchvision and ffcv need different environments as a rule, so the tables of docs/accuracy.md come from two runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ffprep import Loader, transforms
from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer
from ffprep.fields import RGBImageField
from ffprep.fields.decoders import (
    CenterCropRGBImageDecoder,
    ImageDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
    ResizeRGBImageDecoder,
)
from ffprep.jpeg import read_header
from ffprep.kernels.image.crop import random_resized_crop
from ffprep.kernels.jit import kernel
from ffprep.pipeline.form import BatchInfo

HAVE_TORCHVISION = importlib.util.find_spec("torchvision") is not None
HAVE_FFCV = importlib.util.find_spec("ffcv") is not None
Box = tuple[int, int, int, int]
RATIOS = (1.0, 224 / 256, 0.4)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Decibels, for a peak of 255; 99 for equal images."""
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


class Table:
    """Rows of one comparison."""

    def __init__(self, title: str, first: str, markdown: bool) -> None:
        self.markdown = markdown
        self.rows: list[list[str]] = [[first, "images", "mean dB", "worst dB", "max error", "levels that differ"]]
        print(f"\n{title}\n")

    def add(self, name: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """Add a row for pairs of images, ours and theirs."""
        decibels = [psnr(a, b) for a, b in pairs]
        errors = [np.abs(a.astype(int) - b.astype(int)) for a, b in pairs]
        differing = np.mean([(error > 0).mean() for error in errors])
        worst = max(int(error.max()) for error in errors)
        equal = min(decibels) == 99.0
        mean, least = ("equal", "equal") if equal else (f"{np.mean(decibels):.1f}", f"{min(decibels):.1f}")
        self.rows.append([name, str(len(pairs)), mean, least, str(worst), f"{100 * differing:.1f} %"])

    def show(self) -> None:
        """Print it."""
        widths = [max(len(row[k]) for row in self.rows) for k in range(len(self.rows[0]))]
        for number, row in enumerate(self.rows):
            cells = [
                cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            print(f"| {' | '.join(cells)} |" if self.markdown else "  ".join(cells))
            if self.markdown and number == 0:
                print(f"|---|{'---:|' * (len(row) - 1)}")


def demo_file(folder: Path) -> Path:
    """Write the photographs of ``ffprep demo`` to a file."""
    import ffprep

    photographs = sorted((Path(ffprep.__file__).parent / "demo_data" / "imagenet").rglob("*.JPEG"))
    field = RGBImageField("jpg")
    with Writer(folder / "demo.beton", {"image": field}, len(photographs)) as writer:
        for path in photographs:
            writer.write([field.encode(path.read_bytes())])
    return folder / "demo.beton"


def load(path: Path, decoder: ImageDecoder) -> np.ndarray:
    """All images of a file through a decoder, uint8 (n, height, width, 3)."""
    with Reader(path) as reader:
        pipelines: dict[str, Any] = {name: None for name in reader.fields if name != "image"}
    with Loader(path, 32, pipelines={**pipelines, "image": [decoder]}, drop_last=False, seed=0) as loader:
        return np.concatenate([batch[0] for batch in loader])


def streams(path: Path) -> Iterator[bytes]:
    """The images as they are stored."""
    with Reader(path) as reader:
        for i in range(reader.num_samples):
            yield bytes(reader.value("image", i))


def sampling(stream: bytes) -> str:
    """How an image's colour is stored."""
    header = read_header(stream)
    if header.color == "gray":
        return "grey"
    return {"11x11x11": "4:4:4", "21x11x11": "4:2:2", "22x11x11": "4:2:0", "12x11x11": "4:4:0"}.get(
        "x".join(f"{h}{v}" for h, v in header.sampling[:3]), "other"
    )


def resized(pixels: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    """What torchvision makes of RGB pixels; uint8."""
    image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].contiguous()
    if HAVE_TORCHVISION:
        from torchvision.transforms.v2 import InterpolationMode, functional

        out = functional.resize(image, list(size), InterpolationMode(mode), antialias=True)
    else:
        out = torch.nn.functional.interpolate(image, size, mode=mode, antialias=True)
    return out[0].permute(1, 2, 0).numpy()


@kernel
def _box(height: int, width: int, sample: int, stream: int) -> Box:
    return random_resized_crop(height, width, 0.08, 1.0, 3 / 4, 4 / 3, 0, 0, sample, stream)


def random_box(path: Path, decoder: ImageDecoder) -> Callable[[int, int, int], Box]:
    """The crops that a loader with seed 0 draws in its first epoch."""
    with Reader(path) as reader:
        pipelines: dict[str, Any] = {name: None for name in reader.fields if name != "image"}
    with Loader(path, 1, pipelines={**pipelines, "image": [decoder]}, seed=0) as loader:
        stream = loader._checked_pipelines[0].stream
    return lambda height, width, sample: _box(height, width, sample, stream)


def centre(ratio: float) -> Callable[[int, int, int], Box]:
    """ffcv's centre crop."""

    def box(height: int, width: int, sample: int) -> Box:
        side = int(ratio * min(height, width))
        return (height - side) // 2, (width - side) // 2, side, side

    return box


def resampling(path: Path, size: int, markdown: bool) -> None:
    """Decode, crop and resize, against torchvision."""
    name = "torchvision's resize" if HAVE_TORCHVISION else "torch's interpolate"
    table = Table(f"Decoding, cropping and resizing, against Pillow and {name} (antialiased)", "operation", markdown)
    for mode in ("bilinear", "bicubic"):
        random = RandomResizedCropRGBImageDecoder(size, interpolation=mode)
        whole = RandomResizedCropRGBImageDecoder(size, interpolation=mode, exact=True)
        for title, decoder, box in (
            (f"Resize({size}x{size})", ResizeRGBImageDecoder(size, interpolation=mode), lambda h, w, i: (0, 0, h, w)),
            ("centre crop 224/256", CenterCropRGBImageDecoder(size, 224 / 256, interpolation=mode), centre(224 / 256)),
            ("RandomResizedCrop", random, random_box(path, random)),
            ("RandomResizedCrop(exact=True)", whole, random_box(path, whole)),
        ):
            found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
            for i, (ours, stream) in enumerate(zip(load(path, decoder), streams(path), strict=True)):
                pixels = np.asarray(Image.open(io.BytesIO(stream)).convert("RGB"))
                y, x, h, w = box(*pixels.shape[:2], i)
                theirs = resized(pixels[y : y + h, x : x + w], (size, size), mode)
                for key in (sampling(stream), "all"):
                    found[key].append((ours, theirs))
            for key, pairs in sorted(found.items()):
                table.add(f"{title}, {mode}, {key}", pairs)
        short, pairs = size * 8 // 7, []
        decoder = ResizeCenterCropRGBImageDecoder(size, short, interpolation=mode)
        for ours, stream in zip(load(path, decoder), streams(path), strict=True):
            pixels = np.asarray(Image.open(io.BytesIO(stream)).convert("RGB"))
            height, width = pixels.shape[:2]
            long = int(short * max(height, width) / min(height, width))
            shown = resized(pixels, (short, long) if height <= width else (long, short), mode)
            top, left = (round((side - size) / 2.0) for side in shown.shape[:2])
            pairs.append((ours, shown[top : top + size, left : left + size]))
        table.add(f"Resize({short}) + CenterCrop({size}), {mode}, all", pairs)
    table.show()


def stock(path: Path, size: int, out: str) -> None:
    """Store what stock ffcv's decoder makes of the images; it wants a process of its own."""
    from ffcv.fields.decoders import CenterCropRGBImageDecoder as Stock
    from ffcv.loader import Loader as StockLoader

    results = {}
    for number, ratio in enumerate(RATIOS):
        loader = StockLoader(
            str(path), 16, num_workers=1, drop_last=False, pipelines={"image": [Stock((size, size), ratio=ratio)]}
        )
        results[f"r{number}"] = np.concatenate([batch[0].copy() for batch in loader])
    np.savez(out, **results)


def by_opencv(stream: bytes, box: Callable[[int, int, int], Box], size: int) -> np.ndarray:
    """Pillow's pixels, cropped and resized by OpenCV's INTER_AREA."""
    import cv2

    pixels = np.asarray(Image.open(io.BytesIO(stream)).convert("RGB"))
    y, x, h, w = box(*pixels.shape[:2], 0)
    return cv2.resize(pixels[y : y + h, x : x + w], (size, size), interpolation=cv2.INTER_AREA)


def area(path: Path, size: int, markdown: bool, folder: Path) -> None:
    """Centre crops resized by area, against stock ffcv's decoder on the same file."""
    out = folder / "stock.npz"
    command = [sys.executable, __file__, str(path), "--size", str(size), "--stock", str(out)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    table = Table("Decoding, cropping and resizing by area", "operation", markdown)
    with np.load(out) as theirs:
        for number, ratio in enumerate(RATIOS):
            found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
            ours = load(path, CenterCropRGBImageDecoder(size, ratio, interpolation="area"))
            for a, b, stream in zip(ours, theirs[f"r{number}"], streams(path), strict=True):
                for key in (sampling(stream), "all"):
                    found[key].append((a, b))
            title = f"CenterCrop ratio {ratio:.3g}"
            for key, pairs in sorted(found.items()):
                table.add(f"{title}, ours and ffcv's, {key}", pairs)
            if importlib.util.find_spec("cv2") is not None:
                truth = [by_opencv(stream, centre(ratio), size) for stream in streams(path)]
                table.add(f"{title}, ours and OpenCV's, all", list(zip(ours, truth, strict=True)))
                table.add(f"{title}, ffcv's and OpenCV's, all", list(zip(theirs[f"r{number}"], truth, strict=True)))
    table.show()


def colour(path: Path, size: int, markdown: bool) -> None:
    """Operations on levels, blur and geometry, against torchvision's functions on the same uint8 images."""
    from torchvision.transforms.v2 import functional as F

    jitter = transforms.ColorJitter
    operations: list[tuple[str, Any, Callable[[torch.Tensor], torch.Tensor]]] = []
    for f in (0.6, 1.4):
        operations += [
            (f"brightness {f}", jitter(brightness=(f, f)), lambda x, f=f: F.adjust_brightness(x, f)),
            (f"contrast {f}", jitter(contrast=(f, f)), lambda x, f=f: F.adjust_contrast(x, f)),
            (f"saturation {f}", jitter(saturation=(f, f)), lambda x, f=f: F.adjust_saturation(x, f)),
        ]
    for f in (-0.4, -0.1, 0.1):
        operations.append((f"hue {f}", jitter(hue=(f, f)), lambda x, f=f: F.adjust_hue(x, f)))
    for s in (0.1, 1.0, 2.0):
        blur = transforms.GaussianBlur(23, (s, s))
        operations.append((f"GaussianBlur(23), sigma {s}", blur, lambda x, s=s: F.gaussian_blur(x, [23, 23], [s, s])))
    operations += [
        ("grayscale", transforms.RandomGrayscale(1), lambda x: F.rgb_to_grayscale(x, 3)),
        ("solarize 128", transforms.RandomSolarize(128, 1), lambda x: F.solarize(x, 128)),
        ("posterize 4", transforms.RandomPosterize(4, 1), lambda x: F.posterize(x, 4)),
        ("autocontrast", transforms.RandomAutocontrast(1), F.autocontrast),
        ("equalize", transforms.RandomEqualize(1), F.equalize),
        ("invert", transforms.RandomInvert(1), F.invert),
        ("flip", transforms.RandomHorizontalFlip(1), F.horizontal_flip),
        ("CenterCrop(150)", transforms.CenterCrop(150), lambda x: F.center_crop(x, [150, 150])),
        ("CenterCrop(301)", transforms.CenterCrop(301), lambda x: F.center_crop(x, [301, 301])),
        ("Resize(96) of uint8", transforms.Resize(96), lambda x: F.resize(x, [96], antialias=True)),
    ]
    table = Table(
        f"Operations on uint8 images of {size}x{size}, against torchvision's functions", "operation", markdown
    )
    images = load(path, ResizeRGBImageDecoder(size))
    batch = BatchInfo(np.arange(len(images)), 0, 0, 0)
    given = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    for name, ours, theirs in operations:
        wanted = torch.stack([theirs(image) for image in given]).permute(0, 2, 3, 1).numpy()
        table.add(name, list(zip(ours.apply(images, batch), wanted, strict=True)))
    table.show()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("beton", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--stock", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stock:
        stock(arguments.beton, arguments.size, arguments.stock)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.beton or demo_file(Path(folder))
        resampling(path, arguments.size, arguments.markdown)
        if HAVE_FFCV:
            area(path, arguments.size, arguments.markdown, Path(folder))
        if HAVE_TORCHVISION:
            colour(path, arguments.size, arguments.markdown)


if __name__ == "__main__":
    main()

"""The steps of the demonstration: make photographs, convert, verify, load, show a batch, compare speeds."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ffprep.beton.verify import verify
from ffprep.convert.conversion import convert
from ffprep.demo.photographs import make_photographs
from ffprep.errors import FfprepError
from ffprep.fields import RGBImageField
from ffprep.inspect.timing.paired import Contestant, Timing, compare, ratio
from ffprep.inspect.timing.runners import MEAN, STD
from ffprep.presets import imagenet_train
from ffprep.sources.imagenet import open_imagenet

RUNNERS = "ffprep.inspect.timing.runners:"
EPOCHS = 3
BATCH = 32


def demonstrate(out: Path, count: int = 240, rounds: int = 5, say: Callable[[str], None] = print) -> None:
    """Run the whole way from images to training batches on photographs made from the embedded ones.

    Parameters
    ----------
    out : Path
        Folder for the photographs, ``demo.beton`` and ``batch.png``.
    count : int
        Photographs to make.
    rounds : int
        Epochs for which each loader is timed.
    say : Callable[[str], None]
        Shows a line of text.

    Raises
    ------
    FfprepError
        The file that was made does not pass its verification.
    """
    out.mkdir(parents=True, exist_ok=True)
    beton = out / "demo.beton"
    folder = out / "photographs"
    make_photographs(folder, count)
    say(f"1. {count} photographs, made from six, as an ImageFolder in {folder}")
    source = open_imagenet(str(folder), "train", image=RGBImageField(jpeg="seekable"))
    report = convert(source, beton, overwrite=True)
    say(f"2. converted to {beton}, losslessly\n{report.table()}")
    found = verify(beton)
    if not found.ok:
        raise FfprepError(f"{beton}: {found.problems[0]}")
    say(f"3. verified: tables, checksums, and all {report.written} images decode")
    first = _load(beton, say)
    picture = out / "batch.png"
    contact_sheet(first, picture)
    say(f"5. a training batch to look at: {picture}")
    say(f"6. images a second on one core: random resized crop to 224, flip, normalise, float32 ({rounds} rounds)")
    say(comparison(beton, folder / "train", rounds))


def _load(beton: Path, say: Callable[[str], None]) -> Any:

    loader = imagenet_train(beton, batch_size=BATCH, num_workers=len(_cores()), seed=0)
    begun = time.perf_counter()
    first, _labels = next(iter(loader))
    seconds = time.perf_counter() - begun
    compiled = " (kernels are compiled at the first use on a machine, and kept)" if seconds > 5 else ""
    say(f"4. the first batch, all start-up included: {seconds:.1f} s{compiled}")
    begun = time.perf_counter()
    samples = sum(len(images) for _ in range(EPOCHS) for images, _labels in loader)
    seconds = time.perf_counter() - begun
    say(f"   then {EPOCHS} epochs: {samples} images in {seconds:.2f} s with {len(_cores())} workers")
    return first


def contact_sheet(images: Any, path: Path, columns: int = 8, most: int = 32) -> None:
    """Save the images of a normalised batch as one PNG.

    Parameters
    ----------
    images : Tensor, shape (N, 3, H, W), float
        Normalised with ImageNet's mean and standard deviation.
    path : Path
    columns, most : int
        Images in a row, and in all.
    """
    pixels = images[:most].to("cpu").float().permute(0, 2, 3, 1).numpy() * np.array(STD) + np.array(MEAN)
    pictures = np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8)
    height, width = pictures.shape[1:3]
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + 4), columns * (width + 4), 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = (i // columns) * (height + 4) + 2, (i % columns) * (width + 4) + 2
        sheet[y : y + height, x : x + width] = picture
    Image.fromarray(sheet).save(path)


def comparison(beton: Path, folder: Path, rounds: int) -> str:
    """Time ffprep, stock ffcv (if it is installed) and torch's DataLoader with Pillow on the same images.

    Each runs in a process of its own, in turns on the same core.
    """
    core = [min(_cores())] if _cores() else None
    contestants = [Contestant("ffprep", RUNNERS + "ffprep_loader", {"path": str(beton)}, core)]
    left_out = ""
    if importlib.util.find_spec("ffcv") is not None:
        contestants.append(Contestant("ffcv 1.0.2 (same file)", RUNNERS + "ffcv_loader", {"path": str(beton)}, core))
    else:
        left_out = "\n   stock ffcv is not installed and was left out"
    contestants.append(Contestant("torch DataLoader + Pillow", RUNNERS + "torch_pillow", {"folder": str(folder)}, core))
    return table(compare(contestants, rounds)) + left_out


def table(timings: list[Timing]) -> str:
    """The contestants' rates, compared with the first one's, as text for the screen."""
    lines = []
    for timing in timings:
        if timing.failure:
            lines.append(f"   {timing.name:<28} failed: {timing.failure}")
            continue
        line = f"   {timing.name:<28} {timing.median:>8,.0f} /s   start-up {timing.start_up:>5.1f} s"
        if timing is not timings[0] and not timings[0].failure:
            low, middle, high = ratio(timings[0], timing)
            line += f"   {timings[0].name} is {middle:.1f} times as fast ({low:.1f} to {high:.1f})"
        lines.append(line)
    return "\n".join(lines)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

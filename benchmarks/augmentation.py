"""What augmentation costs per image in the loader, and what two views from one decode save.

    python benchmarks/augmentation.py FILE.beton [--rounds 7] [--core 0] [--clock cpu] [--markdown]

Each row is the reference study's training pipeline (random resized crop to 224, flip, float32 CHW normalised) with one
operation more, done to every image (p=1), against the same without it: both load the whole file, in processes of their
own that take turns. Given are the difference of their fastest rounds in microseconds an image, in processor time, and,
where torchvision is installed, what its function takes for one uint8 tensor of that size on one thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ffprep.inspect.paired import Contestant, Timing, compare

HERE = Path(__file__).resolve().parent
IMPORTABLE = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
GROUP = 6
SIZE = 224

OPERATIONS: dict[str, str] = {
    "RandomBrightness(0.4)": "RandomBrightness(0.4, p=1)",
    "RandomContrast(0.4)": "RandomContrast(0.4, p=1)",
    "RandomSaturation(0.4)": "RandomSaturation(0.4, p=1)",
    "ColorJitter(0.4, 0.4, 0.4)": "ColorJitter(0.4, 0.4, 0.4)",
    "ColorJitter(0.4, 0.4, 0.4, 0.1)": "ColorJitter(0.4, 0.4, 0.4, 0.1)",
    "RandomGrayscale()": "RandomGrayscale(p=1)",
    "RandomSolarize()": "RandomSolarize(p=1)",
    "RandomPosterize(4)": "RandomPosterize(4, p=1)",
    "RandomAutocontrast()": "RandomAutocontrast(p=1)",
    "RandomEqualize()": "RandomEqualize(p=1)",
    "GaussianBlur(23)": "GaussianBlur(23)",
    "Cutout(64)": "Cutout(64)",
    "RandomErasing()": "RandomErasing(p=1)",
    "RandomErasing(value='random')": "RandomErasing(p=1, value='random')",
    "RandomTranslate(16)": "RandomTranslate(16)",
    "RandomCrop(224, 16, padding_mode='reflect')": "RandomCrop(224, 16, padding_mode='reflect')",
    "RandomVerticalFlip()": "RandomVerticalFlip(1.0)",
    "RandomResizedCrop((0.2, 1), (0.75, 1.33), 224)": "RandomResizedCrop((0.2, 1), (0.75, 1.33), 224)",
    "Mixup(0.2)": "Mixup(0.2).images",
    "CutMix(1.0)": "CutMix(1.0, 224).images",
    "SimCLR: jitter 0.8, grey 0.2, blur 0.5": (
        "ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8), RandomGrayscale(0.2), GaussianBlur(23, p=0.5)"
    ),
}


def pipeline(operations: str = "", scale: Sequence[float] = (0.08, 1.0), size: int = SIZE) -> list[Any]:
    """The training pipeline with operations behind the flip, as they are written in `OPERATIONS`."""
    import numpy as np

    from ffprep import transforms
    from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder

    names = {name: getattr(transforms, name) for name in transforms.__all__}
    more = eval(f"[{operations}]", names)
    mean, std = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
    return [
        RandomResizedCropRGBImageDecoder(size, scale=(scale[0], scale[1])),
        transforms.RandomHorizontalFlip(),
        *more,
        transforms.NormalizeImage(mean, std, np.float32),
        transforms.ToTensor(),
        transforms.ToTorchImage(channels_last=False),
    ]


def _loader(path: str, views: Sequence[list[Any]], seed: int = 0) -> Any:
    from ffprep import Loader, OrderOption
    from ffprep.pipeline import PipelineSpec

    pipelines: dict[str, Any] = {"label": None, "image": views[0]}
    for number, view in enumerate(views[1:]):
        pipelines[f"view{number}"] = PipelineSpec("image", transforms=view)
    options: dict[str, Any] = {"order": OrderOption.RANDOM, "seed": seed, "drop_last": False, "pipelines": pipelines}
    return Loader(path, 64, 1, **options)


def _epoch(*loaders: Any) -> Callable[[], int]:
    def run() -> int:
        samples = 0
        for loader in loaders:
            for first, *_ in loader:
                samples += len(first)
        return samples // len(loaders)

    return run


def one_view(path: str, operations: str = "") -> Callable[[], int]:
    """One image a sample."""
    return _epoch(_loader(path, [pipeline(operations)]))


def two_views(path: str, scale: Sequence[float], small: int = 0) -> Callable[[], int]:
    """Two images a sample from one decode, and some small ones of small crops."""
    views = [pipeline(scale=scale), pipeline(scale=scale)]
    return _epoch(_loader(path, views + [pipeline(scale=(0.05, 0.14), size=96) for _ in range(small)]))


def views_apart(path: str, scale: Sequence[float], small: int = 0) -> Callable[[], int]:
    """The same images, each decoded by itself."""
    loaders = [_loader(path, [pipeline(scale=scale)], seed) for seed in range(2)]
    loaders += [_loader(path, [pipeline(scale=(0.05, 0.14), size=96)], 2 + seed) for seed in range(small)]
    return _epoch(*loaders)


def theirs() -> dict[str, float]:
    """Microseconds of torchvision's functions on one uint8 image, channels first, on one thread."""
    import torch
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    image = (torch.rand(3, 8, 8) * 255).to(torch.uint8)
    image = v2.functional.resize(image, [SIZE, SIZE], antialias=True)
    ways: dict[str, Any] = {
        "RandomBrightness(0.4)": v2.ColorJitter(brightness=0.4),
        "RandomContrast(0.4)": v2.ColorJitter(contrast=0.4),
        "RandomSaturation(0.4)": v2.ColorJitter(saturation=0.4),
        "ColorJitter(0.4, 0.4, 0.4)": v2.ColorJitter(0.4, 0.4, 0.4),
        "ColorJitter(0.4, 0.4, 0.4, 0.1)": v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
        "RandomGrayscale()": v2.RandomGrayscale(1),
        "RandomSolarize()": v2.RandomSolarize(128, 1),
        "RandomPosterize(4)": v2.RandomPosterize(4, 1),
        "RandomAutocontrast()": v2.RandomAutocontrast(1),
        "RandomEqualize()": v2.RandomEqualize(1),
        "GaussianBlur(23)": v2.GaussianBlur(23),
        "RandomErasing()": v2.RandomErasing(1),
        "RandomCrop(224, 16, padding_mode='reflect')": v2.RandomCrop(224, 16, padding_mode="reflect"),
        "RandomVerticalFlip()": v2.RandomVerticalFlip(1),
        "RandomResizedCrop((0.2, 1), (0.75, 1.33), 224)": v2.RandomResizedCrop(224, (0.2, 1), antialias=True),
        "SimCLR: jitter 0.8, grey 0.2, blur 0.5": v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
                v2.RandomGrayscale(0.2),
                v2.RandomApply([v2.GaussianBlur(23)], 0.5),
            ]
        ),
    }
    out = {}
    for name, way in ways.items():
        way(image)
        rounds = []
        for _ in range(5):
            start = time.process_time()
            for _ in range(60):
                way(image)
            rounds.append((time.process_time() - start) / 60 * 1e6)
        out[name] = statistics.median(rounds)
    return out


def least(timing: Timing) -> float:
    """Microseconds an image in the fastest round: what disturbs a round makes it slower."""
    if timing.failure:
        raise SystemExit(f"{timing.name}: {timing.failure}")
    return 1e6 / max(timing.rates)


def line(cells: Sequence[str], markdown: bool) -> None:
    """Print a row."""
    if markdown:
        print("| " + " | ".join(cells) + " |", flush=True)
    else:
        print(cells[0].ljust(48) + "".join(cell.rjust(22) for cell in cells[1:]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("beton")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="cpu")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--only", choices=["operations", "views"])
    arguments = parser.parse_args()

    def contestant(name: str, runner: str, **options: Any) -> Contestant:
        return Contestant(
            name,
            f"augmentation:{runner}",
            {"path": arguments.beton, **options},
            [arguments.core],
            IMPORTABLE,
            arguments.clock,
        )

    if arguments.only != "views":
        peers = theirs() if importlib.util.find_spec("torchvision") else {}
        line(["operation", "us an image", "torchvision's function, us"], arguments.markdown)
        if arguments.markdown:
            print("|---|---:|---:|")
        names = list(OPERATIONS)
        for begin in range(0, len(names), GROUP):
            group = [contestant(name, "one_view", operations=OPERATIONS[name]) for name in names[begin : begin + GROUP]]
            base, *timings = compare([contestant("without", "one_view"), *group], arguments.rounds)
            for timing in timings:
                peer = f"{peers[timing.name]:.0f}" if timing.name in peers else ""
                line([timing.name, f"{least(timing) - least(base):.0f}", peer], arguments.markdown)
        line(["(all the rest)", f"{least(base):.0f}", ""], arguments.markdown)
    if arguments.only != "operations":
        line(["views of an image", "one decode, us", "apart, us", "apart / one decode"], arguments.markdown)
        if arguments.markdown:
            print("|---|---:|---:|---:|")
        for title, options in (
            ("2 of scale 0.08 to 1", {"scale": (0.08, 1.0)}),
            ("2 of scale 0.2 to 1 (SimCLR)", {"scale": (0.2, 1.0)}),
            ("2 of scale 0.4 to 1", {"scale": (0.4, 1.0)}),
            ("2 of 0.14 to 1, 6 of 0.05 to 0.14 at 96 (DINO)", {"scale": (0.14, 1.0), "small": 6}),
        ):
            pair = [contestant("one", "two_views", **options), contestant("apart", "views_apart", **options)]
            one, apart = compare(pair, arguments.rounds)
            cells = [f"{least(one):.0f}", f"{least(apart):.0f}", f"{least(apart) / least(one):.2f}"]
            line([title, *cells], arguments.markdown)


if __name__ == "__main__":
    main()

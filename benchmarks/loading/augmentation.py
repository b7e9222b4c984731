"""What augmentation costs per image, and what two views from one decode save.

    python benchmarks/loading/augmentation.py FILE.beton [--rounds 7] [--core 0] [--clock cpu] [--only PART]

operations
    Each compiled operation on a batch of 64 uint8 images of 224x224 that the file's are resized to, done to every image
    (p=1), copying the batch included; and torchvision's function, where it is installed, on one uint8 tensor at a time.
    Both on one thread.
loader
    The reference study's training pipeline (random resized crop to 224, flip, float32 CHW normalised) with and without
    augmentation, in processes of their own that take turns.
views
    Several views of each image from one loader, beside one loader for each view, in the same way.

All in microseconds of processor time an image, of the fastest round: what disturbs a round makes it slower.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ffprep.inspect.timing.paired import Contestant, Timing, compare

HERE = Path(__file__).resolve().parent
IMPORTABLE = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])}
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
}
PIPELINES: dict[str, str] = {
    "an operation that does nothing": "RandomSolarize(p=0)",
    "ColorJitter(0.4, 0.4, 0.4, 0.1)": "ColorJitter(0.4, 0.4, 0.4, 0.1)",
    "SimCLR: jitter 0.8, grey 0.2, blur 0.5": (
        "ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8), RandomGrayscale(0.2), GaussianBlur(23, p=0.5)"
    ),
    "Mixup(0.2), after normalisation": "Mixup(0.2).images",
    "CutMix(1.0), after normalisation": "CutMix(1.0, 224).images",
}


def made(operations: str) -> list[Any]:
    """Operations as they are written above."""
    from ffprep import transforms

    names = {name: getattr(transforms, name) for name in transforms.__all__}
    return list(eval(f"[{operations}]", names))


def pipeline(operations: str = "", scale: Sequence[float] = (0.08, 1.0), size: int = SIZE) -> list[Any]:
    """The training pipeline with operations after the flip, those on whole batches at its end."""
    import numpy as np

    from ffprep import transforms
    from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder

    mixing = operations if operations.endswith(".images") else ""
    more = made("" if mixing else operations)
    mean, std = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
    return [
        RandomResizedCropRGBImageDecoder(size, scale=(scale[0], scale[1])),
        transforms.RandomHorizontalFlip(),
        *more,
        transforms.NormalizeImage(mean, std, np.float32),
        transforms.ToTensor(),
        transforms.ToTorchImage(channels_last=False),
        *made(mixing),
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


def ours(path: str, rounds: int) -> dict[str, float]:
    """Microseconds of each operation on one uint8 image, on one thread."""
    import numpy as np

    from ffprep import Loader
    from ffprep.fields.decoders import ResizeRGBImageDecoder
    from ffprep.pipeline.form import BatchInfo

    pipelines: dict[str, Any] = {"image": [ResizeRGBImageDecoder(SIZE)], "label": None}
    with Loader(path, 64, 1, pipelines=pipelines) as loader:
        (images,) = next(iter(loader))
    batch = BatchInfo(np.arange(len(images)), 0, 0, 1)
    out = {}
    for name, operation in OPERATIONS.items():
        [way] = made(operation)
        way.apply(images[:2], BatchInfo(batch.ids[:2], 0, 0, 1))
        least = float("inf")
        for _ in range(rounds):
            start = time.process_time()
            way.apply(images, batch)
            least = min(least, time.process_time() - start)
        out[name] = least / len(images) * 1e6
    return out


def theirs(rounds: int) -> dict[str, float]:
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
    }
    out = {}
    for name, way in ways.items():
        way(image)
        least = float("inf")
        for _ in range(rounds):
            start = time.process_time()
            for _ in range(64):
                way(image)
            least = min(least, time.process_time() - start)
        out[name] = least / 64 * 1e6
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
    parser.add_argument("--only", choices=["operations", "loader", "views"])
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

    def head(cells: Sequence[str]) -> None:
        print()
        line(cells, arguments.markdown)
        if arguments.markdown:
            print("|---|" + "---:|" * (len(cells) - 1))

    if arguments.only in (None, "operations"):
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, [arguments.core])
        peers = theirs(arguments.rounds) if importlib.util.find_spec("torchvision") else {}
        head(["operation", "us an image", "torchvision's function, us"])
        for name, cost in ours(arguments.beton, arguments.rounds).items():
            line([name, f"{cost:.0f}", f"{peers[name]:.0f}" if name in peers else ""], arguments.markdown)
    if arguments.only in (None, "loader"):
        group = [contestant(name, "one_view", operations=PIPELINES[name]) for name in PIPELINES]
        base, *timings = compare([contestant("without", "one_view"), *group], arguments.rounds)
        head(["pipeline", "us an image", "more than without"])
        line(["without augmentation", f"{least(base):.0f}", ""], arguments.markdown)
        for timing in timings:
            line([timing.name, f"{least(timing):.0f}", f"{least(timing) - least(base):.0f}"], arguments.markdown)
    if arguments.only in (None, "views"):
        head(["views of an image", "one decode, us", "apart, us", "apart / one decode"])
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

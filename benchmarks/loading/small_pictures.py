"""Raw pictures of 32 x 32, as CIFAR's: ffprep beside stock ffcv, with and without flip and normalisation.

    python benchmarks/loading/small_pictures.py --rounds 7 --clock cpu [--json FILE]

Both read the same file, made in a temporary folder, in random order, in processes of their own and in turn.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.inspect.timing.paired import Contestant, compare
from ffprep.inspect.timing.results import Cell, Result, Table

HERE = Path(__file__).resolve().parent
IMPORTABLE = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])}


def runner(library: str, path: str, normalise: bool) -> Callable[[], int]:
    """Return what runs one epoch; the two libraries differ in nothing but the name."""
    decoders: Any = importlib.import_module(f"{library}.fields.decoders")
    transforms: Any = importlib.import_module(f"{library}.transforms")
    loading: Any = importlib.import_module(f"{library}.loader")
    image = [decoders.SimpleRGBImageDecoder()]
    if normalise:
        mean, std = np.array([125.3, 123.0, 113.9]), np.array([63.0, 62.1, 66.7])
        image += [transforms.RandomHorizontalFlip(), transforms.NormalizeImage(mean, std, np.float32)]
    loader = loading.Loader(
        path,
        batch_size=512,
        num_workers=1,
        order=loading.OrderOption.RANDOM,
        seed=0,
        pipelines={"image": [*image, transforms.ToTensor(), transforms.ToTorchImage()], "label": None},
    )
    return lambda: sum(len(images) for (images,) in loader)


def write(path: Path, count: int) -> None:
    """Write a file of random pictures."""
    from ffprep.beton.writing.writer import Writer
    from ffprep.fields import IntField, RGBImageField

    rng = np.random.default_rng(0)
    fields = {"image": RGBImageField(), "label": IntField()}
    with Writer(path, fields, count) as writer:
        for i in range(count):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            writer.write([fields["image"].encode(pixels), fields["label"].encode(i % 10)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    arguments = parser.parse_args()
    count, rounds = arguments.count, arguments.rounds
    setting = f"{count:,} pictures of 32x32, batches of 512, {rounds} rounds, {arguments.clock} time, one core"
    result = Result("small_pictures", setting, note=arguments.note)
    rows: list[list[Cell]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.beton"
        write(path, arguments.count)
        for normalise in (False, True):
            contestants = [
                Contestant(
                    library,
                    "small_pictures:runner",
                    {"library": library, "path": str(path), "normalise": normalise},
                    [arguments.core],
                    IMPORTABLE,
                    arguments.clock,
                )
                for library in ("ffcv", "ffprep")
            ]
            case = "flip, normalised float32" if normalise else "uint8 as stored"
            for timing in compare(contestants, arguments.rounds):
                result.add(timing, f"{case}: {timing.name}")
            ours, stock = f"{case}: ffprep", f"{case}: ffcv"
            rows.append([case, {"median": ours}, {"median": stock}, {"ratio": [ours, stock]}])
    result.tables["main"] = Table(["pictures", "images/s", "images/s, stock ffcv", "times as fast"], rows)
    if arguments.json:
        result.save(arguments.json)
    print(f"{result.caption()}\n\n{result.text()}")


if __name__ == "__main__":
    main()

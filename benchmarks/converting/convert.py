"""Conversion rate: ffprep beside stock ffcv's DatasetWriter, on the same image files with the same number of workers.

    python benchmarks/converting/convert.py --data /path/to/ImageFolder --workers 1 2 --copies 4 [--json FILE]

Each contestant runs in a process of its own and they take turns; a round converts all files once, from the page cache
to a new file that is forced to the disk. Stock ffcv decodes every image with Pillow and encodes it anew (write_mode
"jpg", quality 90, as its ImageNet script does; it cannot keep a file). ffprep is timed in its forms. With several
numbers of workers, all take turns. `--copies` links files several times, so that the start matters less.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ffprep.inspect.timing.paired import Contestant, compare
from ffprep.inspect.timing.results import Cell, Result, Table

Round = Callable[[], int]
FORMS = ("seekable", "keep", "reencode")


def into(run: Round, out: str) -> Round:
    """Remove the last round's file before each round, which is not timed: a conversion writes a new file."""
    run.prepare = lambda: Path(out).unlink(missing_ok=True)  # type: ignore[attr-defined]
    return run


def ffprep_conversion(folder: str, out: str, workers: int, jpeg: str) -> Round:
    """One round of ``ffprep convert imagenet``."""
    from ffprep.convert.conversion import convert
    from ffprep.fields import RGBImageField
    from ffprep.sources.imagenet import open_imagenet

    def run() -> int:
        source = open_imagenet(folder, "train", image=RGBImageField(jpeg=jpeg))
        return convert(source, out, workers=workers, overwrite=True).written

    return into(run, out)


class _Images:
    """A map-style data set of Pillow images and labels, as torchvision's ImageFolder is."""

    def __init__(self, folder: Path) -> None:
        classes = sorted(path.name for path in folder.iterdir())
        self.files = [(path, n) for n, name in enumerate(classes) for path in sorted((folder / name).iterdir())]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        path, label = self.files[index]
        with Image.open(path) as image:
            return image.convert("RGB"), label


def ffcv_conversion(folder: str, out: str, workers: int) -> Round:
    """One round of stock ffcv's writer on the same files."""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter

    def run() -> int:
        images = _Images(Path(folder) / "train")
        fields = {"image": RGBImageField(write_mode="jpg", jpeg_quality=90), "label": IntField()}
        DatasetWriter(out, fields, num_workers=workers).from_indexed_dataset(images)
        with Path(out).open("rb") as file:
            os.fsync(file.fileno())
        return len(images)

    return into(run, out)


def linked(data: Path, folder: Path, copies: int) -> Path:
    """Make a folder in which every image of another one is linked several times."""
    for path in sorted((data / "train").glob("*/*")):
        (folder / "train" / path.parent.name).mkdir(parents=True, exist_ok=True)
        for number in range(copies):
            (folder / "train" / path.parent.name / f"{number}_{path.name}").symlink_to(path)
    return folder


def named(name: str, workers: int, all_workers: list[int]) -> str:
    """The name of a contestant, with its workers where there are several numbers of them."""
    return name if len(all_workers) == 1 else f"{name}, {workers} worker{'' if workers == 1 else 's'}"


def main() -> None:
    """Times the contestants and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train/<class>/*; made of demo photographs if absent")
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--copies", type=int, default=1, help="convert every file so many times")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS, help="of ffprep; default: all")
    parser.add_argument("--alone", action="store_true", help="without stock ffcv, which takes most of the time")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = options.data
        if data is None:
            from ffprep.demo.photographs import make_photographs

            data = Path(scratch) / "photographs"
            make_photographs(data, 600)
        if options.copies > 1:
            data = linked(data.resolve(), Path(scratch) / "linked", options.copies)
        here = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
        contestants, rows = [], []
        for workers in options.workers:
            common = {"folder": str(data.resolve()), "workers": workers}
            stock = named("stock ffcv 1.0.2", workers, options.workers)
            for jpeg in options.forms:
                name = named(f"ffprep, {jpeg}", workers, options.workers)
                given = {**common, "out": f"{scratch}/{jpeg}.beton", "jpeg": jpeg}
                contestants.append(Contestant(name, "convert:ffprep_conversion", given, environment=here))
                rows.append(
                    (
                        name,
                        "" if options.alone else stock,
                        named(f"ffprep, {jpeg}", options.workers[0], options.workers),
                    )
                )
            if not options.alone:
                given = {**common, "out": f"{scratch}/stock.beton"}
                contestants.append(Contestant(stock, "convert:ffcv_conversion", given, environment=here))
                rows.append((stock, "", named("stock ffcv 1.0.2", options.workers[0], options.workers)))
        timings = compare(contestants, options.rounds)
    counts = " and ".join(map(str, options.workers))
    plural = "" if options.workers == [1] else "s"
    result = Result("convert", f"{counts} worker{plural}, {options.rounds} rounds, wall time", note=options.note)
    for timing in timings:
        result.add(timing)
    beside = [] if options.alone else ["times stock ffcv"]
    table: list[list[Cell]] = [
        [name, {"median": name}]
        + ([{"ratio": [name, stock]} if stock else ""] if beside else [])
        + ([{"ratio": [name, first]} if first != name else ""] if len(options.workers) > 1 else [])
        for name, stock, first in rows
    ]
    more = [f"times {options.workers[0]} worker"] if len(options.workers) > 1 else []
    result.tables["main"] = Table(["", "images/s", *beside, *more], table)
    if options.json:
        result.save(options.json)
    print(f"{result.caption()}\n\n{result.text()}")


if __name__ == "__main__":
    main()

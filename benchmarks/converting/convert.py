"""Conversion rate: ffprep beside stock ffcv's DatasetWriter, on the same image files with the same number of workers.

    python benchmarks/converting/convert.py --data /path/to/ImageFolder --workers 2 --rounds 5 [--json FILE]

Each contestant runs in a process of its own and they take turns; a round converts all files once, from the page cache
to a file that is forced to the disk. Stock ffcv decodes every image with Pillow and encodes it anew (write_mode "jpg",
quality 90, as its ImageNet script does; it cannot keep a file). ffprep is timed in its three forms.
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


def ffprep_conversion(folder: str, out: str, workers: int, jpeg: str) -> Round:
    """One round of ``ffprep convert imagenet``."""
    from ffprep.convert.conversion import convert
    from ffprep.fields import RGBImageField
    from ffprep.sources.imagenet import open_imagenet

    def run() -> int:
        source = open_imagenet(folder, "train", image=RGBImageField(jpeg=jpeg))
        return convert(source, out, workers=workers, overwrite=True).written

    return run


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

    return run


def main() -> None:
    """Times the contestants and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train/<class>/*; made of demo photographs if absent")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS, help="of ffprep; default: all")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = options.data
        if data is None:
            from ffprep.demo.photographs import make_photographs

            data = Path(scratch) / "photographs"
            make_photographs(data, 600)
        common = {"folder": str(data.resolve()), "workers": options.workers}
        here = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
        contestants = [
            Contestant(
                f"ffprep, {jpeg}",
                "convert:ffprep_conversion",
                {**common, "out": f"{scratch}/{jpeg}.beton", "jpeg": jpeg},
                environment=here,
            )
            for jpeg in options.forms
        ]
        stock_options = {**common, "out": f"{scratch}/stock.beton"}
        contestants.append(Contestant("stock ffcv 1.0.2", "convert:ffcv_conversion", stock_options, environment=here))
        timings = compare(contestants, options.rounds)
    stock = timings[-1].name
    result = Result("convert", f"{options.workers} workers, {options.rounds} rounds, wall time", note=options.note)
    rows: list[list[Cell]] = []
    for timing in timings:
        result.add(timing)
        rows.append(
            [timing.name, {"median": timing.name}, {"ratio": [timing.name, stock]} if timing.name != stock else ""]
        )
    result.tables["main"] = Table(["", "images/s", "times stock ffcv"], rows)
    if options.json:
        result.save(options.json)
    print(f"{result.caption()}\n\n{result.text()}")


if __name__ == "__main__":
    main()

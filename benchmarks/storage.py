"""What each form of storing images costs and buys: bytes an image, and images a second of one core.

    python benchmarks/storage.py --data /path/to/ImageFolder --cores 1 --markdown [--json FILE]

The folder is converted to every form by the command that a user would give; the loaders of all forms then take turns
(random resized crop to 224, flip, normalised float32 CHW), as in `benchmarks/loader.py`. The last columns say how many
times as fast as the first form a form is, and the bytes a second that it must be fed: what a disk or network has to
deliver for one core, where the file is not in memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loader import BATCH, RUNNERS, repeat_folder

from ffprep.inspect.timing.paired import Contestant, Timing, compare
from ffprep.inspect.timing.results import Cell, Result, Series, Table

FORMS: list[tuple[str, list[str]]] = [
    ("seekable", ["--jpeg", "seekable"]),
    ("keep", ["--jpeg", "keep"]),
    ("keep, with index", ["--jpeg", "keep", "--index"]),
    ("reencode, quality 90", ["--jpeg", "reencode"]),
    ("longer side 500, quality 90", ["--jpeg", "reencode", "--max-side", "500"]),
    ("longer side 400, quality 90", ["--jpeg", "reencode", "--max-side", "400"]),
    ("shorter side 256, quality 90", ["--jpeg", "reencode", "--min-side", "256"]),
    ("shorter side 256, quality 75", ["--jpeg", "reencode", "--min-side", "256", "--quality", "75"]),
    ("raw", ["--jpeg", "raw"]),
    ("raw, longer side 400", ["--jpeg", "raw", "--max-side", "400"]),
    ("raw, shorter side 256", ["--jpeg", "raw", "--min-side", "256"]),
]


@dataclass(frozen=True)
class Form:
    """A file of the images in one form.

    Attributes
    ----------
    name : str
    command : str
        Options of ``ffprep convert imagenet`` that make it.
    path : Path
    bytes_each : float
        Bytes of the file and of its index, for each image.
    """

    name: str
    command: str
    path: Path
    bytes_each: float


def make_form(name: str, options: Sequence[str], scratch: Path, images: int) -> Form:
    """Converts ``scratch/train`` by the command."""
    path = scratch / f"{len(list(scratch.glob('*.beton')))}.beton"
    command = [sys.executable, "-m", "ffprep", "convert", "imagenet", "--source", str(scratch), "--out", str(path)]
    done = subprocess.run([*command, *options, "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip()}")
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    return Form(name, " ".join(options), path, size / images)


def result_of(forms: Sequence[Form], timings: Sequence[Timing], setting: str, note: str) -> Result:
    """What was measured, with a row a form."""
    result = Result("storage", setting, note=note)
    rows: list[list[Cell]] = []
    for form, timing in zip(forms, timings, strict=True):
        size = f"{form.name}, bytes an image"
        fed = f"{form.name}, MB/s"
        result.add(timing, form.name, options=form.command)
        result.measured(size, [form.bytes_each], "bytes")
        result.series[fed] = Series(
            [rate * form.bytes_each / 1e6 for rate in result.series[form.name].values], "MB/s", timing.failure
        )
        rows.append(
            [
                form.name,
                f"`{form.command}`",
                {"median": size},
                {"median": form.name},
                {"ratio": [form.name, forms[0].name]},
                {"median": fed},
            ]
        )
    columns = ["form", "options", "bytes an image", "images/s", "times the first", "MB/s"]
    result.tables["main"] = Table(columns, rows)
    return result


def main() -> None:
    """Makes all forms, times them and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with [train/]<class>/*; made of demo photographs if absent")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=1500, help="repeat the folder up to at least this many")
    parser.add_argument("--cores", help="processor to pin to")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: per second of processor time")
    parser.add_argument("--scale", type=float, nargs=2, default=(0.08, 1.0), help="area of the random crops")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    options = parser.parse_args()
    cores = [int(core) for core in options.cores.split(",")][:1] if options.cores else None
    with tempfile.TemporaryDirectory(prefix="ffprep-storage-") as folder:
        scratch = Path(folder)
        data = options.data
        if data is None:
            from ffprep.demo.photographs import make_photographs

            data = make_photographs(scratch / "photographs", 500)
        count = repeat_folder(data, scratch, options.images)
        forms = [make_form(name, arguments, scratch, count) for name, arguments in FORMS]
        contestants = [
            Contestant(
                form.name,
                RUNNERS + "ffprep_loader",
                {"path": str(form.path), "batch_size": BATCH, "num_workers": 1, "scale": list(options.scale)},
                cores,
                clock=options.clock,
            )
            for form in forms
        ]
        timings = compare(contestants, options.rounds)
    setting = f"{count:,} images, batches of {BATCH}, {options.rounds} rounds, {options.clock} time"
    result = result_of(forms, timings, setting, options.note)
    if options.json:
        result.save(options.json)
    print(f"{result.caption()}\n\n{result.text(markdown=options.markdown)}")


if __name__ == "__main__":
    main()

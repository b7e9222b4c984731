"""What a loader of a set of very many files takes: to make it, in open files, and for a batch.

    python benchmarks/loading/many_files.py --files 1 1000 10000 --json benchmarks/results/NAME.json

Makes sets of so many files of one text a sample, all of the same samples in the same order, and opens each in a process
of its own that may have no more than ``--open`` files open at a time; 1,024 is usual. Figures are processor time of the
whole process, worker thread included. The samples are small and come in a random order, so that a batch reads as many
files as it has samples and what a file takes is not hidden behind decoding. The first epoch also compares every payload
with its checksum and maps every file; later ones do not. Linux and macOS only.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ffprep.inspect.timing.results import Result, Table

BATCH = 64
COLUMNS = ["files", "samples in each", "loader made, s", "open files", "first epoch, ms a batch", "later, ms a batch"]
KINDS = {"made": "s", "open": "files", "first": "ms", "later": "ms"}


def make_files(folder: Path, files: int, samples: int, size: int) -> None:
    """Write a set whose samples are the same for any number of files."""
    from ffprep.beton.writing.writer import Writer
    from ffprep.fields import BytesField

    rows = np.random.default_rng(0).integers(0, 256, (samples, size), np.uint8)
    field = BytesField()
    folder.mkdir()
    for number, part in enumerate(np.array_split(rows, files)):
        path = folder / f"many-{number:05}-of-{files:05}.beton"
        with Writer(path, {"text": field}, len(part)) as writer:
            for row in part:
                writer.write([field.encode(row.tobytes())])


def used() -> float:
    """Seconds of processor time of this process."""
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime


def measure(folder: Path, limit: int, size: int, epochs: int) -> dict[str, list[float]]:
    """Make a loader of a folder, and go through some epochs."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    from ffprep import Loader, OrderOption

    options = {"order": OrderOption.RANDOM, "seed": 0, "drop_last": True}
    with Loader(sorted(folder.iterdir())[0], 1, 1, **{**options, "drop_last": False}) as loader:
        next(iter(loader))  # libraries and compiled code are there now
    before = used()
    loader = Loader(folder, BATCH, 1, **options)
    found: dict[str, list[float]] = {"made": [used() - before], "open": [], "first": [], "later": []}
    with loader:
        for epoch in range(1 + epochs):
            begun, batches = used(), 0
            for texts, *_ in loader:
                batches += 1
                assert texts.shape == (BATCH, size)
            found["later" if epoch else "first"].append(1000 * (used() - begun) / batches)
            if not epoch:
                found["open"] = [len(list(Path("/dev/fd").iterdir())) - 1]
    return found


def main() -> None:
    """Measure every number of files and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[1, 1000, 10_000])
    parser.add_argument("--samples", type=int, default=100_000, help="of all files of a set together")
    parser.add_argument("--bytes", type=int, default=200, help="of a sample")
    parser.add_argument("--open", type=int, default=1024, help="files that a process may have open, as ulimit -n")
    parser.add_argument("--rounds", type=int, default=3, help="processes for each number of files, in turns")
    parser.add_argument("--epochs", type=int, default=2, help="later epochs in each process")
    parser.add_argument("--folder", type=Path, help="where to make the files, and where they are kept for another run")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.open, options.bytes, options.epochs)))
        return
    if min(options.files) < 1 or max(options.files) > options.samples or options.samples < BATCH:
        parser.error("--samples has to be at least --files and a batch of 64")
    found: dict[int, dict[str, list[float]]] = {files: {kind: [] for kind in KINDS} for files in options.files}
    with tempfile.TemporaryDirectory(prefix="ffprep-files-") as made:
        folders = {files: (options.folder or Path(made)) / f"{files}-{options.samples}" for files in options.files}
        for files, folder in folders.items():
            if not folder.exists():
                make_files(folder, files, options.samples, options.bytes)
        for _ in range(options.rounds):
            for files, folder in folders.items():
                command = [sys.executable, __file__, "--measure", str(folder)]
                for name in ("open", "bytes", "epochs"):
                    command += [f"--{name}", str(getattr(options, name))]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                for kind, values in json.loads(done.stdout).items():
                    found[files][kind] += values
    result = Result(
        "many_files",
        f"{options.samples:,} samples of {options.bytes} bytes, batches of {BATCH}, RANDOM, {options.open:,} open "
        f"files at most, processor time, {options.rounds} processes each",
        note=options.note,
    )
    table = result.tables["main"] = Table(COLUMNS, [])
    for files, kinds in found.items():
        for kind, values in kinds.items():
            result.measured(f"{files} files: {kind}", values, KINDS[kind])
        names = {kind: f"{files} files: {kind}" for kind in KINDS}
        table.rows.append(
            [
                f"{files:,}",
                f"{options.samples // files:,}",
                {"range": names["made"], "form": ".3f"},
                {"median": names["open"]},
                {"range": names["first"], "form": ".2f"},
                {"range": names["later"], "form": ".2f"},
            ]
        )
    if options.json:
        result.save(options.json)
    print(f"{result.caption()}\n\n{result.text()}")


if __name__ == "__main__":
    main()

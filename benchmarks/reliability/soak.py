"""Loads and converts for an hour while errors are injected, and looks whether memory, descriptors or threads grow.

    python benchmarks/reliability/soak.py [--minutes 60]

Each round loads damaged files with every ``on_error``, breaks epochs off, cuts and rewrites files under open loaders,
lets every kind of command fail (bad images, damaged files, writes that the system refuses), and lets it succeed. After
a warm-up the process is measured after each round. Ends with status 1 if something was not as it has to be, if there
are more descriptors, threads or children at the end, or if the memory of the last quarter is over that of the second
by more than a twentieth.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import random
import resource
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ffprep import Loader, OrderOption
from ffprep.beton import Reader
from ffprep.cli import main as ffprep
from ffprep.demo.photographs import make_photographs
from ffprep.errors import CorruptError, DecodeError, TruncatedError
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
from ffprep.loader import ErrorBudget

COUNT = 48
WARM = 0.1  # of the time, in which caches fill
GROWTH = 1.05


class Soak:
    """Files in a folder, and what is done with them.

    Parameters
    ----------
    folder : Path
        An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photographs = make_photographs(folder / "photographs", COUNT)
        self.bad_photographs = folder / "bad"
        shutil.copytree(self.photographs, self.bad_photographs)
        damaged = sorted(self.bad_photographs.rglob("*.JPEG"))[COUNT // 2]
        damaged.write_bytes(damaged.read_bytes()[:1000])
        self.good, self.damaged = folder / "good.beton", folder / "damaged.beton"
        self.convert(self.photographs, self.good)
        self.text = folder / "text.jsonl"
        self.text.write_text('{"text": "A photograph of a lake and mountains at night."}\n' * 400)
        self.random = random.Random(0)
        self.done: Counter[str] = Counter()
        self.damage()

    def command(self, *words: object, status: int = 0) -> None:
        """Run a command that has to end with a status."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                ffprep([str(word) for word in words])
                found: Any = 0
            except SystemExit as end:
                found = end.code or 0
        if found != status:
            raise AssertionError(f"{' '.join(map(str, words))}: status {found}: {said.getvalue()}")

    def convert(self, source: Path, out: Path, *more: str, status: int = 0) -> None:
        """Convert a folder of images."""
        self.command("convert", "imagenet", "--source", source, "--out", out, "--quiet", *more, status=status)

    def damage(self) -> None:
        """Make the damaged file anew, with other bad samples."""
        shutil.copy(self.good, self.damaged)
        with Reader(self.good) as reader:
            offsets, sizes = (part.tolist() for part in reader.extents("image"))
        self.bad = sorted(self.random.sample(range(COUNT), 3))
        with self.damaged.open("r+b") as file:
            for sample in self.bad:
                file.seek(offsets[sample] + self.random.randrange(sizes[sample]))
                byte = file.read(1)[0]
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte ^ 1 << self.random.randrange(8)]))

    def loader(self, path: Path, **options: Any) -> Loader:
        """Load random crops."""
        pipelines: Any = {"image": [RandomResizedCropRGBImageDecoder((64, 64))]}
        return Loader(path, 8, 2, order=OrderOption.RANDOM, seed=1, pipelines=pipelines, drop_last=False, **options)

    def load_damaged(self) -> None:
        """Skip, replace, raise, and pass a budget."""
        for on_error, wanted in (("skip", COUNT - len(self.bad)), ("replace", COUNT)):
            with self.loader(self.damaged, on_error=on_error) as loader:
                for _ in range(3):
                    rows = sum(len(images) for images, _ in loader)
                    assert rows == wanted, (on_error, rows)
                assert set(self.bad) <= set(loader.errors.samples)
        for options in ({}, {"on_error": "skip", "error_budget": ErrorBudget(count=1)}):
            with self.loader(self.damaged, **options) as loader, contextlib.suppress(DecodeError):
                for _ in loader:
                    pass
                raise AssertionError("a damaged file was loaded as if it were whole")

    def break_off(self) -> None:
        """Leave epochs before their end, closed and dropped."""
        for path in (self.good, self.damaged):
            loader = self.loader(path, on_error="skip")
            next(iter(loader))
            iterator = iter(loader)
            next(iterator)
            if path is self.good:
                loader.close()

    def change_open_file(self) -> None:
        """Cut a file, and write to it, under an open loader."""
        for error in (TruncatedError, CorruptError):
            path = self.folder / "open.beton"
            shutil.copy(self.good, path)
            with self.loader(path) as loader:
                assert sum(len(images) for images, _ in loader) == COUNT
                with path.open("r+b") as file:
                    if error is TruncatedError:
                        file.truncate(path.stat().st_size // 2)
                    else:
                        file.seek(30)
                        file.write(b"\xff")
                os.utime(path, ns=(1, self.random.randrange(1 << 40)))
                with contextlib.suppress(error):
                    for _ in loader:
                        pass
                    raise AssertionError(f"no {error.__name__}")
            path.unlink()

    def commands(self) -> None:
        """Let every kind of command fail and succeed."""
        out = self.folder / "out"
        out.mkdir()
        self.convert(self.bad_photographs, out / "x.beton", status=1)
        self.convert(self.bad_photographs, out / "x.beton", "--on-error", "skip", "--restart")
        self.command("verify", self.good)
        self.command("verify", self.damaged, status=1)
        self.command("repair", self.damaged, "--out", out / "repaired.beton")
        self.command("index", self.good, "--out", out / "good.index")
        self.command("merge", self.good, self.good, "--out", out / "merged.beton")
        self.command("merge", self.good, self.damaged, "--out", out / "other.beton", status=1)
        text = ("convert", "openwebtext", "--source", self.text, "--block", "16", "--quiet", "--out", out / "t.beton")
        with self.refused_writes():
            self.convert(self.photographs, out / "full.beton", status=1)
            self.command(*text, status=1)
            self.command("merge", self.good, self.good, "--out", out / "full2.beton", status=1)
        self.convert(self.photographs, out / "full.beton")
        self.command(*text)
        assert (out / "full.beton").read_bytes() == self.good.read_bytes()
        shutil.rmtree(out)

    @contextlib.contextmanager
    def refused_writes(self) -> Iterator[None]:
        """Let the system refuse files of more than a few bytes."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def round(self) -> None:
        """Everything once."""
        for part in (self.damage, self.load_damaged, self.break_off, self.change_open_file, self.commands):
            part()
            self.done[part.__name__] += 1
        gc.collect()


def measured() -> tuple[int, int, int, int]:
    """Memory of this process in bytes, open descriptors, threads, children."""
    memory = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    tasks = list(Path("/proc/self/task").iterdir())
    children = sum(len((task / "children").read_text().split()) for task in tasks)
    return memory, len(list(Path("/proc/self/fd").iterdir())), len(tasks), children


def main() -> int:
    """Soak, and say what grew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    minutes = parser.parse_args().minutes
    warnings.simplefilter("ignore")
    found = []
    with tempfile.TemporaryDirectory(prefix="ffprep-soak-") as made:
        soak = Soak(Path(made))
        begun = told = time.monotonic()
        while (passed := time.monotonic() - begun) < 60 * minutes:
            soak.round()
            if passed >= 60 * minutes * WARM:
                found.append(measured())
            if time.monotonic() - told > 300:
                told = time.monotonic()
                print(f"{passed / 60:.0f} minutes, {soak.done['commands']} rounds, {measured()}", flush=True)
    if len(found) < 8:
        print(f"{len(found)} rounds are too few to say whether anything grows")
        return 1
    table = np.array(found)
    quarter = len(table) // 4
    early, late = table[quarter : 2 * quarter], table[-quarter:]
    bad = float(np.median(late[:, 0])) > GROWTH * float(np.median(early[:, 0]))
    rounds = soak.done["commands"]
    print(f"{rounds} rounds in {minutes:g} minutes; second and last quarter of {len(table)} after the warm-up:")
    for column, name in enumerate(("MB", "descriptors", "threads", "children")):
        scale = 1e6 if name == "MB" else 1
        one, other = np.median(early[:, column]) / scale, np.median(late[:, column]) / scale
        most = table[:, column].max() / scale
        print(f"  {name:12} median {one:,.1f} and {other:,.1f}, at most {most:,.1f}")
        bad |= name != "MB" and other > one
    return int(bad)


if __name__ == "__main__":
    raise SystemExit(main())

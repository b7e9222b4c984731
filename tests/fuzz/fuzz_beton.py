"""The reader and the loader over damaged ``.beton`` files: values or a typed error that names the file, nothing else.

    python tests/fuzz/fuzz_beton.py {reader,loader} --runs 100000 [--seed 1] [--native LIBRARY]

The same seed gives the same files. ``--native`` takes a build of the JPEG library with sanitizers (see
``scripts/fuzz.py``), with which the interpreter has to be started. A finding is saved in the current folder and ends
the program.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from beton_files import COUNT, Damage, write_good

import ffprep.jpeg.native
from ffprep.beton import Reader
from ffprep.errors import BetonError, DecodeError, FfprepError, OptionError
from ffprep.fields.decoders import (
    BytesDecoder,
    CenterCropRGBImageDecoder,
    FloatDecoder,
    IntDecoder,
    JSONDecoder,
    NDArrayDecoder,
    RandomResizedCropRGBImageDecoder,
)

LONGEST = 20.0
"""Seconds of processor time that no file of this size may take."""


def read(path: Path, rng: random.Random) -> None:
    """Read everything that a file says, as a careful program would."""
    with Reader(path) as reader:
        for ask in (lambda: reader.manifest, reader.sample_names):
            with contextlib.suppress(BetonError):
                ask()
        for index in range(min(len(reader), 2 * COUNT)):
            for name in reader.fields:
                with contextlib.suppress(DecodeError):
                    reader.value(name, index)


def load(path: Path, rng: random.Random) -> None:
    """Load an epoch."""
    from ffprep import Loader, OrderOption

    crop = rng.choice((RandomResizedCropRGBImageDecoder((24, 24)), CenterCropRGBImageDecoder((16, 16), 0.8)))
    pipelines = {
        "image": [crop],
        "raw": [CenterCropRGBImageDecoder((8, 8), 1.0)],
        "label": [IntDecoder()],
        "text": [BytesDecoder()],
        "array": [NDArrayDecoder()],
        "facts": [JSONDecoder()],
        "score": [FloatDecoder()],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Loader(
            path,
            rng.choice((1, 2, COUNT)),
            1,
            order=rng.choice((OrderOption.SEQUENTIAL, OrderOption.RANDOM, OrderOption.QUASI_RANDOM)),
            seed=rng.randrange(100),
            drop_last=False,
            pipelines=pipelines,
            on_error=rng.choice(("raise", "skip", "replace")),
            check=rng.choice(("first", "off", "off")),
        ) as loader:
            for _ in loader:
                pass


TARGETS: dict[str, Callable[[Path, random.Random], None]] = {"reader": read, "loader": load}


def run(
    target: str, runs: int, seed: int, folder: Path, *, seconds: float | None = None, progress: bool = False
) -> Counter[str]:
    """Try `runs` damaged files, or for some seconds; return how often each error was seen, ``good`` for none.

    Raises
    ------
    AssertionError
        About a finding, whose file is ``finding.beton`` in the folder.
    """
    path = folder / "finding.beton"
    damage = Damage(write_good(folder / "good.beton"))
    TARGETS[target](folder / "good.beton", random.Random(0))  # compiles kernels
    seen: Counter[str] = Counter()
    end = None if seconds is None else time.monotonic() + seconds
    for number in itertools.count():
        if number == runs or (end is not None and time.monotonic() > end):
            break
        rng = random.Random(f"{seed} {number}")
        content = damage.draw(rng)
        path.unlink(missing_ok=True)  # not written over: a closed loader's last sample may still be read
        path.write_bytes(content)
        began = time.process_time()
        try:
            TARGETS[target](path, rng)
            seen["good"] += 1
        except FfprepError as error:
            seen[type(error).__name__] += 1
            named = isinstance(error, OptionError) or path.name in str(error)  # a pipeline that no longer fits
            assert named, f"run {number} of seed {seed}: the error does not name the file: {error}"
        except Exception as error:
            raise AssertionError(f"run {number} of seed {seed}: {type(error).__name__}: {error}") from error
        assert time.process_time() - began < LONGEST, f"run {number} of seed {seed} takes very long"
        if progress and number % 10_000 == 9_999:
            print(f"{number + 1:,} runs: {dict(seen)}", flush=True)
    path.unlink(missing_ok=True)
    return seen


def main() -> None:
    """Run one target."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--native", type=Path)
    options = parser.parse_args()
    if options.native is not None:
        ffprep.jpeg.native.LIBRARY_PATH = options.native.resolve()
    scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            runs = options.runs if options.seconds is None else -1
            seen = run(options.target, runs, options.seed, Path(folder), seconds=options.seconds, progress=True)
        except AssertionError:
            shutil.copy(Path(folder) / "finding.beton", "finding.beton")
            print("saved as finding.beton", file=sys.stderr)
            raise
    for name, count in sorted(seen.items()):
        print(f"{count:10,} {name}")


if __name__ == "__main__":
    main()

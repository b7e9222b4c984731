#!/usr/bin/env python3
"""Convert, verify and load JPEG files with the C library under AddressSanitizer and UndefinedBehaviorSanitizer.

    python scripts/sanitized_files.py FOLDER

Builds the library with the sanitizers into a copy of the package, and with that, for every file in FOLDER and each of
the forms seekable, keep, reencode and raw: converts a data set of this one image and, unless it is refused, verifies
the file and loads the image whole and as crops. Printed is a line for each file with what became of it.
A report of the sanitizers ends the program with its own text and the exit status 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORMS = ("seekable", "keep", "reencode", "raw")
FLAGS = ["-std=gnu11", "-g", "-O1", "-fPIC", "-shared", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
INSIDE = "--inside"


def build(package: Path) -> dict[str, str]:
    """Copy the package, with a library that has the sanitizers; return the environment that it runs in."""
    shutil.copytree(ROOT / "ffprep", package / "ffprep", ignore=shutil.ignore_patterns("__pycache__", "_native.so"))
    native = package / "ffprep" / "jpeg" / "native"
    library = native.parent / "_native.so"
    sources = sorted(map(str, native.rglob("*.c")))
    subprocess.run(["gcc", *FLAGS, f"-I{native}", *sources, "-o", str(library)], check=True)
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]),
        "LD_PRELOAD": runtime.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter leaks by design
    }


def became(path: Path, form: str, folder: Path) -> str:
    """Convert, verify and load one file; return what became of it in a few words."""
    from click.testing import CliRunner

    from ffprep import Loader
    from ffprep.cli import main as program
    from ffprep.fields.decoders import (
        CenterCropRGBImageDecoder,
        RandomResizedCropRGBImageDecoder,
        ResizeRGBImageDecoder,
    )

    source, out = folder / form / path.stem, folder / f"{path.stem}.{form}.beton"
    (source / "train" / "class").mkdir(parents=True)
    shutil.copy(path, source / "train" / "class" / "image.JPEG")
    command = ["convert", "imagenet", "--source", str(source), "--jpeg", form, "--quiet", "--out", str(out)]
    done = CliRunner().invoke(program, command)
    if done.exit_code:
        return f"refused: {done.output.strip().rpartition('(sample 0): ')[2]}"
    verified = CliRunner().invoke(program, ["verify", str(out)])
    decoders = (ResizeRGBImageDecoder((32, 32)), RandomResizedCropRGBImageDecoder((64, 64)))
    for decoder in (*decoders, CenterCropRGBImageDecoder((48, 48), 0.875), None):
        with Loader(out, 1, 1, pipelines={} if decoder is None else {"image": [decoder]}) as loader:
            for _ in range(3):
                assert len(list(loader)) == 1
    return "stored" if verified.exit_code == 0 else f"stored, and verify fails: {verified.output}"


def run(files: Sequence[Path]) -> None:
    """Print what becomes of the files."""
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            results = "; ".join(f"{form} {became(path, form, Path(folder))}" for form in FORMS)
            print(f"{path.name}: {results}", flush=True)


def main() -> int:
    """Build, and run this program again with the library built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        run(sorted(path for path in options.folder.iterdir() if path.is_file()))
        return 0
    with tempfile.TemporaryDirectory() as package:
        environment = build(Path(package))
        command = [sys.executable, __file__, INSIDE, str(options.folder.resolve())]
        return min(1, subprocess.run(command, env=environment, check=False).returncode)


if __name__ == "__main__":
    sys.exit(main())

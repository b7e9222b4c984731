"""How far the loader is from its limit: the time to entropy-decode just the bytes under the crop, beside all its time.

    python benchmarks/decoding/limit.py FILE.beton [--rounds 7] [--core 0] [--size 224] [--scale 0.08,1] [--json FILE]

The file must have been converted with restart markers (``--jpeg seekable``, the default). One core, one worker, random
resized crops to normalised float32. Stages of decoding are timed inside the C kernel (``limit.c``, built with the
compiler that ``cc`` names), the whole of an image's work around the function that the loader's threads call, the
quickest of the rounds counting each time. The loader's total is processor time, the median of the epochs, whose crops
differ, so the last row but one is uncertain by about 5 % of the total. ``FFPREP_SIMD=avx2`` or ``scalar`` in the
environment measures these levels.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

import ffprep.jpeg
from ffprep.beton.reader import Reader
from ffprep.fields import RGBImageField
from ffprep.inspect.timing.paired import Contestant, compare
from ffprep.inspect.timing.results import Cell, Result, Table
from ffprep.inspect.timing.runners import MEAN, STD
from ffprep.jpeg import one_image
from ffprep.kernels.image import job

NATIVE = Path(ffprep.jpeg.__file__).parent / "native"


def build(folder: Path, optimise: str = "-O3") -> Path:
    """Compile limit.c with the kernel's sources, by default as setup.py does."""
    program = folder / "limit"
    sources = [Path(__file__).with_name("limit.c"), *(p for p in sorted(NATIVE.rglob("*.c")) if p.name != "region.c")]
    compiler = shutil.which(os.environ.get("CC", "cc")) or "cc"
    command = [compiler, "-std=gnu11", optimise, "-Werror", f"-I{NATIVE}", *sources, "-o", program]
    subprocess.run(command, check=True)
    return program


def write_crops(path: Path, jpegs: list[np.ndarray], used: np.ndarray) -> None:
    """Write what limit.c reads: JPEGs with their crops, an array of BOX."""
    with path.open("wb") as file:
        for data, box in zip(jpegs, used, strict=False):
            at = [data.size, *(int(box[name]) for name in "xywh")]
            file.write(np.array(at, np.int64).tobytes() + data.tobytes())


def loop(
    jpegs: list[np.ndarray], sizes: list[tuple[int, int]], side: int, scale: tuple[float, float], rounds: int
) -> tuple[float, np.ndarray]:
    """Nanoseconds an image of all that a worker does to one, a call from Python included, and the crops it took."""
    n = 8  # timed at once: few, so that most rounds of a group are undisturbed
    places = 8  # such groups in the output, a batch of 64
    spec = job.image_spec(
        (side, side),
        crop="random",
        format="f32_chw",
        scale=scale,
        flip=0.5,
        stream=True,
        mean=[255 * m for m in MEAN],
        std=[255 * s for s in STD],
    )
    work = one_image.Work()
    work.set(spec)
    address = int(work.block.ctypes.data)
    decode = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 10)(one_image.entry())
    box = one_image.slots()["box"]  # one thread always takes the first slot
    out = np.zeros((places, n, 3, side, side), np.float32)
    groups = range(len(jpegs) // n)
    images = range(len(groups) * n)
    calls = []
    for i in images:
        (width, height), there = sizes[i], int(out[i // n % places, i % n].ctypes.data)
        calls.append((address, jpegs[i].ctypes.data, jpegs[i].size, width, height, 0, i, there, side, side))
    best = np.full(len(groups), np.inf)
    for _ in range(rounds + 1):
        for k in groups:
            group = calls[k * n : (k + 1) * n]
            start = time.process_time_ns()
            for call in group:
                decode(*call)
            best[k] = min(best[k], time.process_time_ns() - start)
    used = np.zeros(len(images), box.dtype)
    for i in images:
        assert decode(*calls[i]) == 0
        used[i] = box[0]
    return best.sum() / len(images), used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("beton")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--scale", default="0.08,1")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    arguments = parser.parse_args()
    low, high = (float(part) for part in arguments.scale.split(","))
    os.sched_setaffinity(0, [arguments.core])
    with Reader(arguments.beton) as reader, tempfile.TemporaryDirectory() as temporary:
        name = next(name for name, field in reader.fields.items() if isinstance(field, RGBImageField))
        jpegs = [np.array(reader.payload(name, i)) for i in range(reader.num_samples)]
        column = reader.column(name)
        sizes = [(int(row["width"]), int(row["height"])) for row in column]
        whole, used = loop(jpegs, sizes, arguments.size, (low, high), arguments.rounds)
        crops = Path(temporary) / "crops"
        write_crops(crops, jpegs, used)
        printed = subprocess.run(
            [build(Path(temporary)), str(arguments.rounds), crops], check=True, capture_output=True, text=True
        ).stdout.split()
    images, (header, find, entropy, inverse, decode) = int(printed[0]), (float(v) for v in printed[1:])
    options = {"path": arguments.beton, "size": arguments.size, "scale": [low, high], "exact": True}
    timing = compare(
        [Contestant("loader", "ffprep.inspect.timing.runners:ffprep_loader", options, [arguments.core], clock="cpu")],
        arguments.rounds,
    )[0]
    total = 1e9 / timing.median
    setting = f"{images} of {len(used)} images, {arguments.size} pixels, crops {low:g} to {high:g}, one core"
    result = Result("limit", setting, note=arguments.note)
    result.add(timing, "the loader")
    rows: list[list[Cell]] = []
    for stage, ns in (
        ("entropy decoding of what the crop needs", entropy),
        ("inverse DCT", inverse),
        ("headers, geometry, finding the segments", header + find),
        ("resampling, colour, normalising, writing", whole - decode),
        ("the loader around it", total - whole),
        ("all", total),
    ):
        result.measured(stage, [ns / 1e3], "us")
        rows.append([stage, {"median": stage}, {"share": [stage, "all"]}])
    result.tables["main"] = Table(["stage", "us an image", "share"], rows)
    if arguments.json:
        result.save(arguments.json)
    print(f"{result.caption()}\n\n{result.text(markdown=True)}")


if __name__ == "__main__":
    main()

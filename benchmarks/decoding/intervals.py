"""Restart markers (or index entries) every how many MCUs: bytes, time to make them, time to decode crops.

    python benchmarks/decoding/intervals.py FOLDER [--rounds 7] [--core 0] [--images 512] [--scale 0.08,1]

The baseline JPEGs of the folder, 4:4:4 and 4:2:0 apart. Each way of storing them is timed in a process of its own, in
turns, by processor time: a round decodes one random resized crop of every image to planes, three times over. "size" is
against the original stream, its index included; "make" is milliseconds an image to rewrite or index it; "decode"
milliseconds a crop; the last column how many times as fast as markers at the default interval, median of the rounds.
``FFPREP_SIMD=avx2`` or ``scalar`` in the environment measures these levels.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ffprep.abi import IMAGE
from ffprep.inspect.timing.paired import Contestant, compare, ratio
from ffprep.inspect.timing.runners import random_crop
from ffprep.jpeg import build_index, read_header, rewrite
from ffprep.jpeg.native import decode_request, library

SAMPLINGS = {"4:4:4": [(1, 1)] * 3, "4:2:0": [(2, 2), (1, 1), (1, 1)]}
WAYS = [
    "none",
    *(f"markers {n}" for n in ("default", 2, 4, 8, 16, 32, 64, "row")),
    *(f"index {n}" for n in (8, 16, 32)),
]


def streams(folder: str, sampling: str, limit: int) -> list[bytes]:
    """The folder's single-scan JPEGs of a sampling, in the order of their paths."""
    found = []
    for path in sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg")):
        data = path.read_bytes()
        header = read_header(data)
        if header.single_scan and not header.progressive and list(header.sampling) == SAMPLINGS[sampling]:
            found.append(data)
        if len(found) == limit:
            break
    return found


def stored(data: bytes, way: str) -> tuple[bytes, bytes]:
    """The stream and the index that a way of storing keeps."""
    kind, _, number = way.partition(" ")
    if kind == "none":
        return data, b""
    if kind == "index":
        return data, bytes(build_index(data, int(number)))
    if number == "default":
        return bytes(rewrite(data)), b""
    return bytes(rewrite(data, read_header(data).mcus[0] if number == "row" else int(number))), b""


def crops(folder: str, sampling: str, limit: int, way: str, scale: list[float]) -> Callable[[], int]:
    """What `paired` runs: an epoch decodes a crop of every image three times."""
    lib, image, rng = library(), np.zeros(1, IMAGE), np.random.default_rng(0)
    jobs = []
    for data in streams(folder, sampling, limit):
        header = read_header(data)
        box = random_crop(rng, header.width, header.height, scale)
        stream, index = (np.frombuffer(part, np.uint8) for part in stored(data, way))
        jobs.append((stream, index, box))
    context = lib.ffp_context_new()

    def epoch() -> int:
        for _ in range(3):
            for stream, index, box in jobs:
                request = decode_request(context, stream, box, image, (index.ctypes.data, index.size))
                status = lib.ffp_decode_region(request.ctypes.data)
                assert status == 0
        return 3 * len(jobs)

    return epoch


def table(folder: str, sampling: str, limit: int, rounds: int, core: int, scale: list[float]) -> None:
    """Measure and print one sampling."""
    images = streams(folder, sampling, limit)
    original = sum(map(len, images))
    where = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    options = {"folder": folder, "sampling": sampling, "limit": limit, "scale": scale}
    timings = compare(
        [
            Contestant(way, "intervals:crops", {**options, "way": way}, [core], {"PYTHONPATH": where}, "cpu")
            for way in WAYS
        ],
        rounds,
    )
    print(f"\n{sampling}: {len(images)} images, {original / len(images):,.0f} bytes each\n")
    print("| way | size | make, ms | decode, ms | against the default |\n|---|---|---|---|---|")
    for way, timing in zip(WAYS, timings, strict=True):
        start = time.process_time()
        size = sum(len(part) for data in images for part in stored(data, way))
        made = 1e3 * (time.process_time() - start) / len(images)
        if timing.failure:
            print(f"| {way} | {timing.failure} |")
            continue
        low, middle, high = ratio(timing, timings[1])
        change = 100 * (size / original - 1)
        print(
            f"| {way} | {change:+.2f} % | {made:.2f} | {1e3 / timing.median:.3f} "
            f"| {middle:.2f} ({low:.2f} - {high:.2f}) |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--scale", default="0.08,1")
    arguments = parser.parse_args()
    scale = [float(part) for part in arguments.scale.split(",")]
    for sampling in SAMPLINGS:
        table(arguments.folder, sampling, arguments.images, arguments.rounds, arguments.core, scale)


if __name__ == "__main__":
    main()

"""Stock ffcv's loader with its own decoders and with ffprep's, on the same file; figures of docs/porting.md.

    python benchmarks/loading/compat.py FILE.beton [FILE.beton ...] --rounds 7 --clock cpu

Each contestant is a stock ``ffcv.Loader`` in a process of its own, pinned to one processor, with the same pipeline:
random resized crop to 224, flip, normalisation to float32 CHW. They take turns, an epoch each a round.
"""

from __future__ import annotations

import argparse

from ffprep.inspect.timing.paired import Contestant, compare, ratio

RUNNER = "ffprep.inspect.timing.runners:ffcv_loader"
NAMES = {
    "stock": "stock decoder",
    "ffprep": "ffprep's decoder, stock flip",
    "ffprep+flip": "ffprep's decoder, which flips",
    "ffprep+all": "... and normalises",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    arguments = parser.parse_args()
    for path in arguments.files:
        contestants = [
            Contestant(name, RUNNER, {"path": path, "decoders": kind}, [arguments.core], clock=arguments.clock)
            for kind, name in NAMES.items()
        ]
        timings = compare(contestants, arguments.rounds)
        print(path)
        for timing in timings:
            if timing.failure:
                print(f"  {timing.name:32} {timing.failure}")
                continue
            low, middle, high = ratio(timing, timings[0])
            print(f"  {timing.name:32} {timing.median:7.0f} images/s  {middle:5.2f} x ({low:.2f}-{high:.2f})")


if __name__ == "__main__":
    main()

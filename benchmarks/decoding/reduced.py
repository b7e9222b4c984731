"""What decoding at a part of the resolution costs in accuracy, and what it buys: by output size and filter.

    python benchmarks/decoding/reduced.py FILE.beton [--rounds 7] [--core 0] [--sizes 224,112,64,32] [--filters NAMES]

Random resized crops (0.08 to 1 of the area), once with the decoder's default and once with ``exact=True``, the same
crops. Accuracy: the share of images that differ, and the peak signal-to-noise ratio of these (mean, 5 % quantile,
worst). Speed: the loaders take turns, a round each, in processes of their own (float32, normalised, one worker, by
processor time); the last columns are the median rate with ``exact=True`` and the ratio within a round, with its range.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from ffprep import Loader
from ffprep.beton.reader import Reader
from ffprep.fields import RGBImageField
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
from ffprep.inspect.timing.paired import Contestant, compare, ratio


def images_of(path: str, size: int, mode: str, exact: bool) -> np.ndarray:
    """All images of a file, cropped at random with one seed; (samples, size, size, 3) uint8."""
    with Reader(path) as reader:
        pipelines: dict[str, Any] = {
            name: [RandomResizedCropRGBImageDecoder(size, interpolation=mode, exact=exact)]
            if isinstance(field, RGBImageField)
            else None
            for name, field in reader.fields.items()
        }
    with Loader(path, 32, 1, seed=0, pipelines=pipelines, drop_last=False) as loader:
        return np.concatenate([np.array(images) for (images,) in loader])


def accuracy(path: str, size: int, mode: str) -> str:
    """Columns of the table: share of images that differ, and their PSNR."""
    exact, reduced = (images_of(path, size, mode, kind) for kind in (True, False))
    error = ((exact.astype(np.float32) - reduced) ** 2).mean((1, 2, 3))
    error = error[error > 0]
    if not len(error):
        return "0 % | - | - | -"
    psnr = 10 * np.log10(255**2 / error)
    share = 100 * len(error) / len(exact)
    return f"{share:.0f} % | {psnr.mean():.1f} | {np.percentile(psnr, 5):.1f} | {psnr.min():.1f}"


def speed(path: str, size: int, mode: str, rounds: int, core: int) -> str:
    """Columns of the table: the exact loader's rate, and how many times that the other one's is."""
    runner = "ffprep.inspect.timing.runners:ffprep_loader"
    options = {"path": path, "size": size, "interpolation": mode}
    contestants = [
        Contestant(str(exact), runner, {**options, "exact": exact}, cores=[core], clock="cpu")
        for exact in (True, False)
    ]
    exact, reduced = compare(contestants, rounds)
    if exact.failure or reduced.failure:
        return f"{exact.failure or reduced.failure} | -"
    low, middle, high = ratio(reduced, exact)
    return f"{exact.median:,.0f} | {middle:.2f} ({low:.2f} - {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("beton", help="with the fields image and label; any with images when --rounds is 0")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--sizes", default="224,112,64,32")
    parser.add_argument("--filters", default="bilinear,bicubic,area")
    arguments = parser.parse_args()
    print("| size | filter | reduced | mean dB | 5 % | worst | images/s, exact | times as fast |")
    print("|---|---|---|---|---|---|---|---|")
    for size in map(int, arguments.sizes.split(",")):
        for mode in arguments.filters.split(","):
            columns = accuracy(arguments.beton, size, mode)
            times = "- | -"
            if arguments.rounds:
                times = speed(arguments.beton, size, mode, arguments.rounds, arguments.core)
            print(f"| {size} | {mode} | {columns} | {times} |", flush=True)


if __name__ == "__main__":
    main()

"""What comparing payloads on first touch costs: epochs with and without, in turns, one thread, from the page cache.

    python benchmarks/reliability/first_touch.py FILE [--rounds 9] [--samples 1500]

Each round makes a loader of each kind, so that every epoch is a first one. Prints the ratio of times, pair by pair, and
of the fastest epochs, which other load on the machine disturbed least. Of
a file without images all blocks of tokens are loaded, 256 to a batch.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from ffprep import Loader, OrderOption
from ffprep.beton import Reader
from ffprep.fields import RGBImageField
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
from ffprep.presets.text import text_blocks


def first_epoch(path: str, samples: int, check: str, seed: int) -> float:
    fields = Reader(path).fields
    options = {"order": OrderOption.RANDOM, "seed": seed, "drop_last": False}
    if not any(isinstance(field, RGBImageField) for field in fields.values()):
        with text_blocks(path, 256, 1, check=check, **options) as loader:
            return processor_time(loader)
    pipelines: dict[str, Any] = {
        name: [RandomResizedCropRGBImageDecoder((224, 224))]
        for name, field in fields.items()
        if isinstance(field, RGBImageField)
    }
    indices = np.arange(min(samples, len(Reader(path))))
    batch = min(64, len(indices))
    with Loader(path, batch, 1, pipelines=pipelines, check=check, indices=indices, **options) as loader:
        return processor_time(loader)


def processor_time(loader: Loader) -> float:
    """Seconds of an epoch, of all threads."""
    iterator = iter(loader)
    begun = time.process_time()
    for _ in iterator:
        pass
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, default=1500)
    options = parser.parse_args()
    first_epoch(options.file, options.samples, "first", 0)
    ratios, fastest = [], {"first": np.inf, "off": np.inf}
    for seed in range(options.rounds):
        kinds = ("first", "off") if seed % 2 else ("off", "first")
        times = {check: first_epoch(options.file, options.samples, check, seed) for check in kinds}
        ratios.append(times["first"] / times["off"])
        fastest = {check: min(fastest[check], times[check]) for check in kinds}
    low, high = np.percentile(ratios, [25, 75])
    print(
        f"first / off: median {np.median(ratios):.4f}, quartiles {low:.4f} to {high:.4f}, {len(ratios)} pairs; "
        f"of the fastest of each: {fastest['first'] / fastest['off']:.4f}, {fastest['off']:.3f} s without"
    )


if __name__ == "__main__":
    main()

"""What it costs to load an image-text file through a mix: processor time of a sample, one file and several, in turns.

    python benchmarks/loading/mix.py coco.beton [--files 8] [--rounds 8]

The same file is opened several times, so that images and captions are the same and only the looking up differs. The
last line is JSON: microseconds of processor time a sample, the best of all rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from ffprep import Loader
from ffprep.presets import image_text_train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--samples", type=int, default=1024)
    choices = parser.parse_args()

    def loader(files: int) -> Loader:
        weights = None if files == 1 else "equal"
        return image_text_train(
            [choices.path] * files, 64, 1, 0, mask=True, trim=True, weights=weights, epoch_samples=choices.samples
        )

    loaders = {f"{files} files": loader(files) for files in (1, 2, choices.files)}
    best = dict.fromkeys(loaders, float("inf"))
    for number in range(choices.rounds + 1):
        for name, one in loaders.items():
            begin = time.process_time()
            samples = sum(len(batch[0]) for batch in one)
            if number:  # the first round compiles
                best[name] = min(best[name], (time.process_time() - begin) / samples)
    print(json.dumps({name: round(1e6 * seconds, 1) for name, seconds in best.items()}))


if __name__ == "__main__":
    main()

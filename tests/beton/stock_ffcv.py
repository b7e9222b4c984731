"""Runs stock ffcv in a process of its own, since it crashes, hangs and changes numba's state.

    python stock_ffcv.py read FILE OUT ORDER,OS_CACHE ...
    python stock_ffcv.py write FILE RECIPE SAMPLES WORKERS

``read`` makes ``OUT-ORDER-OS_CACHE.npz`` with one array a field, in the order in which samples came. ``write``
makes a file of samples of ``stock_recipes``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))


def read(path: str, out: str, *variants: str) -> None:
    from ffcv.loader import Loader, OrderOption

    for variant in variants:
        order, os_cache = variant.split(",")
        loader = Loader(
            path,
            batch_size=8,
            num_workers=1,
            order=OrderOption[order],
            os_cache=os_cache == "True",
            drop_last=False,
            seed=0,
            batches_ahead=1,
        )
        parts: dict[str, list[np.ndarray]] = {name: [] for name in loader.pipeline_specs}
        for values in loader:
            for name, value in zip(parts, values, strict=True):
                parts[name].append(np.array(value, copy=True))
        np.savez(f"{out}-{order}-{os_cache}.npz", **{name: np.concatenate(found) for name, found in parts.items()})


class Samples:
    """The recipe's samples, slow enough that every worker gets some where there are several."""

    def __init__(self, recipe: str, count: int, pause: float) -> None:
        self.recipe = recipe
        self.count = count
        self.pause = pause

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[object, ...]:
        import stock_recipes

        time.sleep(self.pause)
        return stock_recipes.sample(self.recipe, int(index))


def write(path: str, recipe: str, count: str, workers: str) -> None:
    import ffcv.fields
    import stock_recipes
    from ffcv.writer import DatasetWriter

    fields = stock_recipes.fields(recipe, ffcv.fields)
    writer = DatasetWriter(path, fields, page_size=1 << 21, num_workers=int(workers))
    writer.from_indexed_dataset(Samples(recipe, int(count), 0.05 if workers != "1" else 0), chunksize=3)


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])

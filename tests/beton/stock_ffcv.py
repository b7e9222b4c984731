"""Runs stock ffcv in a process of its own, since it crashes, hangs and changes numba's state.

    python stock_ffcv.py read FILE OUT ORDER OS_CACHE BATCH
    python stock_ffcv.py write OUT RECIPE SEED SAMPLES

``read`` stores one array a field, in the order in which samples came. ``write`` makes a file from
``stock_recipes.sample``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))


def read(path: str, out: str, order: str, os_cache: str, batch: str) -> None:
    from ffcv.loader import Loader, OrderOption

    loader = Loader(
        path,
        batch_size=int(batch),
        num_workers=1,
        order=OrderOption[order],
        os_cache=os_cache == "True",
        drop_last=False,
        seed=0,
        batches_ahead=1,
    )
    names = list(loader.pipeline_specs)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for values in loader:
        for name, value in zip(names, values, strict=True):
            parts[name].append(np.array(value, copy=True))
    widths = {name: max(part.shape[1:] for part in arrays) for name, arrays in parts.items()}
    assert all(part.shape[1:] == widths[name] for name, arrays in parts.items() for part in arrays)
    np.savez(out, **{name: np.concatenate(arrays) for name, arrays in parts.items()})


def write(out: str, recipe: str, seed: str, samples: str) -> None:
    import ffcv.fields
    import stock_recipes
    from ffcv.writer import DatasetWriter

    fields = stock_recipes.fields(recipe, ffcv.fields)
    values = [stock_recipes.sample(recipe, int(seed), index) for index in range(int(samples))]
    writer = DatasetWriter(out, fields, page_size=1 << 21, num_workers=1)
    writer.from_indexed_dataset(values, chunksize=10)


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])

"""What grows with a data set: opening a file of very many samples, or very many files, and their order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Round = Callable[[], int]


def ffprep_opening(paths: list[str]) -> Round:
    """Make ffprep's loader in random order and take its first batch of labels, without reading an image."""
    from ffprep import Loader, OrderOption

    def run() -> int:
        loader = Loader(
            paths if len(paths) > 1 else paths[0],
            64,
            1,
            order=OrderOption.RANDOM,
            seed=0,
            pipelines={"label": _labels(), "image": None},
        )
        with loader:
            next(iter(loader))
        return 1

    return run


def _labels() -> list[Any]:
    from ffprep.fields.decoders import IntDecoder
    from ffprep.transforms import ToTensor

    return [IntDecoder(), ToTensor()]


def ffcv_opening(paths: list[str]) -> Round:
    """The same with stock ffcv's loader."""
    from ffcv.fields.decoders import IntDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor

    def run() -> int:
        loader = Loader(
            paths[0],
            64,
            1,
            os_cache=True,
            order=OrderOption.RANDOM,
            seed=0,
            pipelines={"label": [IntDecoder(), ToTensor()], "image": None},
        )
        next(iter(loader))
        return 1

    return run


def shuffling(samples: int) -> Round:
    """ffprep's random order alone: the ids of a whole epoch, a batch of 1,024 at a time."""
    from ffprep.loader.order.order import RandomOrder

    order = RandomOrder(np.arange(samples), 0)
    epochs = iter(range(1 << 30))

    def run() -> int:
        epoch = next(epochs)
        for first in range(0, samples, 1024):
            order.ids(epoch, np.arange(first, min(samples, first + 1024)))
        return samples

    return run


def set_of_files(path: str, folder: str, count: int) -> list[str]:
    """Link a file under many names."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    names = [Path(folder) / f"part-{number:05d}.beton" for number in range(count)]
    for name in names:
        if not name.exists():
            name.hardlink_to(path)
    return [str(name) for name in names]

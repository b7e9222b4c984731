"""Runs a stock ``ffcv.Loader`` with ffprep's decoders, in a process of its own, since stock changes numba and torch.

    python stock_compat.py FILE DAMAGED OUT

Writes what it saw to OUT, an npz.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np


def load(path: str, decoder: Any, epochs: int = 1, tail: tuple[Any, ...] = (), **options: Any) -> list[np.ndarray]:
    from ffcv.fields.decoders import IntDecoder
    from ffcv.loader import Loader

    arguments = {"batch_size": 5, "num_workers": 1, "drop_last": False, "batches_ahead": 1, **options}
    loader = Loader(path, pipelines={"image": [decoder, *tail], "label": [IntDecoder()]}, **arguments)
    out = []
    for _ in range(epochs):
        out.append(np.concatenate([np.array(images) for images, _ in loader]))
    return out


def main(path: str, damaged: str, out: str) -> None:
    from ffcv.fields import decoders as stock
    from ffcv.loader import Loader
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, Squeeze, ToTensor, ToTorchImage

    from ffprep.compat import ffcv as ours

    found: dict[str, np.ndarray] = {}
    [found["center"]] = load(path, ours.CenterCropRGBImageDecoder((40, 40), 0.8))
    [found["pages"]] = load(path, ours.CenterCropRGBImageDecoder((40, 40), 0.8), os_cache=False)
    [found["area"]] = load(path, ours.CenterCropRGBImageDecoder((40, 40), 0.8, "area"))
    [found["stock"]] = load(path, stock.CenterCropRGBImageDecoder((40, 40), 0.8))
    [found["whole"]] = load(path, ours.ResizeRGBImageDecoder((24, 32)))
    [found["resized"]] = load(path, ours.ResizeCenterCropRGBImageDecoder(32, 40))
    for workers in (1, 2):
        decoder = ours.RandomResizedCropRGBImageDecoder(32, seed=4, flip_prob=0.5)
        found[f"random{workers}"] = np.stack(load(path, decoder, 2, num_workers=workers))
    decoder = ours.RandomResizedCropRGBImageDecoder((16, 16))
    loader = Loader(path, batch_size=4, num_workers=1, pipelines={"image": [decoder], "label": None})
    assert next(iter(loader))[0].shape == (4, 16, 16, 3)
    decoder.output_size = (32, 24)
    assert next(iter(loader))[0].shape == (4, 32, 24, 3)
    assert decoder.epoch == 1

    mean, std = np.array([120.0, 110.0, 100.0]), np.array([60.0, 61.0, 62.0])
    tail = [RandomHorizontalFlip(0.0), NormalizeImage(mean, std, np.float32), ToTensor(), ToTorchImage()]
    pipelines = {"image": [ours.ResizeRGBImageDecoder((24, 32)), *tail], "label": [stock.IntDecoder(), ToTensor()]}
    pipelines["label"].append(Squeeze())
    loader = Loader(path, batch_size=4, num_workers=1, pipelines=pipelines)
    found["normal"] = np.concatenate([images.numpy().copy() for images, _ in loader])
    decoder = ours.ResizeRGBImageDecoder((24, 32), mean=mean, std=std, dtype=np.float16)
    pipelines = {"image": [decoder, ToTensor(), ToTorchImage()], "label": None}
    loader = Loader(path, batch_size=4, num_workers=1, pipelines=pipelines)
    found["half"] = np.concatenate([images.numpy().copy() for (images,) in loader])

    decoder = ours.ResizeRGBImageDecoder(16)
    [found["damaged"]] = load(damaged, decoder)
    found["failures"] = np.array([sample for sample, _ in decoder.failures])
    found["reasons"] = np.array([reason for _, reason in decoder.failures])
    try:
        decoder.check()
    except Exception as error:
        found["complaint"] = np.array(str(error))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decoder.metadata = np.zeros(0)
        from ffcv.pipeline.graph import INITIAL_STATE

        decoder.declare_state_and_memory(INITIAL_STATE)
    found["warning"] = np.array(str(caught[0].message))
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])

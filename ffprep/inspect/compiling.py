"""Compiling what is not shipped of the kernels into numba's cache, before training starts for the first time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from ffprep.beton.writing.writer import Writer
from ffprep.fields import IntField, RGBImageField
from ffprep.loader import OrderOption
from ffprep.presets import imagenet_train


def compile_kernels() -> float:
    """Load a few batches of a temporary file, in the orders that need different kernels.

    All sizes, types and layouts of batches, and all crops and filters, share the same compiled code; augmentations are
    compiled when they are first used. Kernels that are in the cache already are not compiled again.

    Returns
    -------
    float
        Seconds that this took.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ffprep-compile-") as folder:
        path = Path(folder) / "x.beton"
        fields = {"image": RGBImageField("jpg", jpeg="seekable"), "label": IntField()}
        with Writer(path, fields, 2) as writer:
            for number in range(2):
                pixels = np.full((48, 64, 3), 100 * number, np.uint8)
                writer.write([fields["image"].encode(pixels), fields["label"].encode(number)])
        for order in (OrderOption.RANDOM, OrderOption.QUASI_RANDOM):
            with imagenet_train(path, batch_size=2, num_workers=1, seed=0, size=32, order=order) as loader:
                for _ in loader:
                    pass
    return time.perf_counter() - begun

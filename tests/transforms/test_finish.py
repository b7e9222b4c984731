"""Levels of augmented images as float32: each place of the batch, also where it is written past the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ffprep.abi import AUGMENTATION
from ffprep.kernels.image.job import RUN_SIGNATURE
from ffprep.kernels.jit import entry_address, kernel
from ffprep.kernels.memory import call_entry
from ffprep.transforms.compiled.run import run_program


@kernel
def finish(entry: int, augmentation: int, image: int, out: int) -> int:
    status: int = call_entry(entry, (augmentation, image, out, np.int64(0), np.int64(0), np.int64(0)))
    return status


@pytest.mark.parametrize("stream", [0, 1])
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("pixels", [1, 31, 32, 48, 512, 1040, 1061])
def test_floats_are_scaled_levels(pixels: int, planar: int, stream: int) -> None:
    image = np.random.default_rng(pixels).integers(0, 256, 3 * pixels, dtype=np.uint8)
    colour = np.array([0.5, 0.25, 2.0, -1.0, 3.0, 7.5], np.float32)
    memory = np.full(12 * pixels + 256, 77, np.uint8)
    at = -memory.ctypes.data % 64 + 64
    fields: Any = np.zeros(1, AUGMENTATION)
    fields["table"], fields["item"], fields["pixels"] = colour.ctypes.data, 4, pixels
    fields["planar"], fields["stream"] = planar, stream
    out = memory.ctypes.data + at
    assert finish(entry_address(run_program, RUN_SIGNATURE), fields.ctypes.data, image.ctypes.data, out) == 0
    written = memory[at : at + 12 * pixels].view(np.float32)
    wanted = image.reshape(-1, 3).astype(np.float32) * colour[:3] + colour[3:]
    assert np.array_equal(written, (wanted.T if planar else wanted).reshape(-1))
    assert (memory[:at] == 77).all() and (memory[at + 12 * pixels :] == 77).all()

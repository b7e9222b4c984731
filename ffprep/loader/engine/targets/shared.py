"""What the functions that make a row of what follows an image have in common.

Each is called by address, from the worker's own loop, with an :data:`ffprep.abi.TASK` whose ``target`` is an
:data:`ffprep.abi.TARGET`. Payloads are hostile: every number in them is checked before it is used as a place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.abi import AUGMENTATION_STEP, IMAGE_SPEC, TARGET, TASK, THREAD
from ffprep.kernels.image.view import grown
from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, call_entry, record_at
from ffprep.loader.engine.rows import payload

SIGNATURE = "int64(int64, int64, int64, int64, int64)"
"""C signature of a function that makes a row: addresses of task, row, sample, key and thread."""

ARRAY_MAGIC = int.from_bytes(b"FFA1", "little")
STEP_BYTES = AUGMENTATION_STEP.itemsize

task_at, target_at, thread_at = record_at(TASK), record_at(TARGET), record_at(THREAD)
spec_at, step_at = record_at(IMAGE_SPEC), record_at(AUGMENTATION_STEP)


@inline
def number(raw: NDArray[np.uint8], at: int, size: int) -> int:
    """Read a little-endian number that may lie anywhere."""
    value = np.int64(0)
    for k in range(size):
        value |= np.int64(raw[at + k]) << (8 * k)
    return value


@inline
def room(thread: Any, size: int) -> bool:
    """Let the thread have at least so much scratch memory; return whether there is."""
    thread.scratch, thread.scratch_size = grown(thread.scratch, thread.scratch_size, size)
    return thread.scratch_size >= size


ARRAY_HEAD = 16
"""Bytes before the values of an ``ArrayImageField``."""


@inline
def array_size(address: int, size: int) -> tuple[int, int]:
    """Return (height, width) of an image that is stored as an array, from its payload; (0, 0) if that is none."""
    if size < ARRAY_HEAD:
        return np.int64(0), np.int64(0)
    raw = bytes_at(address, ARRAY_HEAD)
    height, width = number(raw, 8, 4), number(raw, 12, 4)
    if number(raw, 0, 4) != ARRAY_MAGIC or not (0 < height <= 65535 and 0 < width <= 65535):
        return np.int64(0), np.int64(0)
    return height, width


@inline
def image_size(target: Any, sample: int) -> tuple[int, int]:
    """Return (height, width) of the image that is followed; (0, 0) if that is damaged."""
    if target.leader != 0:
        address, size = payload(task_at(target.leader), sample)
        return array_size(address, size)
    return recorded_size(target, sample)


@inline
def recorded_size(target: Any, sample: int) -> tuple[int, int]:
    """Return (height, width) of the image, from its record."""
    record = bytes_at(target.meta + sample * target.meta_stride, 5)
    return number(record, 3, 2), number(record, 1, 2)


@inline
def run_steps(target: Any, here: int, there: int, pixel: int, work: int, spec: Any, key: int) -> tuple[int, int]:
    """Carry out the steps; return the address of the result and the status."""
    for k in range(target.count):
        step = step_at(target.steps + k * STEP_BYTES)
        other = there if step.moves else here
        status = call_entry(
            step.entry,
            (
                here, other, step.h, step.w, step.out_h, step.out_w, np.int64(pixel), step.numbers, np.int64(work),
                spec.seed, spec.epoch, np.int64(key), step.stream,
            ),
        )  # fmt: skip
        if status != 0:
            return here, status
        if step.moves:
            here, there = there, here
    return here, np.int64(0)

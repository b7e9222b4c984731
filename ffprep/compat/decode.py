"""What the decoders for stock ffcv call from its compiled code: one image, in whatever thread that runs in.

A block of int64 (`W_*`) says what to do, as for ``ffprep.kernels.image.job``. Decoder contexts lie in slots that a
thread claims for one image, so it does not matter how many threads or loaders there are.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.jpeg import native
from ffprep.kernels.atomics import store_release, swap_if_equal
from ffprep.kernels.image import job as kernel_job
from ffprep.kernels.image.batch import process_image
from ffprep.kernels.image.job import S_OUT_H, S_OUT_W, S_PITCH, SPEC_SIZE, THREAD_SIZE
from ffprep.kernels.jit import entry_address
from ffprep.kernels.layout import NO_MEMORY
from ffprep.kernels.memory import atomic_add, call_entry, copy_bytes, doubles_at, floats_at, longs_at

SLOTS = 256
K_LOCK, K_ITEM, K_STATUS, K_USED, K_SPEC, K_THREAD = 0, 8, 16, 24, 32, 32 + SPEC_SIZE
SLOT_SIZE = (K_THREAD + THREAD_SIZE + 7) // 8 * 8
"""Entries of a slot (int64): who has it; the item, its status, box and specification; the thread's array."""

W_SPEC, W_REALS, W_COLOUR, W_SLOTS, W_NEW_CONTEXT, W_FAILED = 0, 1, 2, 3, 4, 5
W_FAILURES = 8
KEPT_FAILURES = 32
WORK_SIZE = W_FAILURES + 2 * KEPT_FAILURES
"""Entries of a decoder's block (int64): addresses of specification, numbers, colours, slots and
``ffp_context_new``; how many images failed; sample and status of the first of these."""

SIGNATURE = f"int64({', '.join(['int64'] * 10)})"


def decode_one(
    work: int,
    address: int,
    size: int,
    width: int,
    height: int,
    mode: int,
    sample: int,
    out: int,
    out_h: int,
    out_w: int,
) -> int:
    """Decode an image to uint8 (out_h, out_w, 3) at `out`, which is zero if that fails; return the status.

    Parameters
    ----------
    work : int
        Address of a decoder's block.
    address, size, width, height, mode, sample : int
        Where the stored bytes lie, what its record says, and its number.
    """
    block = longs_at(work, WORK_SIZE)
    slot = block[W_SLOTS]
    number = 0
    while not swap_if_equal(slot, np.int64(0), np.int64(1)):
        number += 1
        slot = block[W_SLOTS] + 8 * SLOT_SIZE * (number % SLOTS)
    spec = longs_at(slot + 8 * K_SPEC, SPEC_SIZE)
    copy_bytes(slot + 8 * K_SPEC, block[W_SPEC], 8 * SPEC_SIZE)
    spec[S_OUT_H], spec[S_OUT_W], spec[S_PITCH] = out_h, out_w, 3 * out_h * out_w
    items = longs_at(slot + 8 * K_ITEM, 8).reshape((1, 8))
    items[0, 0], items[0, 1], items[0, 2], items[0, 3] = address, size, width, height
    items[0, 4], items[0, 5], items[0, 6], items[0, 7] = mode, sample, 0, 0
    thread = longs_at(slot + 8 * K_THREAD, THREAD_SIZE)
    if thread[kernel_job.T_CONTEXT] == 0:
        thread[kernel_job.T_CONTEXT] = call_entry(block[W_NEW_CONTEXT], ())
    status = np.int64(NO_MEMORY)
    if thread[kernel_job.T_CONTEXT] != 0:
        status = process_image(
            0,
            items,
            spec,
            doubles_at(block[W_REALS], kernel_job.REALS_SIZE),
            floats_at(block[W_COLOUR], 6),
            out,
            longs_at(slot + 8 * K_STATUS, 1),
            doubles_at(slot + 8 * K_USED, kernel_job.USED_SIZE).reshape((1, kernel_job.USED_SIZE)),
            thread,
        )
    store_release(slot, np.int64(0))
    if status != 0:
        place = atomic_add(work + 8 * W_FAILED, 1)
        if place < KEPT_FAILURES:
            block[W_FAILURES + 2 * place] = sample
            block[W_FAILURES + 2 * place + 1] = status
    return int(status)


def entry() -> int:
    """Return the address of `decode_one`, compiled."""
    return entry_address(decode_one, SIGNATURE)


@cache
def slots() -> npt.NDArray[np.int64]:
    """Return the slots of this process, for as long as it lives."""
    made = np.zeros((SLOTS, SLOT_SIZE), np.int64)
    decode = ctypes.cast(native.library().ffp_decode_region, ctypes.c_void_p).value or 0
    made[:, K_THREAD : K_THREAD + THREAD_SIZE] = kernel_job.new_thread(0, decode)
    return made


class Work:
    """A decoder's block, and what it points at.

    Attributes
    ----------
    block : ndarray of int64
    """

    def __init__(self) -> None:
        self._spec = np.zeros(SPEC_SIZE, np.int64)
        self._reals = np.zeros(kernel_job.REALS_SIZE, np.float64)
        self._colour = np.zeros(6, np.float32)
        self.block = np.zeros(WORK_SIZE, np.int64)
        self.block[: W_NEW_CONTEXT + 1] = (
            self._spec.ctypes.data,
            self._reals.ctypes.data,
            self._colour.ctypes.data,
            slots().ctypes.data,
            ctypes.cast(native.library().ffp_context_new, ctypes.c_void_p).value or 0,
        )

    def set(self, spec: npt.NDArray[Any], reals: npt.NDArray[Any], colour: npt.NDArray[Any]) -> None:
        """Take over what `ffprep.kernels.image.job.image_spec` gave."""
        self._spec[:], self._reals[:], self._colour[:] = spec, reals, colour

    def failures(self) -> tuple[int, list[tuple[int, int]]]:
        """Return how many images failed, and sample and status of the first of them."""
        count = int(self.block[W_FAILED])
        kept = self.block[W_FAILURES : W_FAILURES + 2 * min(count, KEPT_FAILURES)].reshape(-1, 2)
        return count, [(int(sample), int(status)) for sample, status in kept]

    def forget_failures(self) -> None:
        """Begin to count anew."""
        self.block[W_FAILED] = 0

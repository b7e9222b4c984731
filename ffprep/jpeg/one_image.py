"""One image, decoded for compiled code that is not ours, in whatever thread that runs in: decoders in ffcv's style.

A decoder has a block (:data:`DECODER_BLOCK`) that says what to do. Decoder contexts lie in slots that a thread takes
for one image at a time, so it does not matter how many threads or loaders there are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.abi import BOX, CACHE_LINE, IMAGE_SPEC, ITEM, THREAD, offset_of
from ffprep.jpeg import native
from ffprep.kernels.atomics import store_release, swap_if_equal
from ffprep.kernels.image.batch import process_image
from ffprep.kernels.image.job import new_thread
from ffprep.kernels.jit import entry_address
from ffprep.kernels.layout import NO_MEMORY
from ffprep.kernels.memory import address_of, atomic_add, call_entry, copy_bytes, record_at

SLOTS = 256
KEPT_FAILURES = 32


def _slot() -> np.dtype[Any]:
    formats: list[Any] = [np.int64, ITEM, BOX, IMAGE_SPEC, THREAD]
    offsets = [0]
    for size in (CACHE_LINE, *(kind.itemsize for kind in formats[1:])):
        offsets.append(offsets[-1] + size)
    size = -(-offsets.pop() // CACHE_LINE) * CACHE_LINE
    return np.dtype(
        {"names": ["taken", "item", "box", "spec", "thread"], "formats": formats, "offsets": offsets, "itemsize": size}
    )


DECODER_SLOT = _slot()
"""What a thread takes for one image.

Whether it is taken, on a cache line of its own; the image, what it was cut to, its specification; what the thread owns
meanwhile."""

FAILURE = np.dtype([("sample", np.int64), ("status", np.int64)])
DECODER_BLOCK = np.dtype(
    [
        ("spec", np.int64),
        ("slots", np.int64),
        ("new_context", np.int64),
        ("failed", np.int64),
        ("failures", FAILURE, (KEPT_FAILURES,)),
    ]
)
"""What a decoder's compiled code is given.

Addresses of an IMAGE_SPEC, of the slots and of ``ffp_context_new``; how many images failed, and the first of these."""

FAILED = offset_of(DECODER_BLOCK, "failed")
block_at, slot_at = record_at(DECODER_BLOCK), record_at(DECODER_SLOT)
SLOT_BYTES, SPEC_BYTES = DECODER_SLOT.itemsize, IMAGE_SPEC.itemsize

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
        Where the stored bytes are, what the image's record says, and its number.
    """
    block = block_at(work)
    taken = block.slots  # a slot begins with the field that says whether it is taken
    number = 0
    while not swap_if_equal(taken, np.int64(0), np.int64(1)):
        number += 1
        taken = block.slots + SLOT_BYTES * (number % SLOTS)
    slot = slot_at(taken)
    spec, item, thread = slot.spec, slot.item, slot.thread
    copy_bytes(address_of(spec), block.spec, SPEC_BYTES)
    spec.out_h, spec.out_w, spec.pitch = out_h, out_w, 3 * out_h * out_w
    item.address, item.size, item.index, item.index_size = address, size, 0, 0
    item.width, item.height, item.mode, item.sample = width, height, mode, sample
    if thread.context == 0:
        thread.context = call_entry(block.new_context, ())
    status = np.int64(NO_MEMORY)
    if thread.context != 0:
        status = process_image(item, spec, out, slot.box, thread)
    store_release(taken, np.int64(0))
    if status != 0:
        place = atomic_add(work + FAILED, 1)
        if place < KEPT_FAILURES:
            block.failures[place].sample = sample
            block.failures[place].status = status
    return int(status)


def entry() -> int:
    """Return the address of `decode_one`, compiled."""
    return entry_address(decode_one, SIGNATURE)


@cache
def slots() -> npt.NDArray[np.void]:
    """Return the slots of this process, for as long as it lives."""
    made = np.zeros(SLOTS, DECODER_SLOT)
    decode = native.entry("ffp_decode_region")
    made["thread"] = new_thread(0, decode)
    return made


class Work:
    """A decoder's block, and what it points at.

    Attributes
    ----------
    block : ndarray of DECODER_BLOCK, shape (1,)
    """

    def __init__(self) -> None:
        self._spec = np.zeros(1, IMAGE_SPEC)
        self.block = np.zeros(1, DECODER_BLOCK)
        self.block["spec"] = self._spec.ctypes.data
        self.block["slots"] = slots().ctypes.data
        self.block["new_context"] = native.entry("ffp_context_new")

    def set(self, spec: npt.NDArray[np.void]) -> None:
        """Take over what `ffprep.kernels.image.job.image_spec` gave."""
        self._spec[:] = spec

    def failures(self) -> tuple[int, list[tuple[int, int]]]:
        """Return how many images failed, and sample and status of the first of them."""
        count = int(self.block["failed"][0])
        kept = self.block["failures"][0][: min(count, KEPT_FAILURES)]
        return count, [(int(failure["sample"]), int(failure["status"])) for failure in kept]

    def forget_failures(self) -> None:
        """Start counting again."""
        self.block["failed"] = 0

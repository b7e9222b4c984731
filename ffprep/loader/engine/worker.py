"""What a worker thread does, from its start to its end without the GIL.

Batches lie in a ring of slots. Each slot says which samples, where their rows go and what to do with them
(`ops`). A ticket is one row of one batch: batch ``ticket // batch_size``, row ``ticket % batch_size``. A
thread claims the next ticket of whatever batch it belongs to, so there is no barrier between batches and a
slow image holds up nobody but itself. Whoever finishes the last row of a batch writes a byte to a pipe that
the consumer reads. A thread without work sleeps in a read of another pipe.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.atomics import load_acquire, read, store_release, swap_if_equal, write
from ffprep.kernels.image.batch import process_image, process_views
from ffprep.kernels.image.job import S_NEXT
from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.memory import atomic_add, borrowed, bytes_at, longs_at
from ffprep.loader.engine.rows import (
    KIND_ARRAY,
    KIND_CAPTIONS,
    KIND_IMAGE,
    KIND_TOKENS,
    KIND_VALUE,
    KIND_VIEW,
    O_INDEX,
    O_INDEX_SIZES,
    O_KIND,
    O_META,
    O_META_STRIDE,
    O_OUT,
    O_ROW_BYTES,
    OUTSIDE,
    copy_array,
    copy_captions,
    copy_ragged,
    copy_tokens,
    copy_value,
    file_of,
    payload,
    zero,
)

LINE = 8
"""int64 to a cache line: counters that different threads write lie that far apart."""

CONTROL_SIZE = 8 * LINE
C_NEXT, C_PUBLISHED, C_SLEEPERS, C_STOP = 0, LINE, 2 * LINE, 3 * LINE
C_BATCH_SIZE, C_SLOTS, C_GRAIN, C_WORK_FD, C_DONE_FD = 4 * LINE, 4 * LINE + 1, 4 * LINE + 2, 4 * LINE + 3, 4 * LINE + 4
"""Entries of `control` (int64): next ticket, tickets published, threads asleep, order to end; then constants."""

SLOT_SIZE = 2 * LINE
SLOT_LEFT, SLOT_COUNT, SLOT_CANCELLED, SLOT_FAILED = 0, LINE, LINE + 1, LINE + 2
"""Entries of a row of `slots` (int64): tickets not finished yet, rows, whether to skip them, rows that failed."""


@inline
def _address(array: NDArray[np.int64], index: int) -> int:
    return np.int64(array.ctypes.data) + 8 * index


@inline
def _fill_item(item: NDArray[np.int64], op: NDArray[np.int64], sample: int, key: int) -> int:
    """Write down where an image lies, from its 13-byte record: mode u1, width u2, height u2, pointer u8."""
    record = bytes_at(op[O_META] + sample * op[O_META_STRIDE], 13)
    address, size = payload(op, sample)
    if size < 0:
        return np.int64(OUTSIDE)
    item[0] = address
    item[1] = size
    item[2] = np.int64(record[1]) | (np.int64(record[2]) << 8)
    item[3] = np.int64(record[3]) | (np.int64(record[4]) << 8)
    item[4] = np.int64(record[0])
    item[5] = key
    item[6] = 0
    item[7] = 0
    if op[O_INDEX] != 0:
        item[6] = longs_at(op[O_INDEX] + 8 * sample, 1)[0]
        item[7] = longs_at(op[O_INDEX_SIZES] + 8 * sample, 1)[0]
    return np.int64(0)


@inline
def _claim(control: NDArray[np.int64], count: int) -> tuple[int, int]:
    """Claim up to `count` tickets in a row: (first, how many), how many 0 when none is published."""
    while True:
        ticket = load_acquire(_address(control, C_NEXT))
        have = min(np.int64(count), load_acquire(_address(control, C_PUBLISHED)) - ticket)
        if have <= 0:
            return np.int64(0), np.int64(0)
        if swap_if_equal(_address(control, C_NEXT), ticket, ticket + have):
            return ticket, have


@inline
def _sleep(control: NDArray[np.int64], scratch: NDArray[np.uint8]) -> None:
    # Announce oneself first, look again, then sleep: publish() counts after it has published, so no wake-up is lost.
    atomic_add(_address(control, C_SLEEPERS), 1)
    idle = load_acquire(_address(control, C_NEXT)) >= load_acquire(_address(control, C_PUBLISHED))
    if idle and load_acquire(_address(control, C_STOP)) == 0:
        read(np.int32(control[C_WORK_FD]), np.int64(scratch.ctypes.data), 1)
    atomic_add(_address(control, C_SLEEPERS), -1)


@inline
def _do(
    op: NDArray[np.int64],
    row: int,
    sample: int,
    key: int,
    items: NDArray[np.int64],
    spec: NDArray[np.int64],
    reals: NDArray[np.float64],
    colour: NDArray[np.float32],
    used: NDArray[np.float64],
    status: NDArray[np.int64],
    thread: NDArray[np.int64],
) -> int:
    """Make one row of one operation from a sample of the operation's file; return its status."""
    kind = op[O_KIND]
    if kind == KIND_IMAGE:
        result = _fill_item(items[row], op, sample, key)
        if result == 0:
            return process_image(row, items, spec, reals, colour, op[O_OUT], status, used, thread)
        zero(op[O_OUT] + row * op[O_ROW_BYTES], op[O_ROW_BYTES])
        return result
    if kind == KIND_VALUE:
        return copy_value(op, row, sample)
    if kind == KIND_ARRAY:
        return copy_array(op, row, sample)
    if kind == KIND_CAPTIONS:
        return copy_captions(op, row, sample, key)
    return copy_ragged(op, row, sample)


@inline
def _views(
    result: int,
    row: int,
    first: int,
    ops: NDArray[np.int64],
    items: NDArray[np.int64],
    spec: NDArray[np.int64],
    reals: NDArray[np.float64],
    colour: NDArray[np.float32],
    status: NDArray[np.int64],
    used: NDArray[np.float64],
    thread: NDArray[np.int64],
) -> None:
    """Make one row of all operations that show the same image as operation `first`; write their statuses."""
    if result == 0:
        process_views(row, first, items, spec, reals, colour, ops[:, O_OUT], status, used, thread)
        return
    o = np.int64(first)
    while True:
        zero(ops[o, O_OUT] + row * ops[o, O_ROW_BYTES], ops[o, O_ROW_BYTES])
        status[o, row] = result
        o = spec[o, S_NEXT]
        if o == 0:
            return


@kernel
def work(
    control: NDArray[np.int64],
    slots: NDArray[np.int64],
    ids: NDArray[np.int64],
    keys: NDArray[np.int64],
    starts: NDArray[np.int64],
    ops: NDArray[np.int64],
    spec: NDArray[np.int64],
    reals: NDArray[np.float64],
    colour: NDArray[np.float32],
    items: NDArray[np.int64],
    used: NDArray[np.float64],
    status: NDArray[np.int64],
    thread: NDArray[np.int64],
    scratch: NDArray[np.uint8],
) -> None:
    """Work on published batches until told to stop.

    Parameters
    ----------
    control : int64 array (CONTROL_SIZE,)
    slots : int64 array (slots, SLOT_SIZE)
    ids, keys : int64 arrays (slots, batch size)
        Sample of each row, numbered over all files; what its random draws are keyed by.
    starts : int64 array (slots, files + 1)
        Number of each file's first sample.
    ops : int64 array (slots, files, ops, OP_SIZE)
        See ``ffprep.loader.engine.rows``.
    spec, reals, colour : arrays (slots, ops, 16), (slots, ops, 8), (slots, ops, 6)
        For image operations, see ``ffprep.kernels.image.job``.
    items, used, status : arrays (slots, ops, batch size, 8), (slots, ops, batch size, 5), (slots, ops,
    batch size)
        Work space of image operations, and what became of each row.
    thread : int64 array
        From ``ffprep.kernels.image.job.new_thread``.
    scratch : uint8 array, at least 1 byte
    """
    control, slots = borrowed(control), borrowed(slots)
    ids, keys, starts = borrowed(ids), borrowed(keys), borrowed(starts)
    ops, spec, reals, colour = borrowed(ops), borrowed(spec), borrowed(reals), borrowed(colour)
    items, used, status, thread = borrowed(items), borrowed(used), borrowed(status), borrowed(thread)
    batch_size = control[C_BATCH_SIZE]
    while load_acquire(_address(control, C_STOP)) == 0:
        first, have = _claim(control, control[C_GRAIN])
        if have == 0:
            _sleep(control, scratch)
            continue
        while have > 0:
            batch = first // batch_size
            row = first - batch * batch_size
            slot = batch % control[C_SLOTS]
            rows = min(have, batch_size - row)
            real = min(rows, slots[slot, SLOT_COUNT] - row)
            if real > 0 and load_acquire(np.int64(slots[slot, SLOT_CANCELLED:].ctypes.data)) == 0:
                failed = np.int64(0)
                for o in range(ops.shape[2]):
                    if ops[slot, 0, o, O_KIND] == KIND_TOKENS:
                        failed += copy_tokens(ops[slot], o, starts[slot], row, real, ids[slot], status[slot, o])
                        continue
                    for r in range(row, row + real):
                        file = file_of(starts[slot], ids[slot, r])
                        if ops[slot, 0, o, O_KIND] == KIND_VIEW:
                            failed += status[slot, o, r] != 0
                            continue
                        if ops[slot, 0, o, O_KIND] == KIND_IMAGE and spec[slot, o, S_NEXT] != 0:
                            sample = ids[slot, r] - starts[slot, file]
                            result = _fill_item(items[slot, o, r], ops[slot, file, o], sample, keys[slot, r])
                            _views(
                                result, r, o, ops[slot, file], items[slot], spec[slot], reals[slot], colour[slot],
                                status[slot], used[slot], thread,
                            )  # fmt: skip
                            failed += status[slot, o, r] != 0
                            continue
                        result = _do(
                            ops[slot, file, o], r, ids[slot, r] - starts[slot, file], keys[slot, r], items[slot, o],
                            spec[slot, o], reals[slot, o], colour[slot, o], used[slot, o], status[slot, o], thread,
                        )  # fmt: skip
                        status[slot, o, r] = result
                        failed += result != 0
                if failed > 0:
                    atomic_add(np.int64(slots[slot, SLOT_FAILED:].ctypes.data), failed)
            if atomic_add(np.int64(slots[slot, SLOT_LEFT:].ctypes.data), -rows) == rows:
                scratch[0] = 0
                write(np.int32(control[C_DONE_FD]), np.int64(scratch.ctypes.data), 1)
            first += rows
            have -= rows


@kernel
def publish(control: NDArray[np.int64], tickets: int) -> int:
    """Publish that many more tickets, whose slots are ready; return how many threads are asleep."""
    atomic_add(_address(control, C_PUBLISHED), tickets)
    return load_acquire(_address(control, C_SLEEPERS))


@kernel
def peek(array: NDArray[np.int64], index: int) -> int:
    """Return an entry that other threads write."""
    return load_acquire(_address(array, index))


@kernel
def poke(array: NDArray[np.int64], index: int, value: int) -> None:
    """Set an entry that other threads read."""
    store_release(_address(array, index), value)

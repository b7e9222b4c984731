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

from ffprep.kernels._jit import inline, kernel
from ffprep.kernels.batch import S_NEXT, process_image, process_views
from ffprep.kernels.memory import atomic_add, bytes_at, halves_at, ints_at, longs_at
from ffprep.loader.atomics import copy_memory, load_acquire, prefetch, read, store_release, swap_if_equal, write

LINE = 8
"""int64 to a cache line: counters that different threads write lie that far apart."""

CONTROL_SIZE = 8 * LINE
C_NEXT, C_PUBLISHED, C_SLEEPERS, C_STOP = 0, LINE, 2 * LINE, 3 * LINE
C_BATCH_SIZE, C_SLOTS, C_GRAIN, C_WORK_FD, C_DONE_FD = 4 * LINE, 4 * LINE + 1, 4 * LINE + 2, 4 * LINE + 3, 4 * LINE + 4
"""Entries of `control` (int64): next ticket, tickets published, threads asleep, order to end; then constants."""

SLOT_SIZE = 2 * LINE
SLOT_LEFT, SLOT_COUNT, SLOT_CANCELLED, SLOT_FAILED = 0, LINE, LINE + 1, LINE + 2
"""Entries of a row of `slots` (int64): tickets not finished yet, rows, whether to skip them, rows that failed."""

OP_SIZE = 16
O_KIND, O_OUT, O_ROW_BYTES, O_META, O_META_STRIDE, O_OFFSETS, O_SIZES, O_DATA, O_DATA_SIZE = range(9)
O_LENGTHS, O_ELEMENT, O_FILL, O_ROWS_EACH, O_INDEX, O_INDEX_SIZES = 9, 10, 11, 12, 13, 14
"""Entries of an operation (int64).

O_KIND, O_OUT, O_ROW_BYTES
    What it is, address of the batch's first row, bytes of a row.
O_META, O_META_STRIDE
    Address of the first sample's record, bytes from one to the next.
O_OFFSETS, O_SIZES, O_DATA, O_DATA_SIZE
    Addresses of two int64 a sample that say where its payload lies; address and size of the file.
O_LENGTHS, O_ELEMENT, O_FILL
    Address of the lengths of ragged rows or 0; bytes of an element; what to put behind the end, as an int64.
O_ROWS_EACH
    Of tokens: rows that lie one after the other at each of O_OFFSETS.
O_INDEX, O_INDEX_SIZES
    Of images: addresses of two int64 a sample, address and size of its seek index; 0 where there is none.
"""

KIND_VALUE, KIND_ARRAY, KIND_RAGGED, KIND_IMAGE, KIND_TOKENS, KIND_VIEW = 0, 1, 2, 3, 4, 5

AHEAD = 8
"""Rows of tokens to ask memory for before their turn: a row lies anywhere in the file, far from its neighbours."""
CACHE_LINE = 64

OUTSIDE, WRONG_SIZE = 104, 105
"""Status codes: the payload lies outside the file; it has another size than the row."""


@inline
def _address(array: NDArray[np.int64], index: int) -> int:
    return np.int64(array.ctypes.data) + 8 * index


@inline
def _payload(op: NDArray[np.int64], sample: int) -> tuple[int, int]:
    """Return address and size of a sample's payload, size -1 when it is not inside the file."""
    offset = longs_at(op[O_OFFSETS] + 8 * sample, 1)[0]
    size = longs_at(op[O_SIZES] + 8 * sample, 1)[0]
    if offset < 0 or size < 0 or offset > op[O_DATA_SIZE] or size > op[O_DATA_SIZE] - offset:
        return np.int64(0), np.int64(-1)
    return op[O_DATA] + offset, size


@inline
def _zero(address: int, size: int) -> None:
    row = bytes_at(address, size)
    for i in range(size):
        row[i] = 0


@inline
def _copy_value(op: NDArray[np.int64], row: int, sample: int) -> int:
    size = op[O_ROW_BYTES]
    copy_memory(op[O_OUT] + row * size, op[O_META] + sample * op[O_META_STRIDE], size)
    return np.int64(0)


@inline
def _copy_array(op: NDArray[np.int64], row: int, sample: int) -> int:
    want = op[O_ROW_BYTES]
    address, size = _payload(op, sample)
    if size != want:
        _zero(op[O_OUT] + row * want, want)
        return np.int64(OUTSIDE if size < 0 else WRONG_SIZE)
    copy_memory(op[O_OUT] + row * want, address, size)
    return np.int64(0)


@inline
def _ask_for(address: int, size: int) -> None:
    """Prefetch bytes that are needed soon."""
    for offset in range(0, size, CACHE_LINE):
        prefetch(address + offset)


@inline
def _tokens_address(op: NDArray[np.int64], sample: int, size: int) -> int:
    """Return the address of a sample's row of tokens, or -1 when it is not inside the file."""
    each = op[O_ROWS_EACH]
    group = sample // each
    offset = longs_at(op[O_OFFSETS] + 8 * group, 1)[0] + (sample - group * each) * size
    if offset < 0 or offset > op[O_DATA_SIZE] - size:
        return np.int64(-1)
    return op[O_DATA] + offset


@inline
def _widen(source: int, count: int, out: int, element: int) -> None:
    tokens = halves_at(source, count)
    if element == 8:
        longs = longs_at(out, count)
        for i in range(count):
            longs[i] = tokens[i]
    elif element == 4:
        ints = ints_at(out, count)
        for i in range(count):
            ints[i] = tokens[i]
    else:
        copy_memory(out, source, 2 * count)


@inline
def _copy_tokens(
    op: NDArray[np.int64], first: int, count: int, ids: NDArray[np.int64], status: NDArray[np.int64]
) -> int:
    """Copy rows of 16-bit tokens, widened to the batch's elements; return how many are not inside the file."""
    room, element = op[O_ROW_BYTES], op[O_ELEMENT]
    length = room // element
    failed = np.int64(0)
    for row in range(first, first + count):
        if row + AHEAD < first + count:
            _ask_for(_tokens_address(op, ids[row + AHEAD], 2 * length), 2 * length)
        out = op[O_OUT] + row * room
        source = _tokens_address(op, ids[row], 2 * length)
        if source < 0:
            _zero(out, room)
            status[row] = OUTSIDE
            failed += 1
        else:
            _widen(source, length, out, element)
            status[row] = 0
    return failed


@inline
def _copy_ragged(op: NDArray[np.int64], row: int, sample: int) -> int:
    room, element = op[O_ROW_BYTES], op[O_ELEMENT]
    address, size = _payload(op, sample)
    status = np.int64(0)
    if size < 0 or size % element != 0:
        status = np.int64(OUTSIDE if size < 0 else WRONG_SIZE)
        size = np.int64(0)
    size = min(size, room)
    begin = op[O_OUT] + row * room
    if size > 0:
        copy_memory(begin, address, size)
    rest = bytes_at(begin + size, room - size)
    for i in range(room - size):
        rest[i] = np.uint8((op[O_FILL] >> (8 * (i % element))) & 255)
    if op[O_LENGTHS] != 0:
        longs_at(op[O_LENGTHS] + 8 * row, 1)[0] = size // element
    return status


@inline
def _fill_item(item: NDArray[np.int64], op: NDArray[np.int64], sample: int) -> int:
    """Write down where an image lies, from its 13-byte record: mode u1, width u2, height u2, pointer u8."""
    record = bytes_at(op[O_META] + sample * op[O_META_STRIDE], 13)
    address, size = _payload(op, sample)
    if size < 0:
        return np.int64(OUTSIDE)
    item[0] = address
    item[1] = size
    item[2] = np.int64(record[1]) | (np.int64(record[2]) << 8)
    item[3] = np.int64(record[3]) | (np.int64(record[4]) << 8)
    item[4] = np.int64(record[0])
    item[5] = sample
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
    items: NDArray[np.int64],
    spec: NDArray[np.int64],
    reals: NDArray[np.float64],
    colour: NDArray[np.float32],
    used: NDArray[np.float64],
    status: NDArray[np.int64],
    thread: NDArray[np.int64],
) -> int:
    """Make one row of one operation; return its status."""
    kind = op[O_KIND]
    if kind == KIND_IMAGE:
        result = _fill_item(items[row], op, sample)
        if result == 0:
            return process_image(row, items, spec, reals, colour, op[O_OUT], status, used, thread)
        _zero(op[O_OUT] + row * op[O_ROW_BYTES], op[O_ROW_BYTES])
        return result
    if kind == KIND_VALUE:
        return _copy_value(op, row, sample)
    if kind == KIND_ARRAY:
        return _copy_array(op, row, sample)
    return _copy_ragged(op, row, sample)


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
        _zero(ops[o, O_OUT] + row * ops[o, O_ROW_BYTES], ops[o, O_ROW_BYTES])
        status[o, row] = result
        o = spec[o, S_NEXT]
        if o == 0:
            return


@kernel
def work(
    control: NDArray[np.int64],
    slots: NDArray[np.int64],
    ids: NDArray[np.int64],
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
    ids : int64 array (slots, batch size)
        Sample of each row.
    ops : int64 array (slots, ops, OP_SIZE)
    spec, reals, colour : arrays (slots, ops, 16), (slots, ops, 8), (slots, ops, 6)
        For image operations, see ``ffprep.kernels.batch``.
    items, used, status : arrays (slots, ops, batch size, 8), (slots, ops, batch size, 5), (slots, ops,
    batch size)
        Work space of image operations, and what became of each row.
    thread : int64 array
        From ``ffprep.kernels.batch.new_thread``.
    scratch : uint8 array, at least 1 byte
    """
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
                for o in range(ops.shape[1]):
                    if ops[slot, o, O_KIND] == KIND_TOKENS:
                        failed += _copy_tokens(ops[slot, o], row, real, ids[slot], status[slot, o])
                        continue
                    for r in range(row, row + real):
                        if ops[slot, o, O_KIND] == KIND_VIEW:
                            failed += status[slot, o, r] != 0
                            continue
                        if ops[slot, o, O_KIND] == KIND_IMAGE and spec[slot, o, S_NEXT] != 0:
                            result = _fill_item(items[slot, o, r], ops[slot, o], ids[slot, r])
                            _views(
                                result,
                                r,
                                o,
                                ops[slot],
                                items[slot],
                                spec[slot],
                                reals[slot],
                                colour[slot],
                                status[slot],
                                used[slot],
                                thread,
                            )
                            failed += status[slot, o, r] != 0
                            continue
                        result = _do(
                            ops[slot, o], r, ids[slot, r], items[slot, o], spec[slot, o], reals[slot, o],
                            colour[slot, o], used[slot, o], status[slot, o], thread,
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

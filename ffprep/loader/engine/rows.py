"""How a worker makes one row of a batch from what the files hold: numbers, arrays, tokens, captions, byte strings.

Each operation of each file is described by a line of numbers and addresses; every read is bounded by the file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.atomics import prefetch
from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, copy_bytes, halves_at, ints_at, longs_at
from ffprep.kernels.random import uniform

OP_SIZE = 32
O_KIND, O_OUT, O_ROW_BYTES, O_META, O_META_STRIDE, O_OFFSETS, O_SIZES, O_DATA, O_DATA_SIZE = range(9)
O_LENGTHS, O_ELEMENT, O_FILL, O_ROWS_EACH, O_INDEX, O_INDEX_SIZES = 9, 10, 11, 12, 13, 14
O_WIDTH, O_SOURCE, O_COLUMNS, O_COUNTS, O_COUNTS_STRIDE, O_CHOOSE, O_SEED, O_EPOCH, O_STREAM = range(16, 25)
"""Entries of an operation's line for one file (int64).

O_KIND, O_OUT, O_ROW_BYTES
    What it is, address of the batch's first row, bytes of a row.
O_META, O_META_STRIDE
    Address of the first sample's record, bytes from one to the next.
O_OFFSETS, O_SIZES, O_DATA, O_DATA_SIZE
    Addresses of two int64 a sample that say where its payload lies; address and size of the file.
O_LENGTHS, O_ELEMENT, O_FILL
    Address of the lengths of ragged rows or 0; bytes of an element; what to put behind the end, as an int64.
O_ROWS_EACH
    Of tokens and captions: rows that lie one after the other at each of O_OFFSETS.
O_INDEX, O_INDEX_SIZES
    Of images: addresses of two int64 a sample, address and size of its seek index; 0 where there is none.
O_WIDTH, O_SOURCE, O_COLUMNS
    Of captions: elements of a stored row, bytes of a stored element, elements of a row of the batch.
O_COUNTS, O_COUNTS_STRIDE
    Of captions: where the first sample's int64 lies that says how many rows count, bytes to the next; 0: all count.
O_CHOOSE, O_SEED, O_EPOCH, O_STREAM
    Of captions: which rows to take, key and counters of the draw.
"""

KIND_VALUE, KIND_ARRAY, KIND_RAGGED, KIND_IMAGE, KIND_TOKENS, KIND_VIEW, KIND_CAPTIONS = range(7)
CHOOSE_ALL, CHOOSE_FIRST, CHOOSE_RANDOM = 0, 1, 2

AHEAD = 8
"""Rows of tokens to ask memory for before their turn: a row lies anywhere in the file, far from its neighbours."""
CACHE_LINE = 64

OUTSIDE, WRONG_SIZE = 104, 105
"""Status codes: the payload lies outside the file; it has another size than the row."""


@inline
def file_of(starts: NDArray[np.int64], sample: int) -> int:
    """Return which file a sample is of; ``starts[file] <= sample < starts[file + 1]``."""
    low, high = 0, starts.size - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if starts[middle] <= sample:
            low = middle
        else:
            high = middle
    return low


@inline
def payload(op: NDArray[np.int64], sample: int) -> tuple[int, int]:
    """Return address and size of a sample's payload, size -1 when it is not inside the file."""
    offset = longs_at(op[O_OFFSETS] + 8 * sample, 1)[0]
    size = longs_at(op[O_SIZES] + 8 * sample, 1)[0]
    if offset < 0 or size < 0 or offset > op[O_DATA_SIZE] or size > op[O_DATA_SIZE] - offset:
        return np.int64(0), np.int64(-1)
    return op[O_DATA] + offset, size


@inline
def zero(address: int, size: int) -> None:
    row = bytes_at(address, size)
    for i in range(size):
        row[i] = 0


@inline
def copy_value(op: NDArray[np.int64], row: int, sample: int) -> int:
    size = op[O_ROW_BYTES]
    copy_bytes(op[O_OUT] + row * size, op[O_META] + sample * op[O_META_STRIDE], size)
    return np.int64(0)


@inline
def copy_array(op: NDArray[np.int64], row: int, sample: int) -> int:
    want = op[O_ROW_BYTES]
    address, size = payload(op, sample)
    if size != want:
        zero(op[O_OUT] + row * want, want)
        return np.int64(OUTSIDE if size < 0 else WRONG_SIZE)
    copy_bytes(op[O_OUT] + row * want, address, size)
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
        copy_bytes(out, source, 2 * count)


@inline
def copy_tokens(
    ops: NDArray[np.int64],
    o: int,
    starts: NDArray[np.int64],
    first: int,
    count: int,
    ids: NDArray[np.int64],
    status: NDArray[np.int64],
) -> int:
    """Copy rows of 16-bit tokens, widened to the batch's elements; return how many are not inside their file."""
    room, element = ops[0, o, O_ROW_BYTES], ops[0, o, O_ELEMENT]
    length = room // element
    failed = np.int64(0)
    for row in range(first, first + count):
        if row + AHEAD < first + count:
            file = file_of(starts, ids[row + AHEAD])
            _ask_for(_tokens_address(ops[file, o], ids[row + AHEAD] - starts[file], 2 * length), 2 * length)
        file = file_of(starts, ids[row])
        out = ops[0, o, O_OUT] + row * room
        source = _tokens_address(ops[file, o], ids[row] - starts[file], 2 * length)
        if source < 0:
            zero(out, room)
            status[row] = OUTSIDE
            failed += 1
        else:
            _widen(source, length, out, element)
            status[row] = 0
    return failed


@inline
def _element(address: int, size: int) -> int:
    """Read a little-endian number that may lie anywhere."""
    raw = bytes_at(address, size)
    value = np.int64(0)
    for i in range(size):
        value |= np.int64(raw[i]) << (8 * i)
    return value


@inline
def _put(address: int, size: int, value: int) -> None:
    raw = bytes_at(address, size)
    for i in range(size):
        raw[i] = np.uint8((value >> (8 * i)) & 255)


@inline
def _chosen(op: NDArray[np.int64], sample: int, key: int) -> tuple[int, int]:
    """Return the first of a sample's rows to take, and how many."""
    count = op[O_ROWS_EACH]
    if op[O_COUNTS] != 0:
        count = min(max(_element(op[O_COUNTS] + sample * op[O_COUNTS_STRIDE], 8), 0), count)
    if op[O_CHOOSE] == CHOOSE_ALL or count < 2:
        return np.int64(0), count
    if op[O_CHOOSE] == CHOOSE_FIRST:
        return np.int64(0), np.int64(1)
    draw = uniform(op[O_SEED], op[O_EPOCH], key, op[O_STREAM], 0)
    return np.int64(draw * count), np.int64(1)


@inline
def copy_captions(op: NDArray[np.int64], row: int, sample: int, key: int) -> int:
    """Copy the chosen rows of a sample, each filled up or cut to the batch's columns; the rest is filling."""
    room, element, columns = op[O_ROW_BYTES], op[O_ELEMENT], op[O_COLUMNS]
    width, size = op[O_WIDTH], op[O_SOURCE]
    out = op[O_OUT] + row * room
    source = op[O_META] + sample * op[O_META_STRIDE]
    if op[O_OFFSETS] != 0:
        source, have = payload(op, sample)
        if have != op[O_ROWS_EACH] * width * size:
            zero(out, room)
            return np.int64(OUTSIDE if have < 0 else WRONG_SIZE)
    first, count = _chosen(op, sample, key)
    for r in range(room // (element * columns)):
        target = out + r * columns * element
        begin = source + (first + r) * width * size
        used = min(width, columns) if r < count else np.int64(0)
        if size == 2:
            _widen(begin, used, target, element)
        else:
            for i in range(used):
                _put(target + i * element, element, _element(begin + i * size, size))
        for i in range(used, columns):
            _put(target + i * element, element, op[O_FILL])
    return np.int64(0)


@inline
def copy_ragged(op: NDArray[np.int64], row: int, sample: int) -> int:
    room, element = op[O_ROW_BYTES], op[O_ELEMENT]
    address, size = payload(op, sample)
    status = np.int64(0)
    if size < 0 or size % element != 0:
        status = np.int64(OUTSIDE if size < 0 else WRONG_SIZE)
        size = np.int64(0)
    size = min(size, room)
    begin = op[O_OUT] + row * room
    if size > 0:
        copy_bytes(begin, address, size)
    rest = bytes_at(begin + size, room - size)
    for i in range(room - size):
        rest[i] = np.uint8((op[O_FILL] >> (8 * (i % element))) & 255)
    if op[O_LENGTHS] != 0:
        longs_at(op[O_LENGTHS] + 8 * row, 1)[0] = size // element
    return status

"""How a worker makes one row of a batch from what the files hold: numbers, arrays, tokens, captions, byte strings.

An :data:`ffprep.abi.TASK` describes each operation on each file. Rows and samples are counted from 0, samples within
their file; every read stays inside the file. Each function that makes a row returns its status, 0 or a code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.abi import CACHE_LINE
from ffprep.kernels.atomics import prefetch
from ffprep.kernels.jit import inline
from ffprep.kernels.memory import (
    bytes_at,
    call_entry,
    copy_bytes,
    fill_zero,
    get_i64,
    get_u8,
    halves_at,
    ints_at,
    longs_at,
)
from ffprep.kernels.random import uniform

KIND_VALUE, KIND_ARRAY, KIND_RAGGED, KIND_IMAGE, KIND_TOKENS, KIND_VIEW, KIND_CAPTIONS, KIND_TARGET = range(8)
"""Kinds of tasks; a view is made with the image operation whose ``IMAGE_SPEC.next`` leads to it."""

CHOOSE_ALL, CHOOSE_FIRST, CHOOSE_RANDOM = 0, 1, 2

AHEAD = 8
"""How many rows of tokens are prefetched before their turn: a row may lie anywhere in the file, far from the last.

Of pictures, what the tables say of them."""

PREFETCHED = 512
"""Most bytes of a picture that are prefetched: the processor itself reads ahead in longer ones."""

SIZE_OF_IMAGE = (1 << 40) - 1
"""The bits of an image's record, read as an int64, that say how it is stored, its width and its height."""

OUTSIDE, WRONG_SIZE, CHANGED, BAD_MASK = 104, 105, 106, 107
"""Status codes: the payload does not lie inside the file; its size is not that of the row; its checksum is wrong;
it is no label mask."""

GOOD = 2
"""State of a payload whose checksum was compared and is right."""


@inline
def changed(task: Any, sample: int) -> bool:
    """Whether a sample's payload has a checksum and is not what was written; hashes it if nobody has yet."""
    if task.sums == 0:
        return False
    unit = sample if task.check_rows == 1 else sample // task.check_rows  # a division takes as long as all else here
    state = np.int64(0)
    if task.states != 0:
        state = task.states + unit
        if get_u8(state) == GOOD:
            return False
    offset = get_i64(task.check_offsets + unit * task.check_offset_stride)
    size = get_i64(task.check_sizes + unit * task.check_size_stride)
    if offset < 0 or size < 0 or offset > task.data_size or size > task.data_size - offset:
        return True
    return call_entry(task.check, (task.data + offset, size, task.sums + unit * task.sum_stride, state)) != GOOD


@inline
def file_of(starts: NDArray[np.int64], sample: int) -> int:
    """Return the file that holds a sample, numbered over all files: ``starts[file] <= sample < starts[file + 1]``."""
    low, high = 0, starts.size - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if starts[middle] <= sample:
            low = middle
        else:
            high = middle
    return low


@inline
def payload(task: Any, sample: int) -> tuple[int, int]:
    """Return address and size of a sample's payload; where it cannot be used, a negative status as its size."""
    offset = get_i64(task.offsets + sample * task.offset_stride)
    size = get_i64(task.sizes + sample * task.size_stride)
    if offset < 0 or size < 0 or offset > task.data_size or size > task.data_size - offset:
        return np.int64(0), np.int64(-OUTSIDE)
    if changed(task, sample):
        return np.int64(0), np.int64(-CHANGED)
    return task.data + offset, size


@inline
def copy_value(task: Any, row: int, sample: int) -> int:
    """Copy a value that lies in the sample's record."""
    size = task.row_bytes
    copy_bytes(task.out + row * size, task.meta + sample * task.meta_stride, size)
    return np.int64(0)


@inline
def copy_array(task: Any, row: int, sample: int) -> int:
    """Copy a payload of exactly a row's size."""
    want = task.row_bytes
    address, size = payload(task, sample)
    if size != want:
        fill_zero(task.out + row * want, want)
        return -size if size < 0 else np.int64(WRONG_SIZE)
    copy_bytes(task.out + row * want, address, size)
    return np.int64(0)


@inline
def copy_picture(task: Any, row: int, sample: int, record: int) -> bool:
    """Copy a picture whose stored bytes are the row's, if its record begins with `record` and it can be used."""
    if get_i64(task.meta + sample * task.meta_stride) & SIZE_OF_IMAGE != record:
        return False
    address, size = payload(task, sample)
    if size != task.row_bytes:
        return False
    copy_bytes(task.out + row * size, address, size)
    return True


@inline
def _prefetch_all(address: int, size: int) -> None:
    """Prefetch bytes that will be needed soon."""
    for offset in range(0, size, CACHE_LINE):
        prefetch(address + offset)


@inline
def prefetch_pictures(
    tasks: NDArray[np.void], o: int, starts: NDArray[np.int64], ids: NDArray[np.int64], row: int, end: int
) -> None:
    """Prefetch what rows before `end` need that come soon after `row`: table entries of one, pixels of a nearer one.

    Parameters as of :func:`copy_tokens`.
    """
    if row + AHEAD < end:
        file = file_of(starts, ids[row + AHEAD])
        sample = ids[row + AHEAD] - starts[file]
        prefetch(tasks[file, o].offsets + sample * tasks[file, o].offset_stride)
        prefetch(tasks[file, o].sizes + sample * tasks[file, o].size_stride)
        prefetch(tasks[file, o].meta + sample * tasks[file, o].meta_stride)
    if row + 2 < end:
        file = file_of(starts, ids[row + 2])
        sample = ids[row + 2] - starts[file]
        address = tasks[file, o].data + get_i64(tasks[file, o].offsets + sample * tasks[file, o].offset_stride)
        _prefetch_all(address, min(get_i64(tasks[file, o].sizes + sample * tasks[file, o].size_stride), PREFETCHED))


@inline
def _tokens_address(task: Any, sample: int, size: int) -> int:
    """Return the address of a sample's row of tokens, or -1 when it is not inside the file."""
    each = task.rows_each
    group = sample // each
    offset = get_i64(task.offsets + group * task.offset_stride) + (sample - group * each) * size
    if offset < 0 or offset > task.data_size - size:
        return np.int64(-1)
    return task.data + offset


@inline
def _widen(source: int, count: int, stored: int, out: int, element: int) -> None:
    """Copy `count` tokens of 2 or 4 bytes, as they are stored, to elements of as many bytes or more."""
    if element == stored:
        copy_bytes(out, source, stored * count)
        return
    tokens = halves_at(source, count)
    wide = ints_at(source, count)
    if element == 8 and stored == 2:
        longs = longs_at(out, count)
        for i in range(count):
            longs[i] = tokens[i]
    elif element == 8:
        longs = longs_at(out, count)
        for i in range(count):
            longs[i] = wide[i]
    elif element == 4:
        ints = ints_at(out, count)
        for i in range(count):
            ints[i] = tokens[i]


@inline
def copy_tokens(
    tasks: NDArray[np.void],
    o: int,
    starts: NDArray[np.int64],
    first: int,
    count: int,
    ids: NDArray[np.int64],
    status: NDArray[np.int64],
) -> int:
    """Copy `count` rows of tokens from row `first` on, widened to the batch's elements; return how many failed.

    Parameters
    ----------
    tasks : array of TASK, shape (files, operations)
    o : int
        Operation.
    starts : int64 array, shape (files + 1,)
        Number of each file's first sample.
    first, count : int
    ids, status : int64 arrays, shape (rows,)
        Sample of each row, numbered over all files; receives the status of each row.
    """
    room, element = tasks[0, o].row_bytes, tasks[0, o].element
    length, stored = room // element, tasks[0, o].source
    size = stored * length
    failed = np.int64(0)
    for row in range(first, first + count):
        if row + AHEAD < first + count:
            file = file_of(starts, ids[row + AHEAD])
            _prefetch_all(_tokens_address(tasks[file, o], ids[row + AHEAD] - starts[file], size), size)
        file = file_of(starts, ids[row])
        out = tasks[0, o].out + row * room
        source = _tokens_address(tasks[file, o], ids[row] - starts[file], size)
        if source < 0 or changed(tasks[file, o], ids[row] - starts[file]):
            fill_zero(out, room)
            status[row] = OUTSIDE if source < 0 else CHANGED
            failed += 1
        else:
            _widen(source, length, stored, out, element)
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
    """Write a little-endian number that may lie anywhere."""
    raw = bytes_at(address, size)
    for i in range(size):
        raw[i] = np.uint8((value >> (8 * i)) & 255)


@inline
def _chosen(task: Any, sample: int, key: int) -> tuple[int, int]:
    """Return the first of a sample's rows to take, and how many."""
    count = task.rows_each
    if task.counts != 0:
        count = min(max(_element(task.counts + sample * task.counts_stride, 8), 0), count)
    if task.choose == CHOOSE_ALL or count < 2:
        return np.int64(0), count
    if task.choose == CHOOSE_FIRST:
        return np.int64(0), np.int64(1)
    draw = uniform(task.seed, task.epoch, key, task.stream, 0)
    return np.int64(draw * count), np.int64(1)


@inline
def copy_captions(task: Any, row: int, sample: int, key: int) -> int:
    """Copy the chosen rows of a sample, each cut or filled up to the batch's columns; rows that are missing are filled.

    `key` is what the sample's random draw is keyed by.
    """
    room, element, columns = task.row_bytes, task.element, task.columns
    width, size = task.width, task.source
    out = task.out + row * room
    source = task.meta + sample * task.meta_stride
    if task.offsets != 0:
        source, have = payload(task, sample)
        if have != task.rows_each * width * size:
            fill_zero(out, room)
            return -have if have < 0 else np.int64(WRONG_SIZE)
    first, count = _chosen(task, sample, key)
    for r in range(room // (element * columns)):
        target = out + r * columns * element
        begin = source + (first + r) * width * size
        used = min(width, columns) if r < count else np.int64(0)
        if size < 8 and size <= element:
            _widen(begin, used, size, target, element)
        else:
            for i in range(used):
                _put(target + i * element, element, _element(begin + i * size, size))
        for i in range(used, columns):
            _put(target + i * element, element, task.fill)
    return np.int64(0)


@inline
def copy_ragged(task: Any, row: int, sample: int) -> int:
    """Copy a payload of any size, cut to the row or filled up after its end, and write down its length."""
    room, element = task.row_bytes, task.element
    address, size = payload(task, sample)
    status = np.int64(0)
    if size < 0 or size % element != 0:
        status = -size if size < 0 else np.int64(WRONG_SIZE)
        size = np.int64(0)
    size = min(size, room)
    begin = task.out + row * room
    if size > 0:
        copy_bytes(begin, address, size)
    rest = bytes_at(begin + size, room - size)
    for i in range(room - size):
        rest[i] = np.uint8((task.fill >> (8 * (i % element))) & 255)
    if task.lengths != 0:
        longs_at(task.lengths + 8 * row, 1)[0] = size // element
    return status

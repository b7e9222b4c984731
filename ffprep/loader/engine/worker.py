"""What a worker thread does, from its start to its end without the GIL.

Batches lie in a ring of slots. Each slot says which samples a batch has, and what to do with them and where to (the
tables of a program). A ticket is one row of one batch: batch ``ticket // batch_size``, row ``ticket % batch_size``. A
thread claims the next tickets, whatever batch they belong to, so there is no barrier between batches, and a slow image
delays nothing but itself. The thread that finishes the last row of a batch writes a byte to a pipe that the consumer
reads. A thread without work sleeps in a read of another pipe.

Fields that several threads write are read and written by address, atomically: the address of their record and the
field's offset in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.abi import BOX, CONTROL, IMAGE_SPEC, ITEM, SLOT, TASK, THREAD, offset_of
from ffprep.kernels.atomics import load_acquire, read, store_release, swap_if_equal, write
from ffprep.kernels.image.batch import process_image, process_views
from ffprep.kernels.image.job import CROP_WHOLE
from ffprep.kernels.image.view import RAW
from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.layout import U8_HWC
from ffprep.kernels.memory import (
    address_of,
    atomic_add,
    borrowed,
    bytes_at,
    call_entry,
    fill_zero,
    get_i64,
    longs_at,
)
from ffprep.loader.engine.rows import (
    KIND_ARRAY,
    KIND_CAPTIONS,
    KIND_IMAGE,
    KIND_TARGET,
    KIND_TOKENS,
    KIND_VALUE,
    KIND_VIEW,
    copy_array,
    copy_captions,
    copy_picture,
    copy_ragged,
    copy_tokens,
    copy_value,
    file_of,
    payload,
    prefetch_pictures,
)

NEXT_TICKET, PUBLISHED = offset_of(CONTROL, "next_ticket"), offset_of(CONTROL, "published")
SLEEPERS, STOP = offset_of(CONTROL, "sleepers"), offset_of(CONTROL, "stop")
LEFT, CANCELLED, FAILED = offset_of(SLOT, "left"), offset_of(SLOT, "cancelled"), offset_of(SLOT, "failed")

IMAGE_RECORD = 13
"""Bytes of an image's record in the file: mode u1, width u2, height u2, pointer u8."""


@inline
def _fill_item(item: Any, task: Any, sample: int, key: int) -> int:
    """Write down where an image lies and what its record says; return the status."""
    record = bytes_at(task.meta + sample * task.meta_stride, IMAGE_RECORD)
    address, size = payload(task, sample)
    if size < 0:
        return -size
    item.address, item.size = address, size
    item.width = np.int64(record[1]) | (np.int64(record[2]) << 8)
    item.height = np.int64(record[3]) | (np.int64(record[4]) << 8)
    item.mode = np.int64(record[0])
    item.sample = key
    item.index, item.index_size = 0, 0
    if task.index != 0:
        item.index = longs_at(task.index + 8 * sample, 1)[0]
        item.index_size = longs_at(task.index_sizes + 8 * sample, 1)[0]
    return np.int64(0)


@inline
def _copied_record(kind: int, spec: Any) -> int:
    """Return how the record begins of a picture that is copied as it is stored; -1 where none is."""
    plain = spec.crop == CROP_WHOLE and spec.format == U8_HWC and spec.flip == 0.0
    if kind != KIND_IMAGE or not plain or spec.augment != 0 or spec.next != 0:
        return np.int64(-1)
    return np.int64(RAW) | (spec.out_w << 8) | (spec.out_h << 24)


@inline
def _claim(control: Any) -> tuple[int, int]:
    """Claim tickets in a row, at most `grain` of them: (first, how many); how many is 0 when none is published."""
    shared = address_of(control)
    while True:
        ticket = load_acquire(shared + NEXT_TICKET)
        have = min(control.grain, load_acquire(shared + PUBLISHED) - ticket)
        if have <= 0:
            return np.int64(0), np.int64(0)
        if swap_if_equal(shared + NEXT_TICKET, ticket, ticket + have):
            return ticket, have


@inline
def _sleep(control: Any, scratch: NDArray[np.uint8]) -> None:
    # Announce oneself first, look again, then sleep: publish() counts after it has published, so no wake-up is lost.
    shared = address_of(control)
    atomic_add(shared + SLEEPERS, 1)
    idle = load_acquire(shared + NEXT_TICKET) >= load_acquire(shared + PUBLISHED)
    if idle and load_acquire(shared + STOP) == 0:
        read(np.int32(control.work_fd), np.int64(scratch.ctypes.data), 1)
    atomic_add(shared + SLEEPERS, -1)


@inline
def _make_value(task: Any, kind: int, row: int, sample: int, key: int, thread: Any) -> int:
    """Make one row of anything but images and tokens; return its status."""
    if kind == KIND_VALUE:
        return copy_value(task, row, sample)
    if kind == KIND_ARRAY:
        return copy_array(task, row, sample)
    if kind == KIND_CAPTIONS:
        return copy_captions(task, row, sample, key)
    if kind == KIND_TARGET:
        arguments = (address_of(task), np.int64(row), np.int64(sample), np.int64(key), address_of(thread))
        return call_entry(get_i64(task.target), arguments)
    return copy_ragged(task, row, sample)


@inline
def _make_rows(
    row: int,
    count: int,
    ids: NDArray[np.int64],
    keys: NDArray[np.int64],
    starts: NDArray[np.int64],
    tasks: NDArray[np.void],
    specs: NDArray[np.void],
    items: NDArray[np.void],
    used: NDArray[np.void],
    status: NDArray[np.int64],
    thread: Any,
) -> int:
    """Make `count` rows of a batch from `row` on, of all operations; return how many failed, over all operations.

    The arrays are those of :func:`work` for one slot. Images are made here rather than in functions of their own, since
    numba compiles what a function calls again with each function around it.
    """
    failed = np.int64(0)
    for o in range(tasks.shape[1]):
        kind = tasks[0, o].kind
        record = _copied_record(kind, specs[o])
        if kind == KIND_TOKENS:
            failed += copy_tokens(tasks, o, starts, row, count, ids, status[o])
            continue
        for r in range(row, row + count):
            if kind == KIND_VIEW:  # made already, with the first operation that shows the image
                failed += status[o, r] != 0
                continue
            file = file_of(starts, ids[r])
            sample, key = ids[r] - starts[file], keys[r]
            task = tasks[file, o]
            if record >= 0:
                prefetch_pictures(tasks, o, starts, ids, r, row + count)
                if copy_picture(task, r, sample, record):
                    status[o, r] = 0
                    continue
            if kind != KIND_IMAGE:
                status[o, r] = _make_value(task, kind, r, sample, key, thread)
            else:
                found = _fill_item(items[o, r], task, sample, key)
                out = task.out + r * task.row_bytes
                if specs[o].next != 0:
                    process_views(r, o, found, items[o, r], specs, tasks[file].out, status, used, thread)
                elif found == 0:
                    status[o, r] = process_image(items[o, r], specs[o], out, used[o, r], thread)
                else:
                    fill_zero(out, task.row_bytes)
                    status[o, r] = found
            failed += status[o, r] != 0
    return failed


@kernel(
    arguments=[
        (CONTROL, 1), (SLOT, 1), (np.int64, 2), (np.int64, 2), (np.int64, 2), (TASK, 3), (IMAGE_SPEC, 2),
        (ITEM, 3), (BOX, 3), (np.int64, 3), (THREAD, 1), (np.uint8, 1),
    ]
)  # fmt: skip
def work(
    controls: NDArray[np.void],
    slots: NDArray[np.void],
    ids: NDArray[np.int64],
    keys: NDArray[np.int64],
    starts: NDArray[np.int64],
    tasks: NDArray[np.void],
    specs: NDArray[np.void],
    items: NDArray[np.void],
    used: NDArray[np.void],
    status: NDArray[np.int64],
    threads: NDArray[np.void],
    scratch: NDArray[np.uint8],
) -> None:
    """Work on published batches until told to stop.

    All arrays belong to the caller; the structures are those of :mod:`ffprep.abi`.

    Parameters
    ----------
    controls : array of CONTROL, shape (1,)
    slots : array of SLOT, shape (slots,)
    ids, keys : int64 arrays, shape (slots, batch size)
        Sample of each row, numbered over all files; what its random draws are keyed by.
    starts : int64 array, shape (slots, files + 1)
        Number of each file's first sample.
    tasks : array of TASK, shape (slots, files, operations)
    specs : array of IMAGE_SPEC, shape (slots, operations)
        Of operations that are not on images: unused.
    items, used : arrays of ITEM and BOX, shape (slots, operations, batch size)
        Work space of image operations.
    status : int64 array, shape (slots, operations, batch size)
        What became of each row.
    threads : array of THREAD, shape (1,)
        From ``ffprep.kernels.image.job.new_thread``.
    scratch : uint8 array of at least 1 byte
    """
    controls, slots = borrowed(controls), borrowed(slots)
    ids, keys, starts = borrowed(ids), borrowed(keys), borrowed(starts)
    tasks, specs = borrowed(tasks), borrowed(specs)
    items, used, status, threads = borrowed(items), borrowed(used), borrowed(status), borrowed(threads)
    control = controls[0]
    batch_size = control.batch_size
    while load_acquire(address_of(control) + STOP) == 0:
        first, have = _claim(control)
        if have == 0:
            _sleep(control, scratch)
            continue
        while have > 0:  # the tickets may reach over several batches
            batch = first // batch_size
            row = first - batch * batch_size
            number = batch % control.slots
            slot = slots[number]
            count = min(have, batch_size - row)
            real = min(count, slot.count - row)
            if real > 0 and load_acquire(address_of(slot) + CANCELLED) == 0:
                failed = _make_rows(
                    row, real, ids[number], keys[number], starts[number], tasks[number], specs[number],
                    items[number], used[number], status[number], threads[0],
                )  # fmt: skip
                if failed > 0:
                    atomic_add(address_of(slot) + FAILED, failed)
            if atomic_add(address_of(slot) + LEFT, -count) == count:
                scratch[0] = 0
                write(np.int32(control.done_fd), np.int64(scratch.ctypes.data), 1)
            first += count
            have -= count


@kernel(arguments=[np.int64, np.int64])
def publish(control: int, tickets: int) -> int:
    """Publish that many more tickets, whose slots are ready; return how many threads are asleep.

    `control` is the address of the CONTROL.
    """
    atomic_add(control + PUBLISHED, tickets)
    return load_acquire(control + SLEEPERS)


@kernel(arguments=[np.int64])
def load_field(address: int) -> int:
    """Return the int64 at an address that other threads write."""
    return load_acquire(address)


@kernel(arguments=[np.int64, np.int64])
def store_field(address: int, value: int) -> None:
    """Set the int64 at an address that other threads read."""
    store_release(address, value)

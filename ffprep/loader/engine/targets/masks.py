"""How a worker makes a row of a batch of label masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.image.crop import LETTERBOX, resized_sides
from ffprep.kernels.image.job import CROP_RESIZE_CENTER
from ffprep.kernels.image.view import canvas_of, placed
from ffprep.kernels.jit import inline
from ffprep.kernels.layout import NO_MEMORY, OK, SIZE_MISMATCH, aligned
from ffprep.kernels.memory import bytes_at, copy_bytes, fill_zero, ints_at, longs_at
from ffprep.loader.engine.rows import BAD_MASK, payload
from ffprep.loader.engine.targets.shared import (
    image_size,
    number,
    room,
    run_steps,
    spec_at,
    target_at,
    task_at,
    thread_at,
)
from ffprep.transforms.compiled.follow import nearest_of

MASK_HEAD, RUNS = 16, 1


@inline
def _is_mask(raw: NDArray[np.uint8], item: int, height: int, width: int) -> bool:
    size = raw.size
    if size < MASK_HEAD or raw[0] != 70 or raw[1] != 70 or raw[2] != 77 or raw[3] != 49 or raw[4] != item:
        return False
    if number(raw, 8, 4) != height or number(raw, 12, 4) != width:
        return False
    if raw[5] == RUNS:
        return size >= MASK_HEAD + 4 * height and (size - MASK_HEAD - 4 * height) % (2 + item) == 0
    return raw[5] == 0 and size == MASK_HEAD + item * height * width


@inline
def _show_row(
    raw: NDArray[np.uint8], height: int, width: int, item: int, row: int, columns: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> bool:  # fmt: skip
    """Write the labels of one row at the given columns, which do not decrease; return False if the row is damaged."""
    count = columns.size
    if raw[5] != RUNS:
        begin = MASK_HEAD + row * width * item
        for j in range(count):
            for k in range(item):
                out[j * item + k] = raw[begin + columns[j] * item + k]
        return True
    table = MASK_HEAD + 4 * height
    run = number(raw, MASK_HEAD + 4 * row, 4)
    runs = (raw.size - table) // (2 + item)
    end, at, j = np.int64(0), np.int64(0), 0
    while j < count:
        while columns[j] >= end:
            if run >= runs:
                return False
            at = table + run * (2 + item)
            new = number(raw, at, 2)
            if new <= end or new > width:
                return False
            end = new
            run += 1
        while j < count and columns[j] < end:
            for k in range(item):
                out[j * item + k] = raw[at + 2 + k]
            j += 1
    return True


@inline
def _fill_row(labels: NDArray[np.uint8], fill: int, count: int, item: int) -> None:
    for j in range(count):
        for k in range(item):
            labels[j * item + k] = np.uint8((fill >> (8 * k)) & 255)


@inline
def _mirror(labels: NDArray[np.uint8], count: int, item: int) -> None:
    for j in range(count // 2):
        a, b = j * item, (count - 1 - j) * item
        for k in range(item):
            labels[a + k], labels[b + k] = labels[b + k], labels[a + k]


@inline
def _widen(here: int, out: int, count: int, item: int, element: int) -> None:
    """Copy labels to elements of another size; only those of 4 bytes have a sign."""
    labels = bytes_at(here, count * item)
    if item == element:
        copy_bytes(np.int64(out), np.int64(here), count * item)
    elif item == 4:
        wide, signed = longs_at(out, count), ints_at(here, count)
        for i in range(count):
            wide[i] = signed[i]
    else:
        target = bytes_at(out, count * element)
        for i in range(count):
            for k in range(element):
                target[i * element + k] = labels[i * item + k] if k < item else np.uint8(0)


@inline
def _show_mask(
    raw: NDArray[np.uint8], target: Any, spec: Any, height: int, width: int, key: int, columns: NDArray[np.int32],
    here: int,
) -> int:  # fmt: skip
    """Write the part of a mask that the image's view shows, resized to the nearest label; return the status."""
    out_h, out_w, item = spec.out_h, spec.out_w, target.item
    by, bx, bh, bw, mirrored = placed(spec, height, width, key)
    y, x, h, w = np.int64(by), np.int64(bx), np.int64(bh), np.int64(bw)
    full_h, full_w, top, left = out_h, out_w, np.int64(0), np.int64(0)
    first, last = np.int64(0), np.int64(out_w)
    if spec.crop >= LETTERBOX:
        y, x, h, w = np.int64(0), np.int64(0), np.int64(height), np.int64(width)
        full_h, full_w, top, left = canvas_of(spec, height, width, key)
        top, left = -top, -left
        first, last = max(-left, 0), min(full_w - left, np.int64(out_w))
    elif spec.crop == CROP_RESIZE_CENTER:
        y, x, h, w = np.int64(0), np.int64(0), np.int64(height), np.int64(width)
        rows, cols = resized_sides(height, width, spec.short)
        if out_h < rows:
            full_h, top = rows, np.int64(np.rint((rows - out_h) / 2.0))
        if out_w < cols:
            full_w, left = cols, np.int64(np.rint((cols - out_w) / 2.0))
    for j in range(first, last):
        columns[j - first] = x + nearest_of(left + j, w, full_w)
    before = np.int64(-1)
    for i in range(out_h):
        row = np.int64(-2)
        if 0 <= top + i < full_h:
            row = y + nearest_of(top + i, h, full_h)
        place = np.int64(here + i * out_w * item)
        if row == before:
            copy_bytes(place, place - out_w * item, out_w * item)
            continue
        before = row
        labels = bytes_at(place, out_w * item)
        if row < 0 or last - first < out_w:
            _fill_row(labels, target.fill, out_w, item)
        if row >= 0:
            shown = bytes_at(place + first * item, (last - first) * item)
            if not _show_row(raw, height, width, item, row, columns[: last - first], shown):
                return np.int64(BAD_MASK)
        if mirrored:
            _mirror(labels, out_w, item)
    return np.int64(OK)


@inline
def _mask(task: Any, sample: int, key: int, thread: Any, out: int) -> int:
    target = target_at(task.target)
    address, size = payload(task, sample)
    if size < 0:
        return -size
    raw = bytes_at(address, size)
    height, width = image_size(target, sample)
    if not _is_mask(raw, target.item, height, width):
        same = size >= MASK_HEAD and number(raw, 8, 4) == height and number(raw, 12, 4) == width
        return np.int64(BAD_MASK) if same else np.int64(SIZE_MISMATCH)
    spec = spec_at(target.spec)
    buffer, head = target.scratch, aligned(4 * spec.out_w)
    if not room(thread, head + 2 * buffer + target.work):
        return np.int64(NO_MEMORY)
    here = thread.scratch + head
    status = _show_mask(raw, target, spec, height, width, key, ints_at(thread.scratch, spec.out_w), here)
    if status == OK:
        here, status = run_steps(target, here, here + buffer, target.item, here + 2 * buffer, spec, key)
    if status == OK:
        _widen(here, out, target.out_h * target.out_w, target.item, task.element)
    return status


def make_mask(task_address: int, row: int, sample: int, key: int, thread_address: int) -> int:
    """Make a row of a batch of masks; return the status."""
    task = task_at(task_address)
    out = task.out + row * task.row_bytes
    status = _mask(task, sample, key, thread_at(thread_address), out)
    if status != OK:
        fill_zero(np.int64(out), task.row_bytes)
    return status

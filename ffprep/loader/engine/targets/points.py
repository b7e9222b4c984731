"""How a worker makes a row of a batch of boxes, of what goes with boxes, of keypoints."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.image.crop import LETTERBOX, resized_sides
from ffprep.kernels.image.job import CROP_RESIZE_CENTER
from ffprep.kernels.image.view import canvas_of, placed
from ffprep.kernels.jit import inline
from ffprep.kernels.layout import NO_MEMORY, OK, SIZE_MISMATCH
from ffprep.kernels.memory import bytes_at, doubles_at, fill_zero, floats_at, longs_at
from ffprep.loader.engine.rows import WRONG_SIZE, payload
from ffprep.loader.engine.targets.shared import image_size, room, run_steps, spec_at, target_at, task_at, thread_at
from ffprep.transforms.compiled.follow import LIST_HEAD, mirror_points, place_points

XYXY, XYWH, CXCYWH = 0, 1, 2


@inline
def _follow(points: int, target: Any, sample: int, key: int, work: int) -> int:
    """Let a list of points follow the image; return the status."""
    spec = spec_at(target.spec)
    height, width = image_size(target, sample)
    if height < 1 or width < 1:
        return np.int64(SIZE_MISMATCH)
    y, x, h, w, mirrored = placed(spec, height, width, key)
    out_h, out_w = np.float64(spec.out_h), np.float64(spec.out_w)
    if spec.crop >= LETTERBOX:
        rows, cols, at_y, at_x = canvas_of(spec, height, width, key)
        place_points(
            points, 0.0, 0.0, np.float64(height), np.float64(width),
            np.float64(rows) / height, np.float64(cols) / width,
        )  # fmt: skip
        place_points(points, -np.float64(at_y), -np.float64(at_x), out_h, out_w, 1.0, 1.0)
    elif spec.crop == CROP_RESIZE_CENTER:
        rows, cols = resized_sides(height, width, spec.short)
        full_h, full_w = max(np.float64(rows), out_h), max(np.float64(cols), out_w)
        place_points(
            points, 0.0, 0.0, np.float64(height), np.float64(width), full_h / height, full_w / width
        )  # fmt: skip
        top, left = np.rint((full_h - out_h) / 2.0), np.rint((full_w - out_w) / 2.0)
        place_points(points, top, left, out_h, out_w, 1.0, 1.0)
    else:
        place_points(points, y, x, h, w, out_h / h, out_w / w)
    if mirrored:
        mirror_points(points, spec.out_w, 0)
    _, status = run_steps(target, np.int64(points), np.int64(points), 0, work, spec, key)
    return status


@inline
def _load_boxes(task: Any, points: int, address: int, count: int) -> None:
    """Make a list of the boxes at `address`, as corners."""
    stored = target_at(task.target).stored
    head, rows = doubles_at(points, LIST_HEAD), doubles_at(points + 8 * LIST_HEAD, 4 * count)
    head[0], head[1], head[2], head[3] = count, 1.0, 0.0, 0.0
    boxes = floats_at(address, 4 * count)
    for i in range(count):
        a, b = np.float64(boxes[4 * i]), np.float64(boxes[4 * i + 1])
        c, d = np.float64(boxes[4 * i + 2]), np.float64(boxes[4 * i + 3])
        if stored == CXCYWH:
            a, b = a - 0.5 * c, b - 0.5 * d
        if stored != XYXY:
            c, d = a + c, b + d
        rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3] = a, b, c, d


@inline
def _stays(target: Any, rows: NDArray[np.float64], i: int) -> bool:
    """Return whether enough is left of a box; one that is no number does not stay."""
    w, h = rows[4 * i + 2] - rows[4 * i], rows[4 * i + 3] - rows[4 * i + 1]
    return w >= target.min_size and h >= target.min_size and w * h >= target.min_area


@inline
def _boxes(task: Any, sample: int, key: int, thread: Any, after: int) -> tuple[int, int, int]:
    """Make the list of a sample's boxes that followed the image: its address, how many, the status.

    `after` bytes of scratch memory lie behind the list.
    """
    target = target_at(task.target)
    address, size = payload(task, sample)
    if size < 0 or size % 16 != 0:
        return np.int64(0), np.int64(0), (-size if size < 0 else np.int64(WRONG_SIZE))
    count = size // 16
    if not room(thread, target.work + 8 * LIST_HEAD + 32 * count + after):
        return np.int64(0), np.int64(0), np.int64(NO_MEMORY)
    points = thread.scratch + target.work
    _load_boxes(task, points, address, count)
    return points, count, _follow(points, target, sample, key, thread.scratch)


def make_boxes(task_address: int, row: int, sample: int, key: int, thread_address: int) -> int:
    """Make a row of a batch of boxes, and write down how many there are; return the status."""
    task = task_at(task_address)
    target = target_at(task.target)
    places = task.row_bytes // 16
    out = floats_at(task.out + row * task.row_bytes, 4 * places)
    fill_zero(np.int64(task.out + row * task.row_bytes), task.row_bytes)
    longs_at(task.lengths + 8 * row, 1)[0] = 0
    points, count, status = _boxes(task, sample, key, thread_at(thread_address), np.int64(0))
    if status != OK:
        return status
    rows, made = doubles_at(points + 8 * LIST_HEAD, 4 * count), np.int64(0)
    for i in range(count):
        if made == places:
            break
        if not _stays(target, rows, i):
            continue
        a, b, c, d = rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]
        if target.format != XYXY:
            c, d = c - a, d - b
        if target.format == CXCYWH:
            a, b = a + 0.5 * c, b + 0.5 * d
        out[4 * made], out[4 * made + 1], out[4 * made + 2], out[4 * made + 3] = a, b, c, d
        made += 1
    longs_at(task.lengths + 8 * row, 1)[0] = made
    return status


def make_values(task_address: int, row: int, sample: int, key: int, thread_address: int) -> int:
    """Make a row of one value for each box that stays; return the status."""
    task = task_at(task_address)
    target = target_at(task.target)
    element = task.element
    places = task.row_bytes // element
    out = bytes_at(task.out + row * task.row_bytes, task.row_bytes)
    for i in range(places):
        for k in range(element):
            out[i * element + k] = np.uint8((task.fill >> (8 * k)) & 255)
    address, size = payload(task, sample)
    if size < 0:
        return -size
    boxes = task_at(target.boxes)
    points, count, status = _boxes(boxes, sample, key, thread_at(thread_address), np.int64(0))
    if status != OK:
        return status
    if size != count * element:
        return np.int64(WRONG_SIZE)
    values, rows, made = bytes_at(address, size), doubles_at(points + 8 * LIST_HEAD, 4 * count), 0
    for i in range(count):
        if made == places:
            break
        if _stays(target_at(boxes.target), rows, i):
            for k in range(element):
                out[made * element + k] = values[i * element + k]
            made += 1
    return status


@inline
def _write_points(target: Any, points: NDArray[np.float64], i: int, mirrored: bool, out: NDArray[np.float32]) -> None:
    """Write the points of row i: (x, y, visibility), 0 for those that the image does not show."""
    columns = target.columns
    for c in range(columns):
        at = 3 * (i * columns + c)
        x, y, seen = points[at], points[at + 1], points[at + 2]
        if not (0.0 <= x < target.out_w and 0.0 <= y < target.out_h):
            seen = 0.0
        out[3 * c], out[3 * c + 1], out[3 * c + 2] = x, y, seen
    if mirrored:
        swaps = longs_at(target.swaps, 2 * target.swap_count)
        for s in range(target.swap_count):
            a, b = 3 * swaps[2 * s], 3 * swaps[2 * s + 1]
            for k in range(3):
                out[a + k], out[b + k] = out[b + k], out[a + k]


def make_keypoints(task_address: int, row: int, sample: int, key: int, thread_address: int) -> int:
    """Make a row of keypoints, and write down how many rows there are; return the status."""
    task, thread = task_at(task_address), thread_at(thread_address)
    target = target_at(task.target)
    each = 3 * target.columns
    places = task.row_bytes // (4 * each)
    fill_zero(np.int64(task.out + row * task.row_bytes), task.row_bytes)
    longs_at(task.lengths + 8 * row, 1)[0] = 0
    address, size = payload(task, sample)
    if size < 0 or size % (4 * each) != 0:
        return -size if size < 0 else np.int64(WRONG_SIZE)
    count, need = size // (4 * each), 8 * LIST_HEAD + 2 * size
    boxes, points, status = np.int64(0), np.int64(0), np.int64(OK)
    if target.boxes != 0:
        boxes, many, status = _boxes(task_at(target.boxes), sample, key, thread, need)
        if status == OK and many != count:
            status = np.int64(WRONG_SIZE)
        points = boxes + 8 * LIST_HEAD + 32 * count
    elif room(thread, target.work + need):
        points = thread.scratch + target.work
    else:
        status = np.int64(NO_MEMORY)
    if status != OK:
        return status
    head, rows = doubles_at(points, LIST_HEAD), doubles_at(points + 8 * LIST_HEAD, size // 4)
    stored = floats_at(address, size // 4)
    for i in range(size // 4):
        rows[i] = stored[i]
    head[0], head[1], head[2], head[3] = count * target.columns, 0.0, 0.0, 0.0
    status = _follow(points, target, sample, key, thread.scratch)
    if status != OK:
        return status
    made = np.int64(0)
    for i in range(count):
        if made == places:
            break
        if boxes != 0:
            of_boxes = target_at(task_at(target.boxes).target)
            if not _stays(of_boxes, doubles_at(boxes + 8 * LIST_HEAD, 4 * count), i):
                continue
        out = floats_at(task.out + row * task.row_bytes + made * 4 * each, each)
        _write_points(target, rows, i, head[2] != 0.0, out)
        made += 1
    longs_at(task.lengths + 8 * row, 1)[0] = made
    return status

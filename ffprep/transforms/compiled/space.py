"""Operations that move, cut or cover pixels, of any element type: ``pixel`` is its size in bytes."""

from __future__ import annotations

import numpy as np

from ffprep.abi import IMAGE, RENDER
from ffprep.kernels.image.crop import random_resized_crop
from ffprep.kernels.jit import inline
from ffprep.kernels.layout import U8_HWC, UNFIT
from ffprep.kernels.memory import address_of, bytes_at, call_entry, copy_bytes, doubles_at, longs_at
from ffprep.kernels.random import bits64, uniform
from ffprep.kernels.resample.records import describe_packed, image_at, render_at
from ffprep.transforms.compiled.blur_wide import mirrored

IMAGE_SIZE, RENDER_SIZE = IMAGE.itemsize, RENDER.itemsize

CONSTANT, REFLECT, EDGE = 0, 1, 2
TRIES = 10
NOISE_DRAWS = 1 << 16
"""First draw of the noise that covers a rectangle."""


def flip_horizontal(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability. In place."""
    if uniform(seed, epoch, sample, stream, 0) < doubles_at(numbers, 1)[0]:
        image = bytes_at(source, h * w * pixel)
        for y in range(h):
            for x in range(w // 2):
                a, b = (y * w + x) * pixel, (y * w + w - 1 - x) * pixel
                for k in range(pixel):
                    image[a + k], image[b + k] = image[b + k], image[a + k]
    return np.int64(0)


def flip_vertical(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability. In place."""
    if uniform(seed, epoch, sample, stream, 0) < doubles_at(numbers, 1)[0]:
        size = w * pixel
        for y in range(h // 2):
            upper, lower = bytes_at(source + y * size, size), bytes_at(source + (h - 1 - y) * size, size)
            for k in range(size):
                upper[k], lower[k] = lower[k], upper[k]
    return np.int64(0)


@inline
def _inside(i: int, n: int, mode: int) -> int:
    """Return the position to read for position i, -1 for the fill value."""
    if 0 <= i < n:
        return np.int64(i)
    if mode == REFLECT:
        return mirrored(i, n)
    if mode == EDGE:
        return np.int64(0) if i < 0 else n - 1
    return np.int64(-1)


def crop_padded(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Show a window of the image with a border around it.

    Numbers: border above and to the left; places that the window can begin at, down and across (1: the first); mode of
    the border; then the bytes of a pixel of the fill value. Draw 0 is the row, draw 1 the column.
    """
    n = doubles_at(numbers, 5)
    fill = bytes_at(numbers + 40, pixel)
    mode = np.int64(n[4])
    top = np.int64(uniform(seed, epoch, sample, stream, 0) * n[2]) - np.int64(n[0])
    left = np.int64(uniform(seed, epoch, sample, stream, 1) * n[3]) - np.int64(n[1])
    image, out = bytes_at(source, h * w * pixel), bytes_at(target, out_h * out_w * pixel)
    first, last = min(max(-left, 0), out_w), max(min(w - left, out_w), 0)
    last = max(first, last)
    for y in range(out_h):
        row = _inside(top + y, h, mode)
        begin = y * out_w * pixel
        if row >= 0:
            offset = (row * w + left) * pixel
            copy_bytes(
                np.int64(out.ctypes.data) + begin + first * pixel,
                np.int64(image.ctypes.data) + offset + first * pixel,
                (last - first) * pixel,
            )
        for part in range(2):
            for x in range(0 if part == 0 else last, first if part == 0 else out_w):
                column = _inside(left + x, w, mode)
                for k in range(pixel):
                    if row < 0 or column < 0:
                        out[begin + x * pixel + k] = fill[k]
                    else:
                        out[begin + x * pixel + k] = image[(row * w + column) * pixel + k]
        if row < 0:
            for x in range(first, last):
                for k in range(pixel):
                    out[begin + x * pixel + k] = fill[k]
    return np.int64(0)


def place_on_canvas(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Put a rendered image on a canvas.

    Numbers: the bytes of a pixel of the fill value. Work: as `ffprep.kernels.image.view.render_view` wrote it, the
    image's rows and columns and where on the canvas it lies, down and across.
    """
    fill, place, out = bytes_at(numbers, pixel), longs_at(work, 4), bytes_at(target, out_h * out_w * pixel)
    rows, cols, down, across = place[0], place[1], place[2], place[3]
    for y in range(out_h):
        begin, shown = y * out_w, down <= y < down + rows
        if shown:
            copy_bytes(
                np.int64(target + (begin + across) * pixel), np.int64(source + (y - down) * cols * pixel), cols * pixel
            )
        for part in range(2):
            first = np.int64(0) if part == 0 else across + cols
            last = across if part == 0 else np.int64(out_w)
            if not shown:
                first, last = np.int64(0), (np.int64(out_w) if part == 0 else np.int64(0))
            for x in range(first, last):
                for k in range(pixel):
                    out[(begin + x) * pixel + k] = fill[k]
    return np.int64(0)


@inline
def _cover(source: int, w: int, pixel: int, y: int, x: int, rows: int, cols: int, fill: int) -> None:
    image, value = bytes_at(source, (y + rows) * w * pixel), bytes_at(fill, pixel)
    for i in range(y, y + rows):
        for j in range(x, x + cols):
            for k in range(pixel):
                image[(i * w + j) * pixel + k] = value[k]


def cutout(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Cover a square that lies in the image. Numbers: its side; then the bytes of a pixel. In place.

    Draw 0 is the row, draw 1 the column.
    """
    side = np.int64(doubles_at(numbers, 1)[0])
    y = np.int64(uniform(seed, epoch, sample, stream, 0) * (h - side + 1))
    x = np.int64(uniform(seed, epoch, sample, stream, 1) * (w - side + 1))
    _cover(source, w, pixel, y, x, side, side, numbers + 8)
    return np.int64(0)


def erase(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Cover a random rectangle of the image, in place.

    ``numbers`` is the address of six float64 values and the bytes of a fill pixel: the probability, the range of the
    area, the range of height over width, and 1 for noise.

    Draw 0 decides, draws 2 t + 1 and 2 t + 2 are area and ratio of try t, draws 21 and 22 the place.
    """
    n = doubles_at(numbers, 6)
    if uniform(seed, epoch, sample, stream, 0) >= n[0]:
        return np.int64(0)
    area = np.float64(h) * np.float64(w)
    low, high = np.log(n[3]), np.log(n[4])
    for t in range(TRIES):
        target_area = area * (n[1] + (n[2] - n[1]) * uniform(seed, epoch, sample, stream, 2 * t + 1))
        aspect = np.exp(low + (high - low) * uniform(seed, epoch, sample, stream, 2 * t + 2))
        rows = np.int64(np.rint(np.sqrt(target_area * aspect)))
        cols = np.int64(np.rint(np.sqrt(target_area / aspect)))
        if not (rows < h and cols < w):
            continue
        y = np.int64(uniform(seed, epoch, sample, stream, 2 * TRIES + 1) * (h - rows + 1))
        x = np.int64(uniform(seed, epoch, sample, stream, 2 * TRIES + 2) * (w - cols + 1))
        if n[5] == 0.0:
            _cover(source, w, pixel, y, x, rows, cols, numbers + 48)
            return np.int64(0)
        image = bytes_at(source, h * w * pixel)
        draw, bits = np.int64(NOISE_DRAWS), np.uint64(0)
        have = 0
        for i in range(y, y + rows):
            for k in range((i * w + x) * pixel, (i * w + x + cols) * pixel):
                if have == 0:
                    bits = bits64(seed, epoch, sample, stream, draw)
                    draw += 1
                    have = 8
                image[k] = np.uint8(bits & np.uint64(255))
                bits = bits >> np.uint64(8)
                have -= 1
        return np.int64(0)
    return np.int64(0)


def resize(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Resize the image, or a random part of it, with the renderers of ``ffprep.kernels.resample.render``.

    Numbers: addresses of two renderers, the second for what the first refuses; filter; bytes of work; ranges of area
    and ratio of the part, all 0 for the whole image. Work: an IMAGE, a RENDER, then the renderer's.
    """
    n = doubles_at(numbers, 8)
    y, x, rows, cols = np.int64(0), np.int64(0), np.int64(h), np.int64(w)
    if n[5] > 0.0:
        y, x, rows, cols = random_resized_crop(h, w, n[4], n[5], n[6], n[7], seed, epoch, sample, stream)
    image, request = image_at(work), render_at(work + IMAGE_SIZE)
    describe_packed(image, source, h, w)
    request.image = address_of(image)
    request.y, request.x, request.h, request.w = y, x, rows, cols
    request.lo_y, request.hi_y, request.lo_x, request.hi_x = y, y + rows, x, x + cols
    request.flip, request.filter = 0, np.int64(n[2])
    request.out, request.out_h, request.out_w, request.format = target, out_h, out_w, U8_HWC
    request.colour, request.stream = 0, 0
    request.work, request.work_size = work + IMAGE_SIZE + RENDER_SIZE, np.int64(n[3])
    status = call_entry(np.int64(n[0]), (address_of(request),))
    if status == UNFIT:
        status = call_entry(np.int64(n[1]), (address_of(request),))
    return status

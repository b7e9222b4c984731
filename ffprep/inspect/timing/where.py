"""Where a loader's time goes: reading, entropy decoding, inverse DCT, resampling, writing, waiting.

Reading, decoding and writing are timed here, alone, on the crops that training draws; the decoder itself says what part
of its time its inverse transforms take. Resampling (with colour and normalisation) is the rest of the threads'
processor time, and waiting the rest of their time by the clock: for the disk, for one another, or for a processor that
others have.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ctypes import c_int64, c_void_p
from dataclasses import dataclass

import numpy as np

from ffprep.abi import IMAGE
from ffprep.beton.reader import Reader
from ffprep.inspect.timing.runners import random_crop
from ffprep.jpeg.native import decode_request, library

STAGES = ("read", "entropy", "idct", "resampling", "writing", "waiting")
_IMAGES, _ROUNDS, _SIDE = 300, 5, 224


@dataclass(frozen=True)
class Crops:
    """Which parts of images are decoded.

    Attributes
    ----------
    scale : (float, float)
        Area of the random crops.
    whole : bool
        Whole images instead.
    """

    scale: tuple[float, float]
    whole: bool = False


def stages_of(reader: Reader, name: str, samples: int, crops: Crops, cpu: float, wall: float) -> dict[str, float]:
    """Return the milliseconds of one thread for one sample in each of `STAGES`.

    Parameters
    ----------
    reader : Reader
        With its seek index, if it has one.
    name : str
        The field of images, all of them JPEGs.
    samples : int
        Take the first ones.
    crops : Crops
    cpu, wall : float
        Seconds of a thread for a sample, by the processor's time and by the clock.
    """
    count = min(samples, _IMAGES)
    jobs = _jobs(reader, name, count, crops)
    read = _best(lambda: _read(jobs))
    decoding, idct = min(_decode(jobs) for _ in range(_ROUNDS))
    entropy = max(0.0, decoding - idct - read)
    writing = _best(lambda: _write(count))
    decoded = read + entropy + idct + writing
    if decoded > cpu:  # measured at another time than the whole
        read, entropy, idct, writing = (one * cpu / decoded for one in (read, entropy, idct, writing))
    rest, waiting = max(0.0, cpu - decoded), max(0.0, wall - cpu)
    values = (read, entropy, idct, rest, writing, waiting)
    return {stage: round(1000 * value, 4) for stage, value in zip(STAGES, values, strict=True)}


def shares(stages: dict[str, float]) -> dict[str, float]:
    """Return each stage's share of all of them."""
    whole = sum(stages.values()) or 1.0
    return {stage: value / whole for stage, value in stages.items()}


Job = tuple["np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", int, int, tuple[int, int, int, int]]


def _jobs(reader: Reader, name: str, count: int, crops: Crops) -> list[Job]:
    rng = np.random.default_rng(0)
    places, sizes = np.zeros(count, np.int64), np.zeros(count, np.int64)
    if reader.seek_index is not None:
        places, sizes = reader.seek_index.addresses(reader, name)
    jobs: list[Job] = []
    for index in range(count):
        record = reader.column(name)[index]
        height, width = int(record["height"]), int(record["width"])
        crop = (0, 0, width, height)
        if not crops.whole:
            crop = random_crop(rng, width, height, crops.scale)
        jobs.append((reader.payload(name, index), int(places[index]), int(sizes[index]), crop))
    return jobs


def _best(action: Callable[[], float]) -> float:
    return min(action() for _ in range(_ROUNDS))


def _read(jobs: list[Job]) -> float:
    """Mean seconds for fetching an image's bytes: one of every 64."""
    begun = time.thread_time()
    for data, *_ in jobs:
        data[::64].max()
    return (time.thread_time() - begun) / max(1, len(jobs))


def _decode(jobs: list[Job]) -> tuple[float, float]:
    """Mean seconds for decoding the rectangle of a crop, and those of them for the inverse transforms.

    Of streams that are decoded as one, without restart markers or an index, these are not known, and 0.
    """
    kernel = library()
    inverse_time = kernel.ffp_inverse_time
    inverse_time.restype, inverse_time.argtypes = c_int64, [c_void_p]
    image = np.zeros(1, IMAGE)
    context = kernel.ffp_context_new()
    try:
        inverse_time(context)
        begun = time.thread_time()
        for data, place, size, rectangle in jobs:
            request = decode_request(context, data, rectangle, image, (place, size))
            kernel.ffp_decode_region(request.ctypes.data)
        spent, inverse = time.thread_time() - begun, inverse_time(context) / 1e9
        return spent / max(1, len(jobs)), inverse / max(1, len(jobs))
    finally:
        kernel.ffp_context_free(context)


def _write(count: int) -> float:
    """Mean seconds for writing an image of a batch, float32 (3, 224, 224), which nothing is computed for."""
    batch = np.zeros((max(1, min(count, 64)), 3, _SIDE, _SIDE), np.float32)
    begun = time.thread_time()
    batch.fill(0.5)
    return (time.thread_time() - begun) / len(batch)

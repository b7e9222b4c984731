"""How fast a .beton file feeds training, compared with stock ffcv and torch's DataLoader, and where the time goes.

Every loader runs in a process of its own, and they take turns epoch by epoch (``ffprep.inspect.paired``), so that they
do not disturb each other and a change of the machine's speed affects all of them. Ratios are taken round by round.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.abi import IMAGE
from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import find_index
from ffprep.beton.sets import Place, SetFile, files_of
from ffprep.inspect.paired import Contestant, Timing, compare, ratio
from ffprep.jpeg.native import decode_request, library
from ffprep.kernels.image.crop import random_resized_crop
from ffprep.kernels.jit import kernel as compiled

_RUNNERS = "ffprep.inspect.runners:"


@dataclass(frozen=True)
class BenchOptions:
    """What to time.

    Attributes
    ----------
    workers, batch_size, rounds : int
        Options of the loaders, and epochs counted.
    scale : (float, float)
        Area of the random crop, as a share of the image.
    validation : bool
        Use whole images instead.
    samples : int
        Samples in an epoch: the first ones of the file.
    baselines : bool
        Time stock ffcv and torch's DataLoader as well.
    """

    workers: int = 1
    batch_size: int = 64
    rounds: int = 5
    scale: tuple[float, float] = (0.08, 1.0)
    validation: bool = False
    samples: int = 2000
    baselines: bool = True


def bench(
    files: Place | Sequence[Place], options: BenchOptions, on_round: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Time the loaders on a file, or ffprep's on the files of a set.

    Returns
    -------
    dict
        JSON values. ``results`` has, for each loader, its rate (lowest, median and highest samples per second), bytes
        per second, start-up time, and how many times as fast ffprep is. ``split`` says where ffprep's time goes. If
        there is a seek index beside the file, ffprep without the index is one of the loaders.
    """
    paths = files_of(files)
    with Reader(paths[0]) as reader:
        total = len(reader)
        for path in paths[1:]:
            with Reader(path, check=False) as another:
                total += len(another)
        samples = min(options.samples, total)
        first = min(samples, len(reader))  # what is looked at one by one is of the first file
        reader.seek_index = find_index(reader, None)
        images = [name for name, field in reader.fields.items() if field.type_id == 2]
        size = _bytes_per_sample(reader, first)
        with tempfile.TemporaryDirectory(prefix="ffprep-bench-") as scratch:
            contestants = _contestants(paths, reader, images, samples, options, Path(scratch))
            timings = compare(contestants, options.rounds, on_round)
        split = _split(reader, images[0], first, options, timings[0]) if images and first == samples else {}
    return {
        "path": str(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else ""),
        "samples": samples,
        "bytes_per_sample": round(size),
        "workers": options.workers,
        "batch_size": options.batch_size,
        "rounds": options.rounds,
        "crop": None if not images else "whole image" if options.validation else list(options.scale),
        "results": [_result(timing, timings[0], size) for timing in timings],
        "split": split,
    }


def _contestants(
    paths: Sequence[SetFile], reader: Reader, images: list[str], samples: int, options: BenchOptions, scratch: Path
) -> list[Contestant]:
    common = {"batch_size": options.batch_size, "num_workers": options.workers}
    crop: dict[str, Any] = {"scale": list(options.scale), "validation": options.validation}
    named = [str(file.path.resolve()) for file in paths]
    file = {"path": named if len(named) > 1 else named[0], "samples": samples, **common}
    if not images:
        return [Contestant("ffprep", _RUNNERS + "ffprep_numbers", file)]
    found = [Contestant("ffprep", _RUNNERS + "ffprep_images", {**file, **crop})]
    if reader.seek_index is not None:
        found.append(
            Contestant("ffprep, without the index", _RUNNERS + "ffprep_images", {**file, **crop, "index": False})
        )
    if not options.baselines or len(paths) > 1:
        return found
    if images[0] == "image" and importlib.util.find_spec("ffcv") is not None:
        found.append(Contestant("stock ffcv, same file", _RUNNERS + "ffcv_loader", {**file, **crop}))
    if _extract(reader, images[0], samples, scratch):
        files = {"folder": str(scratch), **common, **crop}
        found.append(Contestant("torch DataLoader + Pillow", _RUNNERS + "torch_pillow", files))
    return found


def _extract(reader: Reader, name: str, samples: int, folder: Path) -> bool:
    """Write the images as files for torch's DataLoader; False if they are not all JPEGs."""
    if (reader.column(name)["mode"][:samples] != 0).any():
        return False
    for index in range(samples):
        (folder / f"{index:08}.jpg").write_bytes(reader.payload(name, index).tobytes())
    return True


def _bytes_per_sample(reader: Reader, samples: int) -> float:
    total = sum(field.metadata_type.itemsize for field in reader.fields.values()) * samples
    for name, field in reader.fields.items():
        if field.pointer is not None:
            total += int(reader.extents(name)[1][:samples].sum(dtype=np.uint64))
    return total / max(1, samples)


def _split(reader: Reader, name: str, samples: int, options: BenchOptions, own: Timing) -> dict[str, float]:
    """Milliseconds of one thread for an image: for decoding what the crops need, and for everything else.

    Decoding is timed here, alone; everything else (reading, resampling, colour, normalising, batching) is the
    difference from the loader's own time. Both are the best of several runs, since they are not measured at the same
    time.
    """
    if own.failure or (reader.column(name)["mode"][:samples] != 0).any():
        return {}
    whole = options.workers * 1000 / max(own.rates)
    decode = min(_decode_seconds(reader, name, min(samples, 300), options) for _ in range(3)) * 1000
    return {
        "decode_ms": round(decode, 4),
        "all_else_ms": round(max(0.0, whole - decode), 4),
        "sum_ms": round(whole, 4),
    }


def _decode_seconds(reader: Reader, name: str, count: int, options: BenchOptions) -> float:
    """Mean seconds for decoding the rectangle of a training crop."""

    @compiled
    def sample_crop(height: int, width: int, low: float, high: float, sample: int) -> tuple[int, int, int, int]:
        return random_resized_crop(height, width, low, high, 3 / 4, 4 / 3, 0, 0, sample, 0)

    kernel = library()
    image = np.zeros(1, IMAGE)
    places, sizes = np.zeros(count, np.int64), np.zeros(count, np.int64)
    if reader.seek_index is not None:
        places, sizes = reader.seek_index.addresses(reader, name)
    jobs = []
    for index in range(count):
        record = reader.column(name)[index]
        height, width = int(record["height"]), int(record["width"])
        crop = (0, 0, height, width)
        if not options.validation:
            crop = sample_crop(height, width, *options.scale, index)
        jobs.append((reader.payload(name, index), int(places[index]), int(sizes[index]), crop))
    context = kernel.ffp_context_new()
    try:
        begun = time.perf_counter()
        for data, place, size, (y, x, h, w) in jobs:
            request = decode_request(context, data, (x, y, w, h), image, (place, size))
            kernel.ffp_decode_region(request.ctypes.data)
        return (time.perf_counter() - begun) / count
    finally:
        kernel.ffp_context_free(context)


def _result(timing: Timing, own: Timing, size: float) -> dict[str, Any]:
    if timing.failure:
        return {"name": timing.name, "failure": timing.failure}
    result: dict[str, Any] = {
        "name": timing.name,
        "samples_per_second": [round(rate, 1) for rate in (min(timing.rates), timing.median, max(timing.rates))],
        "bytes_per_second": round(timing.median * size),
        "start_up_seconds": round(timing.start_up, 2),
    }
    if timing is not own and not own.failure:
        result["ffprep_is_times"] = [round(value, 2) for value in ratio(own, timing)]
    return result


def bench_text(facts: dict[str, Any]) -> str:
    """The figures as text for the screen."""
    what, crop = "", facts["crop"]
    if crop is not None:
        what = ", " + (crop if isinstance(crop, str) else f"random crops of {crop[0]:g} to {crop[1]:g} of the area")
    head = f"median of {facts['rounds']} rounds"
    lines = [
        f"{facts['path']}: {facts['samples']:,} samples of {facts['bytes_per_sample'] / 1000:.1f} kB, "
        f"{facts['workers']} worker{'s' * (facts['workers'] != 1)}, batches of {facts['batch_size']}{what}",
        f"  {head:<28} {'samples/s':>8} {'MB/s':>23} {'start-up':>10}",
    ]
    for result in facts["results"]:
        if "failure" in result:
            lines.append(f"  {result['name']:<28} failed: {result['failure']}")
            continue
        low, median, high = result["samples_per_second"]
        line = (
            f"  {result['name']:<28} {median:>8,.0f} ({low:,.0f} - {high:,.0f})".ljust(52)
            + f" {result['bytes_per_second'] / 1e6:>8,.0f} {result['start_up_seconds']:>7.1f} s"
        )
        if "ffprep_is_times" in result:
            least, middle, most = result["ffprep_is_times"]
            line += f"   ffprep is {middle:.1f} times as fast ({least:.1f} - {most:.1f})"
        lines.append(line)
    if split := facts["split"]:
        lines.append(
            f"  ffprep, a thread and sample, at best: {split['sum_ms']:.3f} ms, decoding {split['decode_ms']:.3f}, "
            f"resampling and all else {split['all_else_ms']:.3f}"
        )
    return "\n".join(lines)

"""How fast a .beton file feeds training, compared with stock ffcv and torch's DataLoader, and where the time goes.

Every loader runs in a process of its own, and they take turns epoch by epoch (``ffprep.inspect.timing.paired``), so
that they do not disturb each other and a change of the machine's speed affects all of them. Ratios are taken round by
round.
"""

from __future__ import annotations

import gc
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import find_index
from ffprep.beton.sets import Place, SetFile, files_of
from ffprep.common.formatting import one_line
from ffprep.errors import OptionError
from ffprep.inspect.charts import Bar, Chart
from ffprep.inspect.timing.paired import Contestant, Timing, compare, ratio
from ffprep.inspect.timing.where import STAGES, Crops, shares, stages_of
from ffprep.text.blocks.blocks import TokenBlocks, open_blocks, source_facts

_RUNNERS = "ffprep.inspect.timing.runners:"
_COLD = "ffprep, cold cache"


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
    threads : int
        Time ffprep with 1, 2, 4 and so on up to so many threads as well; 0 for none.
    cold : bool
        Time ffprep with nothing of the file in memory as well.
    """

    workers: int = 1
    batch_size: int = 64
    rounds: int = 5
    scale: tuple[float, float] = (0.08, 1.0)
    validation: bool = False
    samples: int = 2000
    baselines: bool = True
    threads: int = 0
    cold: bool = False


def bench(
    files: Place | Sequence[Place], options: BenchOptions, on_round: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Time the loaders on a file, or ffprep's on the files of a set.

    Returns
    -------
    dict
        JSON values. ``results`` has, for each loader, its rate (lowest, median and highest samples per second), bytes
        per second, start-up time, and how many times as fast ffprep is. ``split`` says where ffprep's time goes, in
        milliseconds of a thread for a sample and in shares. If there is a seek index beside the file, ffprep without
        the index is one of the loaders.
    """
    paths = files_of(files)
    with Reader(paths[0]) as reader:
        images = [name for name, field in reader.fields.items() if field.type_id == 2]
        blocks = _blocks(reader)
        _check(options, paths, images)
        total = len(reader) if blocks is None else blocks.count
        for path in paths[1:]:
            with Reader(path, check=False) as another:
                more = _blocks(another)
                total += len(another) if more is None else more.count
        samples = min(options.samples, total)
        options = replace(options, batch_size=max(1, min(options.batch_size, samples)))
        first = min(samples, len(reader))  # what is looked at one by one is of the first file
        reader.seek_index = find_index(reader, None)
        size = _bytes_per_sample(reader, first) / (1 if blocks is None else blocks.per_sample)
        with tempfile.TemporaryDirectory(prefix="ffprep-bench-") as scratch:
            contestants = _contestants(paths, reader, images, samples, options, Path(scratch))
            contestants += _threads(contestants[0], options)
            timings = compare(contestants, options.rounds, on_round)
        split = _split(reader, images[0], first, options, timings[0]) if images and first == samples else {}
    if options.cold:
        timings += _cold(contestants[0], options)
    return {
        "path": str(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else ""),
        "samples": samples,
        "bytes_per_sample": round(size),
        "workers": options.workers,
        "batch_size": options.batch_size,
        "rounds": options.rounds,
        "block": None if blocks is None else blocks.block,
        "crop": None if not images else "whole image" if options.validation else list(options.scale),
        "results": [_result(timing, timings[0], size) for timing in timings],
        "split": split,
    }


def _blocks(reader: Reader) -> TokenBlocks | None:
    """The blocks of tokens of a file, which a loader counts as samples; None of another."""
    return open_blocks(reader) if "blocks" in source_facts(reader) else None


def _check(options: BenchOptions, paths: Sequence[SetFile], images: Sequence[str]) -> None:
    """Refuse, before anything is timed, options that would say nothing.

    Raises
    ------
    OptionError
    """
    if options.cold and (len(paths) > 1 or not images):
        raise OptionError(f"{paths[0].path}: --cold times a single file of images; leave it out, or give such a file")
    if not images and (options.validation or options.scale != BenchOptions.scale):
        raise OptionError(f"{paths[0].path}: has no images; --validation and --scale say how images are read")


def _contestants(
    paths: Sequence[SetFile], reader: Reader, images: list[str], samples: int, options: BenchOptions, scratch: Path
) -> list[Contestant]:
    common = {"batch_size": options.batch_size, "num_workers": options.workers}
    crop: dict[str, Any] = {"scale": list(options.scale), "validation": options.validation}
    named = [str(file.path.resolve()) for file in paths]
    file = {"path": named if len(named) > 1 else named[0], "samples": samples, **common}
    if not images:
        runner = "ffprep_numbers" if _blocks(reader) is None else "ffprep_blocks"
        return [Contestant("ffprep", _RUNNERS + runner, file)]
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


def _threads(own: Contestant, options: BenchOptions) -> list[Contestant]:
    """ffprep with 1, 2, 4, ... threads, and with as many as were asked for."""
    counts = {1 << power for power in range(options.threads.bit_length()) if options.threads} | {options.threads}
    return [
        replace(own, name=f"ffprep, {n} thread{'s' * (n != 1)}", options={**own.options, "num_workers": n})
        for n in sorted(counts - {0, options.workers})
    ]


def _cold(own: Contestant, options: BenchOptions) -> list[Timing]:
    """ffprep from the disk. It runs when the others have ended, since they keep the file's pages in memory."""
    gc.collect()  # what is mapped here would stay as well
    cold = Contestant(_COLD, _RUNNERS + "ffprep_cold", own.options)
    return compare([cold], options.rounds)


def _split(reader: Reader, name: str, samples: int, options: BenchOptions, own: Timing) -> dict[str, Any]:
    """Where the time of one thread goes. The stages are the best of several runs, not measured at the same time."""
    if own.failure or not samples or (reader.column(name)["mode"][:samples] != 0).any():
        return {}
    wall = options.workers / max(own.rates)
    cpu = min(wall, *own.cpu) if own.cpu else wall
    stages = stages_of(reader, name, samples, Crops(options.scale, options.validation), cpu, wall)
    return {"ms": stages, "shares": {stage: round(share, 4) for stage, share in shares(stages).items()}}


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
    crop, block = facts["crop"], facts["block"]
    if crop is not None:
        how = ", " + (crop if isinstance(crop, str) else f"random crops of {crop[0]:g} to {crop[1]:g} of the area")
    else:
        how = ""
    things = "samples" if block is None else "blocks"
    size = "" if block is None else f"{block:,} tokens, "
    head = f"median of {facts['rounds']} rounds"
    lines = [
        f"{one_line(facts['path'])}: {facts['samples']:,} {things} of {size}{facts['bytes_per_sample'] / 1000:.1f} kB, "
        f"{facts['workers']} worker{'s' * (facts['workers'] != 1)}, batches of {facts['batch_size']}{how}",
        f"  {head:<28} {things + '/s':>9} {'MB/s':>22} {'start-up':>10}",
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
            faster = "the first line" if result["name"].startswith("ffprep,") else "ffprep"
            line += f"   {faster} is {middle:.1f} times as fast ({least:.1f} - {most:.1f})"
        lines.append(line)
    if split := facts["split"]:
        parts = ", ".join(f"{stage} {split['shares'][stage]:.0%}" for stage in STAGES)
        lines.append(f"  a sample takes a thread {sum(split['ms'].values()):.3f} ms at best: {parts}")
    return "\n".join(lines)


def bench_charts(facts: dict[str, Any]) -> list[Chart]:
    """The figures as charts: the rates, and where the time goes."""
    good = [result for result in facts["results"] if "failure" not in result]
    rates = [(result["name"], result["samples_per_second"][1]) for result in good]
    note = (
        f"{facts['path']}, {facts['workers']} worker{'s' * (facts['workers'] != 1)}, median of {facts['rounds']} rounds"
    )
    charts = [Chart("Samples a second", [Bar(name, [rate], f"{rate:,.0f}") for name, rate in rates], note)]
    if split := facts["split"]:
        parts = [split["ms"][stage] for stage in STAGES]
        legend = [f"{stage} {split['shares'][stage]:.0%}" for stage in STAGES]
        charts.append(Chart("Where a thread's time goes", [Bar("ms a sample", parts, f"{sum(parts):.3f}")], "", legend))
    return charts

"""What limits the loading of a file on this machine: its disk, its memory, its processors; measured, with a remedy."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.beton.sets import SetFile
from ffprep.common.formatting import size_text
from ffprep.common.workers.cpus import available_memory, usable_cpus
from ffprep.inspect.timing.page_cache import drop, resident_share
from ffprep.inspect.timing.runners import ffprep_images, ffprep_numbers

_READS, _DISK_SECONDS, _DISK_BYTES = 4096, 2.0, 256 << 20
_SAMPLES = 1024
_EPOCH_SECONDS = 3.0
_ENOUGH = 1.2  # times as fast as the next stage that a stage is no limit any more


@dataclass(frozen=True)
class Live:
    """What two readings of ``loader.stats()`` say about the time between them.

    Attributes
    ----------
    limit : {'training', 'loading', 'disk', 'unknown'}
    text : str
        The same in a sentence, with a remedy.
    """

    limit: str
    text: str


def measure(files: Sequence[SetFile], batch_size: int = 64) -> dict[str, Any]:
    """Measure what limits the files' loading here, in about ten seconds, as JSON values.

    Random parts of the first file that are not in memory are read from the disk; where all of it is there, a part is
    dropped from memory to be read again. Images are loaded as training does, from memory, by one thread and by as many
    as this process may use.

    Parameters
    ----------
    files : sequence of SetFile
        On local disk.
    batch_size : int

    Raises
    ------
    BetonError
        A file cannot be used.
    """
    with Reader(files[0]) as reader:
        images = any(field.type_id == 2 for field in reader.fields.values())
        samples, each = len(reader), _bytes_of_a_sample(reader)
        extents = _some_extents(reader)
    path = files[0].path
    size = sum(one.path.stat().st_size for one in files)
    resident = resident_share(path)
    disk = _disk_rate(path, extents)
    cpus = usable_cpus()
    rates = {n: _loading_rate([str(file.path) for file in files], images, min(samples, _SAMPLES), n, batch_size)
             for n in sorted({1, cpus})}  # fmt: skip
    facts: dict[str, Any] = {
        "path": str(path) + (f" and {len(files) - 1} more" if len(files) > 1 else ""),
        "bytes": size,
        "bytes_per_sample": round(each),
        "available_memory": available_memory(),
        "in_memory": None if resident is None else round(resident, 3),
        "cpus": cpus,
        "disk_bytes_per_second": None if disk is None else round(disk),
        "samples_per_second": {
            "one thread": round(rates[1]),
            "all threads": round(rates[cpus]),
            "disk": None if disk is None or not each else round(disk / each),
        },
    }
    facts["limit"], facts["advice"] = judge(facts)
    return facts


def judge(facts: dict[str, Any]) -> tuple[str, list[str]]:
    """Say which of ``disk``, ``memory`` and ``cpu`` limits, by the facts that `measure` found, and what to change."""
    memory, size = facts["available_memory"], facts["bytes"]
    rates = facts["samples_per_second"]
    fits = memory is None or size < memory
    cpu, disk = rates["all threads"], rates["disk"]
    cold = (facts["in_memory"] or 0.0) < 0.9
    advice: list[str] = []
    slow_disk = disk is not None and disk < cpu
    if slow_disk and not fits:
        advice.append(
            f"the file is larger than the {size_text(memory)} of memory that are free, so every epoch reads the disk, "
            f"which gives {disk:,} samples a second where the processors could take {cpu:,}: put it on a faster disk, "
            "make it smaller (convert with --max-side or --min-side and --quality), or take "
            "order=OrderOption.QUASI_RANDOM with os_cache=False, which reads in long pieces"
        )
        return "memory", advice
    if slow_disk and cold:
        advice.append(
            f"the first epoch comes from the disk, at {disk:,} samples a second at most; the file fits into memory, so "
            f"later epochs come at {cpu:,}: read it once before (cat FILE > /dev/null), or let the first one be slow"
        )
    spread = rates["all threads"] / max(1, rates["one thread"])
    if facts["cpus"] > 1 and spread < 0.6 * facts["cpus"]:
        advice.append(
            f"{facts['cpus']} threads are {spread:.1f} times as fast as one: other work takes the processors, or they "
            "share cores (hyper-threads) or memory bandwidth"
        )
    advice.append(
        f"from memory, the processors are the limit, at {cpu:,} samples a second with {facts['cpus']} threads: for "
        "more, store smaller images (--max-side, --quality) or pixels (--jpeg raw, if memory allows), give the loader "
        "more processors, or normalise on the device (device=)"
    )
    return "cpu", advice


def limits_text(facts: dict[str, Any]) -> str:
    """The facts as text for the screen."""
    rates, memory = facts["samples_per_second"], facts["available_memory"]
    held = "unknown" if facts["in_memory"] is None else f"{facts['in_memory']:.0%}"
    disk = "could not be measured: the file stays in memory"
    if facts["disk_bytes_per_second"] is not None:
        disk = f"{size_text(facts['disk_bytes_per_second'])} a second in random reads, {rates['disk'] or 0:,} samples"
    free = "unknown" if memory is None else size_text(memory)
    lines = [
        f"{facts['path']}: {size_text(facts['bytes'])}, {size_text(facts['bytes_per_sample'])} a sample",
        f"memory       {free} free, {held} of the file in the system's cache",
        f"disk         {disk}",
        f"processors   {rates['one thread']:,} samples a second by one thread, "
        f"{rates['all threads']:,} by {facts['cpus']}",
        f"limit        {facts['limit']}",
    ]
    return "\n".join(lines + [f"hint         {text}" for text in facts["advice"]])


def live(before: Any, now: Any, workers: int, in_memory: float | None = None) -> Live:
    """Say what limited a training loop between two readings of ``loader.stats()``.

    Parameters
    ----------
    before, now : LoaderStats
        With ``seconds``, ``waiting``, ``samples`` and ``bytes``, and ``ready`` in the later one.
    workers : int
        The loader's threads.
    in_memory : float, optional
        Share of the file in the system's cache, see ``page_cache.resident_share``.
    """
    seconds, samples = now.seconds - before.seconds, now.samples - before.samples
    if seconds <= 0 or samples <= 0:
        return Live("unknown", "no batch was taken yet")
    share = (now.waiting - before.waiting) / seconds
    rate = f"{samples / seconds:,.0f} samples and {size_text((now.bytes - before.bytes) / seconds)} a second"
    if share < 0.05:
        return Live("training", f"{rate}; the loop waits {share:.0%} of its time: loading is not the limit")
    if in_memory is not None and in_memory < 0.9:
        why = f"{1 - in_memory:.0%} of the file has to come from the disk: keep it in memory, or take a faster disk"
        return Live("disk", f"{rate}; the loop waits {share:.0%} of its time, and {why}")
    cpus = usable_cpus()
    more = f"num_workers={workers} leaves {cpus - workers} processors idle: raise it" if workers < cpus else (
        "all processors are in use: store smaller images, or give the loader more processors"
    )  # fmt: skip
    return Live("loading", f"{rate}; the loop waits {share:.0%} of its time for the loader; {more}")


def _bytes_of_a_sample(reader: Reader) -> float:
    total = sum(field.metadata_type.itemsize for field in reader.fields.values()) * len(reader)
    for name, field in reader.fields.items():
        if field.pointer is not None:
            total += int(reader.extents(name)[1].sum(dtype=np.uint64))
    return total / max(1, len(reader))


def _some_extents(reader: Reader) -> list[tuple[int, int]]:
    """Where some samples' payloads lie, in random order, those of images if there are any."""
    names = [name for name, field in reader.fields.items() if field.pointer is not None]
    names.sort(key=lambda name: reader.fields[name].type_id != 2)
    if not names or not len(reader):
        return []
    offsets, sizes = reader.extents(names[0])
    chosen = np.random.default_rng(0).permutation(len(offsets))[:_READS]
    return [(int(offsets[i]), int(sizes[i])) for i in chosen if sizes[i]]


def _disk_rate(path: Path, extents: Sequence[tuple[int, int]]) -> float | None:
    """Bytes a second of random reads that the disk has to answer; None if the file cannot be had out of memory."""
    if not extents or not hasattr(os, "pread"):
        return None
    total = 0
    part = []
    for offset, size in extents:
        part.append((offset, size))
        total += size
        if total >= _DISK_BYTES:
            break
    drop(path, part)
    held = resident_share(path)
    if held is not None and held > 0.95:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    done, begun = 0, time.perf_counter()
    try:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        for offset, size in part:
            done += len(os.pread(descriptor, size, offset))
            if time.perf_counter() - begun > _DISK_SECONDS:
                break
    finally:
        os.close(descriptor)
    return done / max(1e-9, time.perf_counter() - begun)


def _loading_rate(paths: list[str], images: bool, samples: int, workers: int, batch_size: int) -> float:
    """Samples a second from memory: the best epoch of a few, after one that reads the file and compiles."""
    runner = ffprep_images if images else ffprep_numbers
    epoch = runner(paths if len(paths) > 1 else paths[0], samples, batch_size, workers)
    epoch()
    best, end = 0.0, time.perf_counter() + _EPOCH_SECONDS
    while not best or time.perf_counter() < end:
        begun = time.perf_counter()
        best = max(best, epoch() / (time.perf_counter() - begun))
    return best

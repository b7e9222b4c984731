"""How fast merge and split are beside cp of the same bytes: in turn, both with the result forced to the disk.

    python benchmarks/converting/copies.py train.beton [--folder /dev/shm] [--rounds 7] [--cores 0] [--json FILE]

In each round, and in another order in each, the file is split into four, four such are merged, and ``cp`` copies the
whole file. ``cp`` does not wait for the disk and the others do, so it is followed by ``fsync`` of what it made. What
one made is removed before the next begins, so that all write to memory that was in use a moment ago: a virtual
machine's that was not may be slow, as the host has to find it first. A fourth contestant does nothing but what merge
cannot leave out: it hashes all bytes twice, as values and as pages, and writes them, a quarter of a MiB at a time.
Prints the paired ratios of seconds and of processor time. The sources are in the system's cache.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ffprep.inspect.timing.results import Cell, Result, Table

CONTESTANTS = {"merge": "merge", "split": "split", "least": "hash twice and write, no more"}
WORK = """
import mmap, os, sys, time
from pathlib import Path
import xxhash
from ffprep.beton.merge import merge
from ffprep.beton.sets import files_of
from ffprep.beton.split import split
what, source, target = sys.argv[1:]
began, used = time.perf_counter(), time.process_time()
if what == "least":
    with open(source, "rb") as file, open(target, "wb", buffering=0) as copy:
        data = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        for start in range(0, len(data), 1 << 18):
            part = data[start : start + (1 << 18)]
            xxhash.xxh3_64_intdigest(part), xxhash.xxh3_64_intdigest(part)
            copy.write(part)
        os.fsync(copy)
elif what == "split":
    split(files_of(source), Path(target), 4)
else:
    merge(sorted(Path(source).glob("*.beton")), target)
print(time.perf_counter() - began, time.process_time() - used)
"""
"""Prints the seconds and the processor time of the work, without those in which Python starts."""


Times = tuple[float, float]
"""Seconds, and seconds of processor time."""


def copied(source: Path, target: Path) -> Times:
    """Copy a file with cp, force it to the disk, and return how long that took."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["cp", str(source), str(target)], check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - began, used


def worked(what: str, source: Path, target: Path) -> Times:
    """Split, merge or only hash and write in a process of its own, and return how long that took."""
    command = [sys.executable, "-c", WORK, what, str(source), str(target)]
    seconds, used = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(used)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")], help="keep to these")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    options = parser.parse_args()
    if options.cores:
        os.sched_setaffinity(0, options.cores)
    size = options.file.stat().st_size / 1e6
    result = Result("copies", f"{size:,.0f} MB, {options.rounds} rounds", note=options.note)
    with tempfile.TemporaryDirectory(prefix="ffprep-copies-", dir=options.folder) as temporary:
        folder = Path(temporary)
        whole = folder / "whole.beton"
        shutil.copyfile(options.file, whole)
        parts, made = folder / "parts", folder / "made"
        parts.mkdir()
        worked("split", whole, parts / "x.set.json")
        tasks: dict[str, Callable[[], Times]] = {
            "split": lambda: worked("split", whole, made / "x.set.json"),
            "cp": lambda: copied(whole, made / "copy.beton"),
            "merge": lambda: worked("merge", parts, made / "again.beton"),
            "least": lambda: worked("least", whole, made / "least.beton"),
        }
        times: dict[str, list[Times]] = {name: [] for name in tasks}
        for number in range(options.rounds + 1):
            found = {}
            for name in [*tasks, *tasks][number % 4 :][:4]:
                made.mkdir()
                found[name] = tasks[name]()
                written = sum(file.stat().st_size for file in made.iterdir())
                assert abs(written / whole.stat().st_size - 1) < 0.01
                shutil.rmtree(made)
            if number:  # the first round warms up
                for name, one in found.items():
                    times[name].append(one)
    rows: list[list[Cell]] = []
    for name, known in times.items():
        result.measured(name, [seconds for seconds, _ in known])
        result.measured(f"{name}, processor time", [used for _, used in known])
    for name, label in CONTESTANTS.items():
        rows.append([label, {"ratio": ["cp", name]}, {"ratio": ["cp, processor time", f"{name}, processor time"]}])
    result.tables["main"] = Table(["", "times the rate of cp", "by processor time"], rows)
    if options.json:
        result.save(options.json)
    print(f"{result.caption()}\n\n{result.text()}")


if __name__ == "__main__":
    main()

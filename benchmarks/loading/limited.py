"""Epochs over a file that is larger than the memory there is: in a group of processes that has only so much.

    python benchmarks/loading/limited.py --mib 1060 --limit 600        # as root, on a disk; control groups, 1 or 2

Makes a file of that many MiB, and a control group whose processes may take that many MiB together, pages of files
included. Each case begins with none of the file in memory and runs its ranks in the group, each a process of its own.
What they read from the disk is taken from the system's account of them, and compared with the bytes of the samples that
they ask for. Ranks begin together and keep in step to LAG batches, as training does; in the last case one of them waits
in each step, so that the other is always as far ahead as it may be. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from memory import MIB, SAMPLE, forget, make_file

GROUPS = Path("/sys/fs/cgroup")
LAG = 3
"""Batches that a rank may be ahead of the others."""

CASES: list[tuple[str, bool, int, int, float]] = [
    ("RANDOM", True, 1, 1, 0.0),
    ("RANDOM", True, 3, 1, 0.0),
    ("QUASI_RANDOM", True, 1, 1, 0.0),
    ("QUASI_RANDOM", False, 1, 1, 0.0),
    ("NODES", False, 1, 1, 0.0),
    ("NODES", False, 1, 2, 0.0),
    ("QUASI_RANDOM", False, 1, 2, 0.0),
    ("QUASI_RANDOM", False, 1, 2, 0.02),
]
"""Order, os_cache, one sample of how many is asked for, ranks, seconds that the last rank waits after a batch."""


class Group:
    """A control group of this machine, of version 2 or 1."""

    def __init__(self, limit: int) -> None:
        unified = (GROUPS / "cgroup.controllers").exists()
        self.place = (GROUPS if unified else GROUPS / "memory") / f"ffprep-limited-{os.getpid()}"
        names = ("memory.max", "memory.peak") if unified else ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
        self._limit, self._peak = (self.place / name for name in names)
        self.place.mkdir()
        self._limit.write_text(str(limit))

    def peak(self) -> float:
        """MiB that the group has had at most."""
        return int(self._peak.read_text()) / MIB

    def end(self) -> None:
        """Remove it; its processes have ended."""
        with contextlib.suppress(OSError):
            self.place.rmdir()


@contextlib.contextmanager
def group(limit: int) -> Iterator[Group]:
    """A group for one case."""
    made = Group(limit)
    try:
        yield made
    finally:
        made.end()


def epoch(path: Path, order: str, os_cache: bool, every: int, rank: int, ranks: int, wait: float) -> dict[str, Any]:
    """Go through an epoch of one rank; return the bytes that it read and asked for, and the seconds."""
    from ffprep import Loader, NodeOrder, OrderOption
    from ffprep.beton import Reader

    with Reader(path) as reader:
        count = len(reader)
    options: dict[str, Any] = {"rank": rank, "world_size": ranks, "drop_last": False, "seed": 1, "os_cache": os_cache}
    options["order"] = NodeOrder(8, 4) if order == "NODES" else OrderOption[order]
    options |= {"window_pages": 16, "batches_ahead": 2, "indices": range(0, count, every) if every > 1 else None}
    with Loader(path, 32, 1, **options) as loader:
        next(iter(loader))  # libraries and compiled code are there now
        loader.next_epoch = 0
        steps = np.memmap(path.with_suffix(".steps"), np.int64, "r+", shape=(ranks,))
        print("ready", flush=True)
        sys.stdin.readline()
        before, began, samples = _read(), time.perf_counter(), 0
        for number, (array, _) in enumerate(loader):
            samples += len(array)
            if wait and rank == ranks - 1:
                time.sleep(wait)
            steps[rank] = number + 1
            while steps.min() < number + 1 - LAG:
                time.sleep(0.001)
        steps[rank] = 1 << 60
        return {"read": _read() - before, "needed": samples * SAMPLE, "seconds": time.perf_counter() - began}


def _read() -> int:
    """Bytes that this process made the system read from disks."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["read_bytes"])


def run(path: Path, case: dict[str, Any], ranks: int, limit: int) -> tuple[list[dict[str, Any]], float]:
    """Run the ranks of a case in a group; return what each found, and the group's peak in MiB."""
    forget(path)
    np.zeros(ranks, np.int64).tofile(path.with_suffix(".steps"))
    with group(limit) as made:
        tasks = f"echo $$ > {made.place}/cgroup.procs && exec "
        jobs = []
        for rank in range(ranks):
            asked = json.dumps({**case, "rank": rank, "ranks": ranks})
            command = [sys.executable, __file__, "--folder", str(path), "--case", asked]
            shell = ["sh", "-c", tasks + '"$@"', "sh", *command]
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            jobs.append(subprocess.Popen(shell, text=True, **pipes))
        for job in jobs:
            job.stdout.readline()  # it is ready, or has ended
        forget(path)
        for job in jobs:
            with contextlib.suppress(OSError):
                job.stdin.write("go\n")
                job.stdin.flush()
        found = []
        for job in jobs:
            out, err = job.communicate()
            if job.returncode:
                raise SystemExit(f"{case}: status {job.returncode}: {err}")
            found.append(json.loads(out.splitlines()[-1]))
        return found, made.peak()


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1060, help="size of the file")
    parser.add_argument("--limit", type=int, default=600, help="MiB that the group may take")
    parser.add_argument("--bound", type=float, default=1.2, help="times what is needed that may be read")
    parser.add_argument("--folder", type=Path, help="where to make the file, on a disk; a temporary folder by default")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(epoch(path=options.folder, **json.loads(options.case))))
        return
    too_much = []
    print("| order | os_cache | samples | ranks | needed, MiB | read, MiB | times | seconds | group's peak, MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="ffprep-limited-", dir=options.folder) as folder:
        path = Path(folder) / "large.beton"
        make_file(path, options.mib)
        for order, os_cache, every, ranks, wait in CASES:
            case = {"order": order, "os_cache": os_cache, "every": every, "wait": wait}
            found, peak = run(path, case, ranks, options.limit * MIB)
            needed, read = (sum(one[what] for one in found) / MIB for what in ("needed", "read"))
            which = "all" if every == 1 else f"one of {every}"
            who = f"{ranks}, one behind" if wait else str(ranks)
            print(
                f"| {order} | {os_cache} | {which} | {who} | {needed:,.0f} | {read:,.0f} | {read / needed:.2f} | "
                f"{max(one['seconds'] for one in found):.1f} | {peak:,.0f} |",
                flush=True,
            )
            if read > options.bound * needed:
                too_much.append(f"{order}, {who}: {read / needed:.2f}")
    if too_much:
        raise SystemExit(f"more than {options.bound} times what was needed was read: {'; '.join(too_much)}")


if __name__ == "__main__":
    main()

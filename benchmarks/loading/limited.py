"""Epochs over a file that is larger than the memory there is: in a group of processes that has only so much.

    python benchmarks/loading/limited.py --mib 1060 --limit 600 --json FILE    # as root, on a disk; control groups 1, 2

Makes a file of that many MiB, a set of eight files with as much, and a control group whose processes may take that many
MiB together, pages of files included. The remote case reads the set from a cache that has it: moto plays the store, as
in remote.py, and what it takes is not counted. Each case begins with none of the file in memory and runs its ranks in
the group, each a process of its own. What they read from the disk is taken from the system's account of them, and
compared with the bytes of the samples that they ask for. Ranks begin together and keep in step to LAG batches, as
training does; in the last case one of them waits in each step, so that the other is always as far ahead as it may be.
Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
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
from memory import MIB, PAGE, SAMPLE, forget, make_file
from remote import bucket

from ffprep.inspect.timing.results import Result, Table

GROUPS = Path("/sys/fs/cgroup")
LAG = 3
"""Batches that a rank may be ahead of the others."""

COLUMNS = [
    "what is read", "order", "os_cache", "samples", "ranks", "needed, MiB", "read, MiB", "times", "seconds",
    "group's peak, MiB",
]  # fmt: skip

CASES: list[tuple[str, str, bool, int, int, float]] = [
    ("file", "RANDOM", True, 1, 1, 0.0),
    ("file", "RANDOM", True, 3, 1, 0.0),
    ("set", "RANDOM", True, 1, 1, 0.0),
    ("cached", "RANDOM", True, 1, 1, 0.0),
    ("file", "QUASI_RANDOM", True, 1, 1, 0.0),
    ("file", "QUASI_RANDOM", False, 1, 1, 0.0),
    ("set", "QUASI_RANDOM", False, 1, 1, 0.0),
    ("file", "NODES", False, 1, 1, 0.0),
    ("file", "NODES", False, 1, 2, 0.0),
    ("file", "QUASI_RANDOM", False, 1, 2, 0.0),
    ("file", "QUASI_RANDOM", False, 1, 2, 0.02),
]
"""What is read, order, os_cache, one sample of how many is asked for, ranks, seconds that the last rank waits after a
batch."""

MEMBERS = 8
"""Files of the set."""

WHAT = {"file": "a file", "set": f"a set of {MEMBERS}", "cached": f"a remote set of {MEMBERS}, cached"}


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


def epoch(
    path: Path, place: str | list[str], order: str, os_cache: bool, every: int, rank: int, ranks: int, wait: float
) -> dict[str, Any]:
    """Go through an epoch of one rank; return the bytes that it read and asked for, and the seconds."""
    from ffprep import Loader, NodeOrder, OrderOption

    with Loader(place, 1, 1) as loader:
        count = len(loader.indices)
    options: dict[str, Any] = {"rank": rank, "world_size": ranks, "drop_last": False, "seed": 1, "os_cache": os_cache}
    options["order"] = NodeOrder(8, 4) if order == "NODES" else OrderOption[order]
    options |= {"window_pages": 16, "batches_ahead": 2, "indices": range(0, count, every) if every > 1 else None}
    with Loader(place, 32, 1, **options) as loader:
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


def run(
    path: Path, files: list[Path], case: dict[str, Any], ranks: int, limit: int
) -> tuple[list[dict[str, Any]], float]:
    """Run the ranks of a case in a group; return what each found, and the group's peak in MiB."""
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
        for file in files:
            forget(file)
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


def make(folder: Path, mib: int, stack: contextlib.ExitStack, what: str) -> tuple[str | list[str], list[Path]]:
    """Make what is read; return what a loader is given, and the files of this machine that hold it.

    Files lie in the store until `stack` is closed; the cache is in `folder`.
    """
    if what == "file":
        make_file(path := folder / "large.beton", mib)
        return str(path), [path]
    paths = [folder / "set" / f"x-{n:05}-of-{MEMBERS:05}.beton" for n in range(MEMBERS)]
    if not paths[0].exists():
        paths[0].parent.mkdir()
        for path in paths:
            make_file(path, mib // MEMBERS)
    if what == "set":
        return str(folder / "set"), paths
    os.environ |= {"FFPREP_CACHE": str(folder / "cache"), "FFPREP_REMOTE_DEADLINE": "1800"}
    store = stack.enter_context(bucket())
    from ffprep.beton.sets import files_of
    from ffprep.remote.staging import stage

    urls = [f"s3://bucket/{path.name}" for path in paths]
    for path, url in zip(paths, urls, strict=True):
        store.put(str(path), url.removeprefix("s3://"))
    cached = [file.path for file in files_of(urls)]
    for path in cached:
        stage(path)
    return urls, cached


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1060, help="size of the file")
    parser.add_argument("--limit", type=int, default=600, help="MiB that the group may take")
    parser.add_argument("--bound", type=float, default=1.2, help="times what is needed that may be read")
    parser.add_argument("--folder", type=Path, help="where to make the file, on a disk; a temporary folder by default")
    parser.add_argument("--only", choices=WHAT, action="append", help="what is read; everything by default")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(epoch(path=options.folder, **json.loads(options.case))))
        return
    result = Result(
        "limited",
        f"{options.mib:,} MiB of samples of {SAMPLE >> 10} KiB, batches of 32, windows of 16 pages of {PAGE // MIB} "
        f"MiB, NodeOrder(8, 4), {options.limit} MiB of memory for all ranks",
        note=options.note,
    )
    table = result.tables["main"] = Table(COLUMNS, [])
    too_much = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ffprep-limited-", dir=options.folder)))
        places = functools.cache(functools.partial(make, folder, options.mib, stack))
        for what, order, os_cache, every, ranks, wait in CASES:
            if options.only and what not in options.only:
                continue
            place, files = places(what)
            case = {"place": place, "order": order, "os_cache": os_cache, "every": every, "wait": wait}
            found, peak = run(folder / "epoch", files, case, ranks, options.limit * MIB)
            needed, read = (sum(one[name] for one in found) / MIB for name in ("needed", "read"))
            which = "all" if every == 1 else f"one of {every}"
            who = f"{ranks}, one behind" if wait else str(ranks)
            name = f"{WHAT[what]}, {order}, os_cache={os_cache}, {which}, {who}"
            result.measured(f"{name}: needed", [needed], "MiB")
            result.measured(f"{name}: read", [read], "MiB")
            result.measured(f"{name}: times", [read / needed], "times")
            result.measured(f"{name}: seconds", [max(one["seconds"] for one in found)])
            result.measured(f"{name}: peak", [peak], "MiB")
            forms = {"needed": ",.0f", "read": ",.0f", "times": ".2f", "seconds": ".1f", "peak": ",.0f"}
            cells: list[Any] = [{"median": f"{name}: {kind}", "form": form} for kind, form in forms.items()]
            shown = "NodeOrder" if order == "NODES" else order
            table.rows.append([WHAT[what], shown, str(os_cache), which, who, *cells])
            print(f"{name}: {read / needed:.2f}", file=sys.stderr, flush=True)
            if read > options.bound * needed:
                too_much.append(f"{name}: {read / needed:.2f}")
    if options.json:
        result.save(options.json)
    print(f"{result.caption()}\n\n{result.text()}")
    if too_much:
        raise SystemExit(f"more than {options.bound} times what was needed was read: {'; '.join(too_much)}")


if __name__ == "__main__":
    main()

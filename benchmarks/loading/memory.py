"""Memory that an epoch over a large file takes: quasi-random with its own reading ahead, beside the system's cache.

    python benchmarks/loading/memory.py --mib 2048 --bound 256

Makes a file of that many MiB (dropped from the system's cache at the start of every case), goes through one epoch of it
in a process of its own for each case, and looks after every batch at what the process holds and, with mincore, at how
much of the file lies in the system's cache. With ``--bound`` the exit status is 1 when the cases with
``os_cache=False`` hold more than that many MiB of the file at any time. Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

MIB = 1 << 20
SAMPLE = 128 << 10
PAGE = 2 * MIB


@dataclass
class Peak:
    """Largest figures of an epoch, in MiB."""

    samples: int = 0
    cached: float = 0.0
    mapped: float = 0.0
    private: float = 0.0


def make_file(path: Path, mib: int) -> int:
    """Write samples of 128 KiB until the file has about that many MiB; return how many."""
    from ffprep.beton.writing.writer import Writer
    from ffprep.fields import IntField, NDArrayField

    count = mib * MIB // SAMPLE
    fields = {"array": NDArrayField(np.dtype(np.uint8), (SAMPLE,)), "number": IntField()}
    row = np.random.default_rng(0).integers(0, 256, SAMPLE, np.uint8)
    with Writer(path, fields, count, page_size=PAGE) as writer:
        for i in range(count):
            row[:8] = np.array([i]).view(np.uint8)
            writer.write([fields["array"].encode(row.copy()), fields["number"].encode(i)])
    return count


class Residency:
    """How much of a file lies in the system's cache."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        with path.open("rb") as file:
            self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._view = np.frombuffer(self._mapping, np.uint8)
        self._pages = np.zeros(-(-len(self._mapping) // mmap.PAGESIZE), np.uint8)

    def mib(self) -> float:
        """Count."""
        if self._libc.mincore(self._view.ctypes.data, self._view.size, self._pages.ctypes.data):
            raise OSError(ctypes.get_errno(), "mincore")
        return float(np.count_nonzero(self._pages & 1)) * mmap.PAGESIZE / MIB


def held() -> tuple[float, float]:
    """MiB of files and MiB of its own that this process has in memory."""
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    files, own = (int(found[name].split()[0]) / 1024 for name in ("RssFile", "RssAnon"))
    return files, own


def epoch(path: Path, order: str, os_cache: bool, window: int, rank: int, world: int) -> Peak:
    """Go through one epoch."""
    from ffprep import Loader, OrderOption

    peak = Peak()
    residency = Residency(path)
    options = {"window_pages": window, "rank": rank, "world_size": world, "drop_last": False, "seed": 1}
    with Loader(path, 32, 1, os_cache=os_cache, order=OrderOption[order], batches_ahead=2, **options) as loader:
        next(iter(loader))  # libraries and compiled code are there now
        loader.next_epoch = 0
        forget(path)
        files, own = held()
        for array, number in loader:
            assert int(array[0, :8].numpy().view(np.int64)[0]) == int(number[0])
            now_files, now_own = held()
            peak.samples += len(array)
            peak.cached = max(peak.cached, residency.mib())
            peak.mapped = max(peak.mapped, now_files - files)
            peak.private = max(peak.private, now_own - own)
    return peak


def forget(path: Path) -> None:
    """Let the system drop the file from its cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file")
    parser.add_argument("--window", type=int, default=16, help=f"window_pages; a page has {PAGE // MIB} MiB")
    parser.add_argument("--bound", type=float, help="MiB of the file that the bounded cases may hold")
    parser.add_argument("--folder", type=Path, help="where to make the file; a temporary folder by default")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(asdict(epoch(**{**json.loads(options.case), "path": options.folder}))))
        return
    failed = False
    lines = [
        "| order | os_cache | one rank of | of the file in the system's cache, MiB | mapped, MiB | own, MiB |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(prefix="ffprep-memory-", dir=options.folder) as folder:
        path = Path(folder) / "large.beton"
        count = make_file(path, options.mib)
        for order, os_cache, world in (
            ("QUASI_RANDOM", False, 1),
            ("QUASI_RANDOM", False, 4),
            ("SEQUENTIAL", False, 1),
            ("QUASI_RANDOM", True, 1),
            ("RANDOM", True, 1),
        ):
            forget(path)
            case = {"order": order, "os_cache": os_cache, "window": options.window, "rank": 0, "world": world}
            command = [sys.executable, __file__, "--folder", str(path), "--case", json.dumps(case)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            peak = Peak(**json.loads(done.stdout.splitlines()[-1]))
            assert peak.samples == -(-count // world)
            figures = f"{peak.cached:.0f} | {peak.mapped:.0f} | {peak.private:.0f}"
            lines.append(f"| {order} | {os_cache} | {world} | {figures} |")
            print(lines[-1], file=sys.stderr)
            failed |= options.bound is not None and not os_cache and max(peak.cached, peak.mapped) > options.bound
        size = path.stat().st_size / MIB
    print(f"file of {size:.0f} MiB, windows of {options.window} pages of {PAGE // MIB} MiB\n")
    print("\n".join(lines))
    if failed:
        raise SystemExit(f"more than {options.bound:.0f} MiB of the file were in memory at once")


if __name__ == "__main__":
    main()

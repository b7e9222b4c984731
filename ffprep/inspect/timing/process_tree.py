"""What a process and all that it started cost, processor time and memory, read from Linux's /proc; and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

PROC = Path("/proc")


def descendants(process: int) -> list[int]:
    """Return a process and all its living descendants."""
    parents: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                parents.setdefault(int(_stat(entry)[1]), []).append(int(entry.name))
            except (OSError, IndexError):
                continue  # it has ended
    found = [process]
    for one in found:
        found.extend(parents.get(one, []))
    return found


def _stat(entry: Path) -> list[str]:
    """Return the fields of /proc/PID/stat that come after the command's name, which may hold anything."""
    return (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()


def children_seconds(process: int) -> float:
    """Return the processor time of what a process started: of its living descendants, and of all that were waited for.

    ``utime``, ``stime``, ``cutime`` and ``cstime`` of proc_pid_stat(5), in seconds.
    """
    ticks = 0
    for one in descendants(process):
        try:
            times = list(map(int, _stat(PROC / str(one))[11:15]))
        except (OSError, ValueError):
            continue
        ticks += sum(times[2:] if one == process else times)
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_bytes(process: int) -> int:
    """Return the memory of a process and its descendants, what several share counted once in all.

    The sum of ``Pss`` of /proc/PID/smaps_rollup without pages of files (``Pss_File``), which the system may drop.
    """
    total = 0
    for one in descendants(process):
        try:
            lines = (PROC / str(one) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {line.partition(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Pss")}
        total += 1024 * (sizes.get("Pss", 0) - sizes.get("Pss_File", 0))
    return total


def pin(process: int, cores: Sequence[int]) -> None:
    """Move a process, all that it started, and all their threads to processors."""
    for one in descendants(process):
        with contextlib.suppress(OSError):  # it, or a thread, has ended
            for thread in (PROC / str(one) / "task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session of its own, with everything that it started, whatever that is doing."""
    started = descendants(process.pid)[1:] if PROC.is_dir() and process.poll() is None else []
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # also what a process that is dead already has left behind
        for one in started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(one, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()

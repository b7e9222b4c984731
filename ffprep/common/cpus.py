"""How many processors and how much memory this process may use."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_QUOTA = _CGROUPS / "cpu.max"


def usable_cpus() -> int:
    """Number of processors this process may use, by its CPU affinity and the limit of its control group."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, _quota() or allowed))


def _quota() -> int | None:
    """Number of processors that the control group (such as a container) allows; None without a limit."""
    try:
        limit, period = _QUOTA.read_text().split()
        return None if limit == "max" else max(1, int(limit) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def available_memory() -> int | None:
    """Return the bytes that this process can still have, the system's cache of files counted as free.

    It is what the system has available, or the limit of the process's control group or of one around it, if that is
    less. None where the system does not say.
    """
    found = [limit for limit in (_of_the_system(), *_limits()) if limit is not None]
    return min(found, default=None)


def _of_the_system() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _limits() -> list[int]:
    """Return the limits of the control groups that the process is in: of version 2, or of version 1."""
    found = []
    with contextlib.suppress(OSError):
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds == "":
                root, name = _CGROUPS, "memory.max"
            elif "memory" in kinds.split(","):
                root, name = _CGROUPS / "memory", "memory.limit_in_bytes"
            else:
                continue
            # In a container the path may be that of the machine outside; the group's own files are then at the root.
            own = Path(path.lstrip("/"))
            for group in (own, *own.parents):
                with contextlib.suppress(OSError, ValueError):  # there is none, or it says "max"
                    found.append(int((root / group / name).read_text()))
    return found

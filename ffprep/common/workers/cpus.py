"""Which processor this machine has, and how many and how much memory this process may use."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import NamedTuple

_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_QUOTA = _CGROUPS / "cpu.max"


class Processor(NamedTuple):
    """A kind of processor.

    Attributes
    ----------
    name : str
        As the system calls it. Virtual machines often shorten it, so that it says little.
    family, model : int or None
        Numbers by which x86-64 processors are told apart; None elsewhere.
    architecture : str
        What the maker calls the core, such as ``Zen 3``; empty if it is none of those listed here.
    """

    name: str
    family: int | None
    model: int | None
    architecture: str

    def __str__(self) -> str:
        numbers = "" if self.family is None else f"family {self.family}, model {self.model}"
        more = ", ".join(part for part in (self.architecture, numbers) if part)
        return f"{self.name} ({more})" if more else self.name


_ARCHITECTURES = {
    # https://en.wikichip.org/wiki/amd/cpuid, .../intel/cpuid: maker, family, first and last model
    ("AuthenticAMD", 23): [(0x31, 0xFF, "Zen 2"), (0x00, 0x2F, "Zen")],
    ("AuthenticAMD", 25): [(0x10, 0x1F, "Zen 4"), (0x60, 0xAF, "Zen 4"), (0x00, 0x5F, "Zen 3")],
    ("AuthenticAMD", 26): [(0x00, 0xFF, "Zen 5")],
    ("GenuineIntel", 6): [
        (0x55, 0x55, "Skylake or Cascade Lake"), (0x6A, 0x6C, "Ice Lake"), (0x8F, 0x8F, "Sapphire Rapids"),
        (0xAD, 0xAE, "Granite Rapids"), (0xCF, 0xCF, "Emerald Rapids"),
    ],
}  # fmt: skip


def processor() -> Processor:
    """Return the kind of this machine's first processor."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in (_PROC / "cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    name = found.get("model name") or platform.processor() or platform.machine()
    try:
        family, model = int(found["cpu family"]), int(found["model"])
    except (KeyError, ValueError):
        return Processor(name, None, None, "")
    listed = _ARCHITECTURES.get((found.get("vendor_id", ""), family), ())
    return Processor(name, family, model, next((what for low, high, what in listed if low <= model <= high), ""))


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

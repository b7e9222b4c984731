"""What matters to ffprep about this machine: versions, processor, caches, disk space, and what is slow or missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ffprep._version import __version__
from ffprep.common.formatting import size_text
from ffprep.common.workers.cpus import processor, usable_cpus

CORE = ("numpy", "numba", "llvmlite", "torch", "Pillow", "xxhash", "click")
EXTRAS = ("datasets", "pyarrow", "tiktoken", "PyYAML", "aiohttp", "ray", "ffcv", "torchvision")
_EXPECTED_MS = {"avx512": 1.0, "avx2": 1.5, "scalar": 2.5}


def examine() -> dict[str, Any]:
    """Facts as JSON values. ``problems`` must be fixed; following ``hints`` makes ffprep faster."""
    facts: dict[str, Any] = {
        "ffprep": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": str(processor()),
        "cores": _cores(),
        "memory": _memory(),
        "packages": {name: _version(name) for name in CORE},
        "extras": {name: _version(name) for name in EXTRAS},
        "numba_cache": _numba_cache(),
        "temporary_space": shutil.disk_usage(tempfile.gettempdir()).free,
        "environment": {
            name: os.environ[name]
            for name in sorted(os.environ)
            if name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") or name.startswith(("NUMBA_", "FFPREP_"))
        },
    }
    facts["kernel"] = _kernel()
    facts["machine_code"] = _machine_code()
    facts["problems"] = _problems(facts)
    facts["hints"] = _hints(facts)
    return facts


def doctor_text(facts: dict[str, Any]) -> str:
    """The facts as text for the screen."""
    cores = facts["cores"]
    kernel = facts["kernel"]
    speed = f", a demo photograph decodes in {kernel['decode_ms']} ms" if "decode_ms" in kernel else ""
    cache = facts["numba_cache"]
    lines = [
        f"ffprep {facts['ffprep']}, Python {facts['python']}, {facts['system']}",
        f"processor    {facts['processor']}; {cores['usable']} of {cores['present']} cores usable",
        f"memory       {size_text(facts['memory'])}" if facts["memory"] else "memory       unknown",
        f"kernel       {kernel['level'] or 'missing'}{speed}",
        f"machine code {facts['machine_code']['text']}",
        f"numba cache  {cache['folder']}, {cache['files']} files{'' if cache['writable'] else ', NOT WRITABLE'}",
        f"temporary    {size_text(facts['temporary_space'])} free",
        "packages     " + ", ".join(f"{name} {found or 'MISSING'}" for name, found in facts["packages"].items()),
        "extras       " + ", ".join(f"{name} {found or '-'}" for name, found in facts["extras"].items()),
    ]
    lines.extend(f"environment  {name}={value}" for name, value in facts["environment"].items())
    lines.extend(f"problem      {text}" for text in facts["problems"])
    lines.extend(f"hint         {text}" for text in facts["hints"])
    if not facts["problems"] and not facts["hints"]:
        lines.append("all is well")
    return "\n".join(lines)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cores() -> dict[str, int]:
    return {"present": os.cpu_count() or 1, "usable": usable_cpus()}


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _numba_cache() -> dict[str, Any]:
    """The folder in which compiled kernels are kept, so that only the first start on a machine compiles them."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else Path(__file__).resolve().parent.parent / "kernels" / "__pycache__"
    parent = folder
    while not parent.exists():
        parent = parent.parent
    files = sum(1 for _ in folder.rglob("*.nbi")) if folder.exists() else 0
    return {"folder": str(folder), "writable": os.access(parent, os.W_OK), "files": files}


def _machine_code() -> dict[str, Any]:
    """Return whether the loader's kernels come as machine code or are compiled here, and why."""
    from ffprep.kernels import shipped

    reason = shipped.refusal()
    stale = [] if reason else shipped.stale()
    if reason:
        text = f"compiled here when it is first used: {reason}"
    elif len(stale) == len(shipped.stamps()):
        text = "compiled here when it is first used: the kernels' sources have changed since theirs was built"
    elif stale:
        text = f"shipped, but compiled here for what has changed since: {', '.join(stale)}"
    else:
        text = "shipped: nothing is compiled at the first start"
    return {"shipped": not reason and not stale, "reason": reason, "stale": stale, "text": text}


def _kernel() -> dict[str, Any]:
    try:
        from ffprep.jpeg import decode_planes
        from ffprep.jpeg.native import simd_level

        level = simd_level()
    except Exception as error:  # whatever keeps it from loading is what the user wants to know
        return {"level": None, "error": " ".join(str(error).split())}
    photograph = next((Path(__file__).resolve().parent.parent / "demo_data" / "imagenet").rglob("*.JPEG"), None)
    if photograph is None:
        return {"level": level}
    data = photograph.read_bytes()
    return {"level": level, "decode_ms": round(_best(lambda: decode_planes(data)) * 1000, 3)}


def _best(action: Callable[[], object], seconds: float = 0.2) -> float:
    """Seconds of the fastest of many runs."""
    best, end = float("inf"), time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        action()
        best = min(best, time.perf_counter() - begun)
    return best


def _problems(facts: dict[str, Any]) -> list[str]:
    """What prevents ffprep from working."""
    problems = [
        f"{name} is missing: pip install {name.lower()}" for name, found in facts["packages"].items() if found is None
    ]
    kernel = facts["kernel"]
    if kernel["level"] is None:
        problems.append(f"the JPEG kernel cannot be loaded ({kernel['error']}): pip install --force-reinstall ffprep")
    if sys.maxsize < 2**32:
        problems.append("a 32-bit Python cannot map large files: install a 64-bit one")
    return problems


def _hints(facts: dict[str, Any]) -> list[str]:
    """What makes ffprep slower than it could be."""
    hints = []
    kernel = facts["kernel"]
    if kernel.get("decode_ms", 0.0) > _EXPECTED_MS.get(kernel["level"], 2.5):
        hints.append(
            f"decoding is slow ({kernel['decode_ms']} ms for a small photograph): is the machine busy or emulated?"
        )
    if kernel["level"] == "scalar" and platform.machine() in ("x86_64", "AMD64"):
        hints.append("the processor has no AVX2, or FFPREP_SIMD forbids it: decoding takes about twice as long")
    if not facts["numba_cache"]["writable"] and not facts["machine_code"]["shipped"]:
        hints.append(
            "numba cannot keep compiled kernels, so every start compiles: set NUMBA_CACHE_DIR to a writable folder"
        )
    if facts["cores"]["usable"] < facts["cores"]["present"] // 2:
        hints.append("fewer than half of the processors may be used (taskset, SLURM, a container's limit?)")
    if facts["extras"]["ffcv"] not in (None, "1.0.2"):
        hints.append(f"ffcv {facts['extras']['ffcv']} is not the release ffprep is tested with (1.0.2)")
    return hints

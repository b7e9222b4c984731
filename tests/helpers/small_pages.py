"""Pages of 64 KiB instead of 8 MiB, and parts of 4 KiB, so that tests of many pages are quick."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE = 1 << 16
PART = 1 << 12
_PAGES = (
    "ffprep.remote", "ffprep.remote.states", "ffprep.remote.folder", "ffprep.remote.source",
    "ffprep.remote.arriving", "ffprep.remote.fetcher", "ffprep.beton.opening.tables",
    "ffprep.loader.engine.spans", "ffprep.loader.engine.fetching",
)  # fmt: skip
_BLOCKS = ("ffprep.beton.layout", "ffprep.beton.sections")


def use_small_pages(put: Callable[[Any, str, int], object] = setattr) -> None:
    """Let files that are written and read from now on have small pages."""
    for name in _PAGES:
        module = importlib.import_module(name)
        put(module, "PAGE", SIZE)
        if hasattr(module, "PART"):
            put(module, "PART", PART)
    opening = importlib.import_module("ffprep.beton.opening.remote_head")
    put(opening, "FIRST", 4 * PART)
    put(opening, "LAST", 4 * PART)
    for name in _BLOCKS:
        module = importlib.import_module(name)
        if hasattr(module, "BLOCK_SIZE"):
            put(module, "BLOCK_SIZE", SIZE)


def environment() -> dict[str, str]:
    """Return the environment of a program that uses small pages, too."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}

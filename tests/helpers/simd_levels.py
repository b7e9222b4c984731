"""Levels of the JPEG library, forced for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from ffprep.errors import OptionError
from ffprep.jpeg.native import set_simd_level


@contextlib.contextmanager
def forced_level(name: str) -> Iterator[str]:
    """Force a level and choose it anew afterwards; skips, visibly, where this CPU lacks it."""
    try:
        set_simd_level(name)
    except OptionError:
        pytest.skip(f"this CPU has no {name}")
    yield name
    set_simd_level(None)

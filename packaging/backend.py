"""Setuptools as pip calls it, and what compiles the kernels' machine code where their assembly text is not there.

A source distribution carries the text and needs a C compiler only. A checkout does not: pip installs numba for building
a wheel from it, ``scripts/build_kernels.py`` makes the text, and ``setup.py`` assembles it. Where that fails, or
``FFPREP_KERNELS=jit`` is set, the wheel has no machine code, and numba compiles the kernels when they are first used.
Editable installations leave it to ``make kernels``.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

BUILDER = Path("scripts/build_kernels.py")
COMPILER = ["numba>=0.60,<0.69", "numpy>=1.24", "Pillow>=10.2", "xxhash>=3.2"]
"""What importing and compiling the kernels takes; pyproject.toml has the same bounds."""


def text_is_missing() -> bool:
    """Whether the kernels' assembly text would be used and is not there."""
    if os.environ.get("FFPREP_KERNELS") == "jit" or not BUILDER.exists():
        return False
    builder = runpy.run_path(str(BUILDER))
    return bool(builder["suits_this_machine"]() and not builder["up_to_date"]())


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return what pip is to install before it builds a wheel."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *(COMPILER if text_is_missing() else ())]


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Build a wheel, with machine code where it can be made."""
    if text_is_missing() and subprocess.run([sys.executable, str(BUILDER)], check=False).returncode:
        print("note: the kernels' machine code could not be made; numba will compile them when they are first used")
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)

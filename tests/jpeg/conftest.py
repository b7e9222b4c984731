"""What all tests of this folder use: the test encoder ``jpegmaker`` and the builders of ``jpegsegments``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_load("jpegarith")
_load("jpegsegments")  # which tests import by name
_load("jpegmaker")


@pytest.fixture(scope="session")
def jpegmaker() -> ModuleType:
    """A plain JPEG encoder: any sampling, any tables, any scan structure, from given coefficients."""
    return _load("jpegmaker")

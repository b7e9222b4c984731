"""What all tests of this folder use."""

from __future__ import annotations

from types import ModuleType

import jpegmaker as made
import pytest


@pytest.fixture(scope="session")
def jpegmaker() -> ModuleType:
    """A plain JPEG encoder: any sampling, any tables, any scan structure, from given coefficients."""
    return made

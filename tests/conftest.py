"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parent.parent / "ffprep" / "demo_data"


@pytest.fixture(scope="session")
def demo_data() -> Path:
    """Folder of the six licence-clean demo photographs, as ImageFolder and as COCO, and of demo text."""
    return DEMO

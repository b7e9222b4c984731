"""A file of eight pages, on a server of its own, and a cache folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from range_server import Served, serving
from small_pages import SIZE, use_small_pages

from ffprep.beton import Writer
from ffprep.fields import BytesField, IntField
from ffprep.fields.base import Encoded
from ffprep.remote.patience import Patience

SAMPLES = 240
PAGES = 8
VALUE = 2080
"""Bytes of a value."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_pages(monkeypatch.setattr)


@pytest.fixture
def local(tmp_path: Path, small: None) -> Path:
    """A file on local disk: 240 values, 31 or so in a page."""
    path = tmp_path / "train.beton"
    data = np.random.default_rng(0).integers(0, 256, VALUE + SAMPLES, np.uint8).tobytes()
    with Writer(path, {"b": BytesField(), "n": IntField()}, SAMPLES) as writer:
        for i in range(SAMPLES):
            value = data[i : i + VALUE]
            writer.write([Encoded((0, len(value)), value), IntField().encode(i)], f"s{i}")
    assert -(-path.stat().st_size // SIZE) == PAGES
    return path


@pytest.fixture
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture
def url(server: Served, local: Path) -> str:
    return server.put("/bucket/train.beton", local.read_bytes(), "one")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FFPREP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for less than a user does."""
    patience = Patience(deadline=60.0, attempt=2.0, attempts=5, pause=0.01, longest_pause=0.02, hedge=60.0)
    monkeypatch.setattr(Patience, "of_environment", classmethod(lambda cls: patience))

"""The ``.beton`` file: layout, reading, writing, verifying, merging."""

from __future__ import annotations

from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer

__all__ = ["Reader", "Writer"]

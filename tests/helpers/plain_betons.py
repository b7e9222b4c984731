"""Files as stock ffcv would have written them."""

from __future__ import annotations

from pathlib import Path

from ffprep.beton import Reader


def without_additions(path: Path) -> Path:
    """Remove from a file all that stock ffcv would not have written."""
    content = bytearray(path.read_bytes())
    with Reader(path) as reader:
        block, bounds = reader.superblock, reader.head.bounds
    assert block is not None
    content[bounds.start : block.data_start] = bytes(block.data_start - bounds.start)
    content[block.data_end : bounds.end] = bytes(bounds.end - block.data_end)
    path.write_bytes(content)
    return path

"""A good file, which the tests of damaged and hostile files change."""

from __future__ import annotations

import pytest
from hostile_betons import COUNT, FIELDS, records_end, row, superblock_of

from ffprep.beton import Writer, layout


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A finished file of ``COUNT`` samples."""
    path = tmp_path_factory.mktemp("ours") / "x.beton"
    with Writer(path, FIELDS, COUNT, manifest={"a": "b" * 6000}) as writer:
        for index in range(COUNT):
            encoded = [field.encode(value) for field, value in zip(FIELDS.values(), row(index), strict=True)]
            writer.write(encoded, f"{index}.jpg")
    return path.read_bytes()


@pytest.fixture(scope="session")
def plain(ours: bytes) -> bytes:
    """The same file as another writer would leave it: nothing of ffprep's own."""
    block = superblock_of(ours)
    content = bytearray(ours)
    start = layout.superblock_offset(records_end(ours))
    content[start : block.data_start] = bytes(block.data_start - start)
    table = layout.Header.unpack(ours).alloc_table_ptr
    content[block.data_end : table] = bytes(table - block.data_end)
    return bytes(content)

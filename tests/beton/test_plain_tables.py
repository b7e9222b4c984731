"""Tables that are read where they are: those of files in order, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffprep.beton import Reader, Writer
from ffprep.beton.opening.tables import BetonTables
from ffprep.errors import BetonError
from ffprep.fields import BytesField, IntField, RGBImageField

FIELDS: dict[str, Any] = {"image": RGBImageField("smart", smart_threshold=300), "b": BytesField(), "n": IntField()}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve samples: pictures stored raw and as JPEG, byte strings, and numbers."""
    made = tmp_path_factory.mktemp("plain") / "plain.beton"
    rng = np.random.default_rng(0)
    with Writer(made, FIELDS, 12) as writer:
        for i in range(12):
            image = rng.integers(0, 256, (6 + i, 8, 3), np.uint8)
            writer.write([FIELDS["image"].encode(image), FIELDS["b"].encode(b"x" * (i % 4)), FIELDS["n"].encode(i)])
    return made


def found(path: Path) -> Any:
    """Where the payloads are, or what is wrong."""
    try:
        with Reader(path) as reader:
            return {name: [part.tolist() for part in reader.extents(name)] for name in ("image", "b")}
    except BetonError as error:
        return type(error), str(error)


def test_views_of_the_files_tables(path: Path) -> None:
    with Reader(path) as reader, Reader(path, check=False) as slow:
        for name in ("image", "b"):
            for view, copy in zip(reader.extents(name), slow.extents(name), strict=True):
                assert np.shares_memory(view, reader.data) and not view.flags.writeable
                assert not np.shares_memory(copy, slow.data)
                assert view.tolist() == copy.tolist()
        assert [reader.value("b", i) for i in range(12)] == [b"x" * (i % 4) for i in range(12)]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_changed_tables_give_what_copies_of_them_give(
    path: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(path.read_bytes())
    with Reader(path) as reader:
        records = range(24 + 1041 * 3, reader.head.bounds.start)
        table = range(reader.head.bounds.end, reader.head.size)
    place = data.draw(st.sampled_from([*records, *table]))
    content[place] = data.draw(st.integers(0, 255))
    changed = tmp_path_factory.getbasetemp() / "changed.beton"
    changed.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        fast = found(changed)
        patch.setattr(BetonTables, "_take_plain", lambda self: False)
        assert fast == found(changed)

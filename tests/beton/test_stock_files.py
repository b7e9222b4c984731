"""Files that stock ffcv and earlier versions of ffprep wrote are read for ever."""

from __future__ import annotations

import io
import lzma
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ffprep.beton import Reader
from ffprep.beton.merge import merge
from ffprep.beton.verify import verify

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import stock_recipes  # noqa: E402

FILES = sorted((HERE / "stock_files").glob("*.beton.xz"))


def expand(packed: Path, folder: Path) -> Path:
    path = folder / packed.stem
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    return path


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, np.ndarray):
        if isinstance(found, bytes):
            pixels = np.asarray(Image.open(io.BytesIO(found)).convert("RGB")).astype(int)
            return pixels.shape == expected.shape and abs(pixels - expected).max() < 30
        return bool(found.dtype == expected.dtype and np.array_equal(found, expected))
    return bool(found == expected)


def check_values(path: Path, recipe: str, count: int) -> None:
    reader = Reader(path)
    assert len(reader) == count
    for index in range(count):
        found = reader.sample(index)
        for (name, value), expected in zip(found.items(), stock_recipes.as_read(recipe, index), strict=True):
            assert same(value, expected), (index, name)


@pytest.mark.parametrize("packed", FILES, ids=lambda packed: packed.name)
def test_read_verify_merge(packed: Path, tmp_path: Path) -> None:
    recipe, count = packed.name.removesuffix(".beton.xz").split("-")[2:4]
    path = expand(packed, tmp_path)
    check_values(path, recipe, int(count))
    report = verify(path)
    assert report.ok, str(report)
    assert report.has_checksums == packed.name.startswith("ffprep")
    merge([path, path], tmp_path / "two.beton")
    both = Reader(tmp_path / "two.beton")
    assert len(both) == 2 * int(count)
    if recipe != "numbers":
        name = next(iter(both.fields))
        assert both.value(name, int(count) + 1) == Reader(path).value(name, 1)
    assert verify(tmp_path / "two.beton").ok


def test_there_are_files_of_both() -> None:
    assert {packed.name.split("-")[0] for packed in FILES} == {"ffcv", "ffprep"}


def test_stock_tables_out_of_order_are_among_them(tmp_path: Path) -> None:
    ordered = [bool(np.all(np.diff(Reader(expand(p, tmp_path)).table["ptr"].astype(np.int64)) >= 0)) for p in FILES]
    assert not all(ordered)

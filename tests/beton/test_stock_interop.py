"""Stock ffcv 1.0.2 reads what this package writes: both caches, all orders, every field type.

Each order with each cache occurs in one of the tests; a stock loader takes seconds to compile.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from saved_arrays import saved_arrays

import ffprep.fields
from ffprep.beton import Reader, Writer
from ffprep.fields import BytesField, IntField, RGBImageField, Shared
from ffprep.writer import DatasetWriter

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import stock_recipes  # noqa: E402

pytestmark = pytest.mark.ffcv


def stock(*arguments: object) -> None:
    pytest.importorskip("ffcv.libffcv")
    command = [sys.executable, "-W", "ignore", str(HERE / "stock_ffcv.py"), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]


def read_by_stock(path: Path, variants: list[tuple[str, bool]]) -> dict[tuple[str, bool], dict[str, np.ndarray]]:
    out = path.with_suffix("")
    stock("read", path, out, *(f"{order},{cache}" for order, cache in variants))
    return {(order, cache): saved_arrays(f"{out}-{order}-{cache}.npz") for order, cache in variants}


def padded(data: bytes, size: int) -> bytes:
    return data.ljust(size, b"\0")


def test_every_field_type(tmp_path: Path) -> None:
    path, count = tmp_path / "x.beton", 21
    fields = stock_recipes.fields("all", ffprep.fields)
    samples = [stock_recipes.sample("all", index) for index in range(count)]
    DatasetWriter(path, fields, num_workers=2).from_indexed_dataset(samples)
    reader = Reader(path)
    for variant, found in read_by_stock(path, [("SEQUENTIAL", True), ("QUASI_RANDOM", False)]).items():
        order = found["a_16_chars_name_"][:, 0].tolist()
        assert sorted(order) == list(range(count)), variant
        for row, index in enumerate(order):
            value = reader.sample(index)
            assert found["label"][row, 0] == value["label"]
            assert found["score"][row, 0] == value["score"]
            assert np.array_equal(found["raw"][row], value["raw"])
            assert np.array_equal(found["tokens"][row], value["tokens"])
            assert np.array_equal(found["tensor"][row], value["tensor"])
            text, width = value["caption"], found["caption"].shape[1]
            assert found["caption"][row].tobytes()[: len(text)] == text
            assert width == reader.column("caption")["size"].max()
            decoded = np.asarray(Image.open(io.BytesIO(value["image"]))).astype(int)
            assert abs(found["image"][row] - decoded).max() <= 8


def test_orders_and_caches_with_shared_payloads_and_empty_values(tmp_path: Path) -> None:
    """Five captions share a photo, over several pages; an epoch has every sample once, with its own photo."""
    path, count = tmp_path / "x.beton", 60
    fields = {"photo": BytesField(), "caption": BytesField(), "image": RGBImageField(), "index": IntField()}
    blobs = [np.tile(stock_recipes.noise("blob", n, size=50), 6000).tobytes() for n in range(count // 5)]
    with Writer(path, fields, count, page_size=1 << 21) as writer:
        for index in range(count):
            image = np.full((3, 4, 3), index, np.uint8)
            values = (Shared(index // 5, blobs[index // 5]), b"c" * (index % 3), image, index)
            writer.write([field.encode_any(value) for field, value in zip(fields.values(), values, strict=True)])
    assert path.stat().st_size < 20 * 300_000
    variants = [("SEQUENTIAL", False), ("RANDOM", True), ("RANDOM", False), ("QUASI_RANDOM", True)]
    for variant, found in read_by_stock(path, variants).items():
        order = found["index"][:, 0].tolist()
        assert sorted(order) == list(range(count)), variant
        assert (order == list(range(count))) == (variant[0] == "SEQUENTIAL")
        for row, index in enumerate(order):
            assert found["photo"][row].tobytes() == blobs[index // 5], variant
            assert found["image"][row].flat[0] == index, variant
            assert found["caption"][row].tobytes()[: index % 3] == b"c" * (index % 3), variant


@pytest.mark.slow
def test_what_stock_writes_today_is_read(tmp_path: Path) -> None:
    """The files checked in, once more, by the libraries installed here."""
    path, count, recipe = tmp_path / "x.beton", 15, "all"
    stock("write", path, recipe, count, 2)
    reader = Reader(path)
    for index in range(count):
        found = reader.sample(index)
        for (name, value), expected in zip(found.items(), stock_recipes.as_read(recipe, index), strict=True):
            if name != "image":
                assert np.array_equal(value, expected) if isinstance(expected, np.ndarray) else value == expected


@pytest.mark.slow
def test_pages_grow_with_a_large_sample(tmp_path: Path) -> None:
    path, fields = tmp_path / "x.beton", {"text": BytesField(), "index": IntField()}
    sizes = [3_000_000, 9_000_000, 100, 17_000_000, 5]
    with Writer(path, fields, 5) as writer:
        for index, size in enumerate(sizes):
            writer.write([fields["text"].encode(bytes([index + 1]) * size), IntField().encode(index)])
    reader = Reader(path)
    assert reader.page_size == 1 << 25
    assert [len(reader.value("text", index)) for index in range(5)] == sizes
    found: Any = read_by_stock(path, [("SEQUENTIAL", False)])["SEQUENTIAL", False]
    for index, size in enumerate(sizes):
        assert (found["text"][index, :size] == index + 1).all()

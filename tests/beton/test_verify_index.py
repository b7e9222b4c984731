"""What ``verify`` says about the seek index beside a file, and about files that have nothing to compare with."""

from __future__ import annotations

import io
import lzma
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ffprep.beton import Reader, Writer, layout
from ffprep.beton.seek_index import beside
from ffprep.beton.verify import verify
from ffprep.convert.indexing import make_index
from ffprep.fields import BytesField, RGBImageField

STOCK = sorted((Path(__file__).parent / "stock_files").glob("ffcv-*.beton.xz"))


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    """Three images without restart markers, and an index."""
    path, field = tmp_path / "x.beton", RGBImageField("jpg", jpeg="keep")
    with Writer(path, {"image": field}, 3) as writer:
        for i in range(3):
            buffer = io.BytesIO()
            pixels = np.random.default_rng(i).integers(0, 256, (64, 96, 3), np.uint8)
            Image.fromarray(pixels).save(buffer, "JPEG")
            writer.write([field.encode(buffer.getvalue())])
    make_index(path)
    return path


def test_progress_counts_images_and_then_their_indexes(indexed: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = verify(indexed, progress=lambda done, total: seen.append((done, total)), workers=1)
    assert report.ok and report.checked["images"] == report.checked["indexes"] == 3
    assert [total for _, total in seen] == [6] * len(seen)
    assert [done for done, _ in seen] == [3, 4, 5, 6]


def test_an_index_that_cannot_be_used_is_one_problem(indexed: Path) -> None:
    index = beside(indexed)
    content = bytearray(index.read_bytes())
    content[0] ^= 1
    index.write_bytes(content)
    report = verify(indexed)
    assert len(report.problems) == 1 and index.name in str(report.problems[0])
    assert "bytes of index" not in report.checked and "indexes" not in report.checked
    index.unlink()
    assert verify(indexed).ok


@pytest.mark.parametrize("path", STOCK, ids=lambda path: path.name)
def test_files_of_stock_have_no_checksums(path: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / path.stem
    unpacked.write_bytes(lzma.decompress(path.read_bytes()))
    report = verify(unpacked)
    assert report.ok and not report.has_checksums


def test_sizes_are_not_compared_with_a_table_that_is_wrong(tmp_path: Path) -> None:
    path, field = tmp_path / "x.beton", BytesField()
    with Writer(path, {"text": field}, 2) as writer:
        for text in (b"first", b"second"):
            writer.write([field.encode(text)])
    reader = Reader(path)
    content = bytearray(path.read_bytes())
    rows = np.frombuffer(memoryview(content)[reader.head.bounds.end :], layout.ALLOCATION, 2)
    rows["ptr"][0] = 1
    rows["size"][1] += 1
    path.write_bytes(content)
    found = [str(problem) for problem in verify(path).problems]
    assert [line for line in found if "row 0 of the allocation table" in line]
    assert not [line for line in found if "field 'text'" in line and "size" in line], found

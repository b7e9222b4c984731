"""``verify`` finds what is wrong and names the sample; ``merge`` copies."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ffprep.beton import Reader, Writer
from ffprep.beton.merge import merge
from ffprep.beton.verify import MAX_PROBLEMS, verify
from ffprep.errors import OptionError
from ffprep.fields import BytesField, Encoded, Field, IntField, JSONField, RGBImageField, Shared

FIELDS: dict[str, Field] = {"image": RGBImageField("jpg"), "facts": JSONField(), "label": IntField()}


def jpeg(index: int, **options: Any) -> bytes:
    y, x = np.mgrid[0:40, 0 : 32 + index]
    pixels = np.stack([y * 5, x * 4, y * x % 256], -1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


def write(path: Path, samples: list[list[Encoded]], fields: dict[str, Field] = FIELDS, **options: Any) -> Path:
    with Writer(path, fields, len(samples), **options) as writer:
        for index, sample in enumerate(samples):
            writer.write(sample, f"{index}.jpg")
    return path


def sample(index: int, data: bytes | None = None, size: tuple[int, int] | None = None) -> list[Encoded]:
    width, height = size or (32 + index, 40)
    image = Encoded((0, width, height, 0), jpeg(index) if data is None else data)
    return [image, JSONField().encode([index]), IntField().encode(index)]


def messages(path: Path, deep: bool = True) -> list[str]:
    return [str(problem) for problem in verify(path, deep, workers=2).problems]


def test_a_good_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x.beton", [sample(n, jpeg(n, progressive=n % 2 == 1)) for n in range(6)])
    seen: list[tuple[int, int]] = []
    report = verify(path, progress=lambda done, total: seen.append((done, total)))
    assert report.ok and report.complete and report.has_checksums
    assert report.checked["images"] == 6
    assert report.checked["documents"] == 6
    assert report.checked["rows"] == 12
    assert seen[-1] == (12, 12)
    assert "6 samples, no problem found" in str(report)


def test_images_that_do_not_decode_are_named(tmp_path: Path) -> None:
    good = jpeg(3)
    samples = [sample(n) for n in range(6)]
    samples[1] = sample(1, good)
    samples[2] = sample(2, good[: len(good) * 2 // 3], (35, 40))
    samples[3] = sample(3, b"not a JPEG")
    samples[4] = sample(4, b"")
    pixels = io.BytesIO()
    Image.new("CMYK", (37, 40)).save(pixels, "JPEG")
    samples[5] = sample(5, pixels.getvalue())
    path = write(tmp_path / "x.beton", samples)
    assert messages(path, deep=False) == []
    found = messages(path)
    assert [text.split(":")[0] for text in found] == [f"sample {n} ({n}.jpg)" for n in (1, 2, 3, 4, 5)]
    assert "the JPEG is 35x40, the file says 33x40" in found[0]


def test_documents_that_do_not_parse_are_named(tmp_path: Path) -> None:
    samples = [sample(n) for n in range(3)]
    samples[1][1] = Encoded((0, 3), b"{]\0")
    samples[2][1] = Encoded((0, 3), b"123")
    found = messages(write(tmp_path / "x.beton", samples))
    assert ["not JSON" in found[0], "no end mark" in found[1]] == [True, True]
    assert [text.split(":")[0] for text in found] == ["sample 1 (1.jpg)", "sample 2 (2.jpg)"]


def test_a_changed_payload_is_found_by_its_checksum(tmp_path: Path) -> None:
    path = write(tmp_path / "x.beton", [sample(n) for n in range(4)])
    offset = int(Reader(path).extents("facts")[0][2])
    content = bytearray(path.read_bytes())
    content[offset + 1] ^= 1
    path.write_bytes(content)
    found = messages(path, deep=False)
    assert len(found) == 2
    assert "checksum is wrong; samples 0 to 3 have payloads there" in found[0]
    assert found[1] == "sample 2 (2.jpg): field 'facts': changed since the file was written: its checksum is wrong"


def test_a_file_that_cannot_be_opened_is_one_problem(tmp_path: Path) -> None:
    path = write(tmp_path / "x.beton", [sample(0)])
    path.write_bytes(path.read_bytes()[:-1])
    report = verify(path)
    assert [("has" in str(problem) and "bytes" in str(problem)) for problem in report.problems] == [True]
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "none.beton")


def test_many_problems_are_not_all_listed(tmp_path: Path) -> None:
    fields: dict[str, Field] = {"facts": JSONField()}
    samples = [[Encoded((0, 4), b"%03d!" % (n % 1000))] for n in range(MAX_PROBLEMS + 10)]
    report = verify(write(tmp_path / "x.beton", samples, fields))
    assert len(report.problems) == MAX_PROBLEMS
    assert not report.complete
    assert "1000 or more problems" in str(report)


def test_metadata_against_the_table(tmp_path: Path) -> None:
    path = write(tmp_path / "x.beton", [[BytesField().encode(b"abcd" * n)] for n in range(4)], {"text": BytesField()})
    content = bytearray(path.read_bytes())
    start = 24 + 1041 + 2 * 16 + 8
    content[start : start + 8] = struct.pack("<Q", 5)
    path.write_bytes(content)
    assert any("sample 2 (2.jpg): field 'text': 5 bytes by its metadata, 8 by the allocation table" in text
               for text in messages(path))  # fmt: skip


def test_merging(tmp_path: Path) -> None:
    shared = Shared("photo", jpeg(1))
    field = RGBImageField(jpeg="keep")

    def pair(n: int) -> list[Encoded]:
        image = Encoded((0, 33, 40, 0), shared.value, key="photo")
        return [image, JSONField().encode([n]), IntField().encode(n)]

    one = write(tmp_path / "a.beton", [sample(n) for n in range(5)], manifest={"part": 1})
    two = write(tmp_path / "b.beton", [pair(n) for n in range(7)], manifest={"part": 2})
    seen: list[tuple[int, int]] = []
    out = tmp_path / "c.beton"
    assert merge([one, two, one], out, progress=lambda done, total: seen.append((done, total))) == 17
    assert seen[-1] == (17, 17)
    assert verify(out).ok
    readers = [Reader(one), Reader(two), Reader(one)]
    merged = Reader(out)
    whole = [reader.sample(n) for reader in readers for n in range(len(reader))]
    assert [merged.sample(n) for n in range(17)] == whole
    assert len(set(merged.extents("image")[0][5:12].tolist())) == 1
    assert merged.sample_names() == [name for reader in readers for name in reader.sample_names() or []]
    assert merged.manifest is not None
    assert [part["manifest"]["part"] for part in merged.manifest["merged"]] == [1, 2, 1]
    assert field.same_layout(merged.fields["image"])
    again = tmp_path / "d.beton"
    merge([one, two, one], again)
    assert again.read_bytes() == out.read_bytes()


def test_merging_what_does_not_belong_together(tmp_path: Path) -> None:
    one = write(tmp_path / "a.beton", [sample(0)])
    two = write(tmp_path / "b.beton", [[IntField().encode(1)]], {"label": IntField()})
    three = write(tmp_path / "c.beton", [[BytesField().encode(b"")]], {"label": BytesField()})
    with pytest.raises(OptionError, match="b.beton has fields label; .*a.beton has image, facts, label"):
        merge([one, two], tmp_path / "out.beton")
    with pytest.raises(OptionError, match="field 'label' is BytesField"):
        merge([two, three], tmp_path / "out.beton")
    with pytest.raises(OptionError, match="at least one file"):
        merge([], tmp_path / "out.beton")
    with pytest.raises(OptionError, match="is read by this command"):
        merge([one, one], one, overwrite=True)
    with pytest.raises(OptionError, match="exists already"):
        merge([one, one], two)

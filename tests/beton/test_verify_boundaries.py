"""What ``verify`` says at the edges of blocks, payloads and sizes, and which payloads it looks at once."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from PIL import Image

from ffprep.beton import Reader, Writer, layout
from ffprep.beton.verify import MAX_PROBLEMS, Problem, VerifyReport, verify
from ffprep.errors import CorruptError
from ffprep.fields import BytesField, Encoded, Field, IntField, JSONField, RGBImageField

BLOCK = 1 << 23


def write(path: Path, fields: dict[str, Field], samples: list[list[Encoded]], *, named: bool = True) -> Path:
    with Writer(path, fields, len(samples)) as writer:
        for index, sample in enumerate(samples):
            writer.write(sample, f"{index}.jpg") if named else writer.write(sample)
    return path


def messages(path: Path, deep: bool = False) -> list[str]:
    return [str(problem) for problem in verify(path, deep, workers=2).problems]


def change_records(path: Path, change: Callable[[Any], None]) -> None:
    """Apply `change` to the file's records, an array of one structure a sample."""
    reader = Reader(path)
    content = bytearray(path.read_bytes())
    start = layout.records_start(len(reader.fields))
    kind = layout.record_type(field.metadata_type for field in reader.fields.values())
    change(np.frombuffer(memoryview(content)[start : start + kind.itemsize * len(reader)], kind))
    path.write_bytes(content)


def flip_byte(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_blocks_that_end_where_a_payload_ends(tmp_path: Path) -> None:
    field = BytesField()
    first = write(tmp_path / "a.beton", {"text": field}, [[field.encode(b"x")]])
    begin = int(Reader(first).extents("text")[0][0])
    texts = [b"a" * (BLOCK - begin), b"b" * 100, b"c" * (BLOCK - 100), b"d"]
    path = write(tmp_path / "x.beton", {"text": field}, [[field.encode(text)] for text in texts])
    offsets = Reader(path).extents("text")[0].tolist()
    assert offsets == [begin, BLOCK, BLOCK + 100, 2 * BLOCK]
    assert verify(path).ok
    end = 2 * BLOCK + 1
    for at, block, samples, changed in (
        (begin, (begin, BLOCK - 1), (0, 0), 0),
        (BLOCK - 1, (begin, BLOCK - 1), (0, 0), 0),
        (BLOCK, (BLOCK, 2 * BLOCK - 1), (1, 2), 1),
        (2 * BLOCK - 1, (BLOCK, 2 * BLOCK - 1), (1, 2), 2),
        (2 * BLOCK, (2 * BLOCK, end - 1), (3, 3), 3),
    ):
        flip_byte(path, at)
        assert messages(path) == [
            f"bytes {block[0]} to {block[1]} changed since the file was written: the checksum is wrong; "
            f"samples {samples[0]} to {samples[1]} have payloads there",
            f"sample {changed} ({changed}.jpg): field 'text': changed since the file was written: "
            "its checksum is wrong",
        ]
        flip_byte(path, at)
    assert verify(path).checked["bytes"] > end - begin


def test_sizes_by_the_metadata_and_by_the_table(tmp_path: Path) -> None:
    field = BytesField()
    path = write(tmp_path / "x.beton", {"text": field}, [[field.encode(b"ab")] for _ in range(4)])

    def change(records: Any) -> None:
        records["f0"]["size"] = [2, 1, 0, 2]  # an empty value may have the offset of a payload

    change_records(path, change)
    found = [text for text in messages(path) if "allocation table" in text]
    assert found == ["sample 1 (1.jpg): field 'text': 1 bytes by its metadata, 2 by the allocation table"]


def test_payloads_the_table_has_no_row_for(tmp_path: Path) -> None:
    field = BytesField()
    path = write(tmp_path / "x.beton", {"text": field}, [[field.encode(b"abcd")] for _ in range(3)])

    def change(records: Any) -> None:
        records["f0"]["ptr"][1] += 1
        records["f0"]["size"][1] -= 1

    change_records(path, change)
    offset = int(Reader(path, check=False).extents("text")[0][1])
    found = [text for text in messages(path) if "allocation table" in text]
    assert found == [f"sample 1 (1.jpg): field 'text': the allocation table has no row for byte {offset}"]


def jpeg(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (90, 60, 30)).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.parametrize("said", [(34, 40), (33, 41), (40, 33), (32, 40 + (1 << 15)), (33, 40 + 256), (33 + 256, 40)])
def test_one_payload_of_two_sizes_is_decoded_for_each(tmp_path: Path, said: tuple[int, int]) -> None:
    """Samples that share a stream are one job, unless they say different things about it."""
    data = jpeg(33, 40)
    fields: dict[str, Field] = {"image": RGBImageField(jpeg="keep"), "n": IntField()}
    samples = [[Encoded((0, 33, 40, 0), data, key="one"), IntField().encode(n)] for n in range(4)]
    path = write(tmp_path / "x.beton", fields, samples)
    report = verify(path)
    assert report.ok and report.checked["images"] == 1

    def change(records: Any) -> None:
        records["f0"]["width"][2], records["f0"]["height"][2] = said

    change_records(path, change)
    report = verify(path)
    assert report.checked["images"] == 2
    wrong = [str(problem) for problem in report.problems if "the JPEG is" in problem.message]
    assert wrong == [f"sample 2 (2.jpg): field 'image': the JPEG is 33x40, the file says {said[0]}x{said[1]}"]


def test_documents_and_raw_pixels(tmp_path: Path) -> None:
    fields: dict[str, Field] = {"facts": JSONField(), "image": RGBImageField()}
    raw = RGBImageField().encode(np.zeros((5, 6, 3), np.uint8))
    samples = [[Encoded((0, 3), b"7]\0"), raw], [JSONField().encode([1]), raw]]
    path = write(tmp_path / "x.beton", fields, samples, named=False)
    seen: list[tuple[int, int]] = []
    report = verify(path, progress=lambda done, total: seen.append((done, total)))
    assert [str(problem).split(":")[0] for problem in report.problems] == ["sample 0"]
    assert "images" not in report.checked and report.checked["documents"] == 2
    assert report.checked["rows"] == 4
    assert seen == [(2, 2)]
    assert verify(path, deep=False).ok


def test_progress_counts_every_payload(tmp_path: Path) -> None:
    fields: dict[str, Field] = {"facts": JSONField()}
    path = write(tmp_path / "x.beton", fields, [[JSONField().encode([n])] for n in range(600)])
    seen: list[tuple[int, int]] = []
    assert verify(path, progress=lambda done, total: seen.append((done, total)), workers=1).ok
    assert seen == [(256, 600), (512, 600), (600, 600)]


def test_what_a_report_says() -> None:
    report = VerifyReport(Path("x.beton"), samples=3, checked={"bytes": 5, "rows": 2})
    assert report.ok and str(report) == "x.beton: 3 samples, no problem found (5 bytes, 2 rows)"
    report.problems.append(Problem("odd", 2, "b.jpg"))
    assert str(report) == "x.beton: 1 problem in 3 samples (5 bytes, 2 rows)\n  sample 2 (b.jpg): odd"
    report.problems.append(Problem("broken", 0))
    report.complete = False
    assert str(report).splitlines()[0] == "x.beton: 2 or more problems in 3 samples (5 bytes, 2 rows)"
    assert str(report).splitlines()[2] == "  sample 0: broken"
    assert not report.ok


def test_exactly_as_many_problems_as_are_listed(tmp_path: Path) -> None:
    samples = [[Encoded((0, 5), b"%04d!" % n)] for n in range(MAX_PROBLEMS)]
    report = verify(write(tmp_path / "x.beton", {"facts": JSONField()}, samples))
    assert (len(report.problems), report.complete) == (MAX_PROBLEMS, True)


def test_changes_outside_the_payloads(tmp_path: Path) -> None:
    field = BytesField()
    path = write(tmp_path / "x.beton", {"text": field}, [[field.encode(b"abcd")] for _ in range(3)])
    reader = Reader(path)
    block = reader.superblock
    assert block is not None
    head_end = layout.superblock_offset(reader.head.bounds.start)
    total = head_end + 3 * 24 + (block.data_end - block.data_start) + sum(section.size for section in block.sections)
    assert verify(path).checked["bytes"] == total
    for at, what in (
        (24 + 1 + 10, "header, fields or sample records"),
        (len(path.read_bytes()) - 24 + 2, "allocation table"),
    ):
        flip_byte(path, at)
        found = [text for text in messages(path) if "changed since" in text]
        assert found == [f"the {what} changed since the file was written: the checksum is wrong"]
        flip_byte(path, at)
    section = block.sections[0]
    flip_byte(path, section.offset)
    assert any(f"section {section.name!r} changed" in text for text in messages(path))


def test_one_bad_pointer_is_one_problem_of_its_field(tmp_path: Path) -> None:
    """What the allocation table says about a field with bad metadata would only repeat the complaint."""
    field = BytesField()
    path = write(tmp_path / "x.beton", {"text": field}, [[field.encode(b"abcd")] for _ in range(3)])

    def change(records: Any) -> None:
        records["f0"]["ptr"][1] = 8

    change_records(path, change)
    assert messages(path) == [
        "sample 1 (1.jpg): field 'text' points at 4 bytes at byte 8, outside the payload region or across a page",
        "the header, fields or sample records changed since the file was written: the checksum is wrong",
    ]


def change_sections(path: Path, change: Callable[[list[layout.Section]], list[layout.Section]]) -> None:
    """Write another list of sections into the superblock, whose checksum stays right."""
    reader = Reader(path)
    block = reader.superblock
    assert block is not None
    changed = replace(block, sections=tuple(change(list(block.sections))))
    content = bytearray(path.read_bytes())
    start = layout.superblock_offset(reader.head.bounds.start)
    content[start : start + len(changed.pack())] = changed.pack()
    path.write_bytes(content)


@pytest.mark.parametrize("size", [None, 0, 7, 16])
def test_checksums_that_are_missing_or_too_many(tmp_path: Path, size: int | None) -> None:
    field = BytesField()
    path = write(tmp_path / "x.beton", {"text": field}, [[field.encode(b"abcd")] for _ in range(3)])
    data = Reader(path).data

    def change(sections: list[layout.Section]) -> list[layout.Section]:
        kept = [section for section in sections if section.name != "page_xxh3"]
        if size is None:
            return kept
        [old] = [section for section in sections if section.name == "page_xxh3"]
        content = data[old.offset : old.offset + size].tobytes()
        return [*kept, layout.Section(old.name, old.offset, size, xxhash.xxh3_64_intdigest(content))]

    change_sections(path, change)
    assert messages(path) == [
        "the copy of the superblock before the allocation table is damaged",
        "the checksums of the payloads are missing or not as many as there are blocks",
    ]


def test_payloads_may_begin_right_after_the_records(tmp_path: Path) -> None:
    field = IntField()
    path = write(tmp_path / "x.beton", {"n": field}, [[field.encode(7)] for _ in range(3)])
    reader = Reader(path)
    block, start = reader.superblock, reader.head.bounds.start
    assert block is not None
    content = bytearray(path.read_bytes())
    at = layout.superblock_offset(start)
    content[at : at + len(block.pack())] = replace(block, data_start=start).pack()
    path.write_bytes(content)
    again = Reader(path).superblock
    assert again is not None and again.data_start == start
    end = reader.head.bounds.end
    content[at : at + len(block.pack())] = replace(block, data_end=end).pack()  # and end right before the table
    path.write_bytes(content)
    again = Reader(path).superblock
    assert again is not None and again.data_end == end
    for outside in (replace(block, data_start=start - 1), replace(block, data_end=end + 1)):
        content[at : at + len(block.pack())] = outside.pack()
        path.write_bytes(content)
        with pytest.raises(CorruptError, match="points out of the file's parts"):
            Reader(path)

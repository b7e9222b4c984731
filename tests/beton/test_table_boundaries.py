"""The checks of the tables at their boundaries: the last extent that is allowed and the first that is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ffprep.beton import layout
from ffprep.beton.opening.check import (
    CHUNK_ROWS,
    Bounds,
    MissingAllocation,
    bad_allocations,
    bad_extents,
    bad_metadata,
    table_sizes,
)
from ffprep.beton.writing.columns import RecordPacker
from ffprep.beton.writing.placement import Placement, SharedPayloads, payloads_of, plan_sample
from ffprep.errors import ConversionError, OptionError
from ffprep.fields import BytesField, Encoded, FloatField, IntField, NDArrayField, RGBImageField

PAGE = 1 << 21
BOUNDS = Bounds(start=5000, end=3 * PAGE + 100, page_size=PAGE, num_samples=4)
START, END = BOUNDS.start, BOUNDS.end
MOST = 2**64 - 1


@pytest.mark.parametrize(
    ("offset", "size", "bad"),
    [
        (START, 1, False),
        (START - 1, 1, True),
        (START - 1, 2, True),
        (END - 1, 1, False),
        (END - 100, 100, False),
        (END - 100, 101, True),
        (END, 1, True),
        (END, 0, False),  # empty values may lie anywhere in the file, also where the payloads end
        (END + 1, 0, True),
        (0, 0, False),
        (START - 1, 0, False),
        (PAGE, PAGE, False),
        (PAGE, PAGE + 1, True),
        (PAGE - 1, 1, False),
        (PAGE - 1, 2, True),
        (PAGE + 1, PAGE - 1, False),
        (PAGE + 1, PAGE, True),
        (START, PAGE - START, False),
        (START, PAGE - START + 1, True),
        (2 * PAGE, 0, False),
        (MOST, 1, True),
        (MOST, 0, True),
        (PAGE, MOST, True),
        (PAGE, MOST - PAGE + 1, True),  # the sum wraps to 0
    ],
)
def test_extents(offset: int, size: int, bad: bool) -> None:
    """The neighbours in the same call must not change an extent's answer."""
    column = np.array([[START, 8], [offset, size], [START, 8]], np.uint64)
    assert bad_extents(column[:, 0], column[:, 1], BOUNDS).tolist() == [False, bad, False]


def allocations(*rows: tuple[int, int, int]) -> np.ndarray:
    return np.array(list(rows), layout.ALLOCATION)


def test_rows_of_the_allocation_table() -> None:
    table = allocations((0, START, 5), (3, PAGE, 7), (4, PAGE, 7), (1, END, 1), (9, END, 1))
    found = list(bad_allocations(table, BOUNDS))
    assert [row for row, _ in found] == [2, 3, 4]
    assert found[0][1] == f"7 bytes at byte {PAGE} belong to sample 4, which does not exist"
    assert found[1][1] == found[2][1] == f"1 bytes at byte {END} leave the payload region or cross a page"


def test_rows_far_down_a_table() -> None:
    table = np.resize(allocations((0, START, 5)), 2 * CHUNK_ROWS + 3)
    wrong = [0, CHUNK_ROWS - 1, CHUNK_ROWS, 2 * CHUNK_ROWS + 2]
    table["size"][wrong] = PAGE + 1
    assert [row for row, _ in bad_allocations(table, BOUNDS)] == wrong


def test_metadata_of_payloads_of_known_and_unknown_size() -> None:
    field = BytesField()
    column = np.array([(START, 5), (END - 5, 5), (END - 5, 6), (0, 0), (START - 1, 1)], field.metadata_type)
    found = list(bad_metadata(column, field, BOUNDS))
    assert [row for row, _ in found] == [2, 4]
    assert found[0][1].startswith(f"points at 6 bytes at byte {END - 5}, outside the payload region")
    image = RGBImageField()
    record = np.zeros(5, image.metadata_type)
    record["data_ptr"] = [START, END - 1, END, START - 1, START]
    record["mode"], record["width"], record["height"] = 0, 8, 8  # JPEGs: the table alone knows their sizes
    record["mode"][4] = 9
    found = list(bad_metadata(record, image, BOUNDS))
    assert [row for row, _ in found] == [2, 3, 4]
    assert found[0][1].startswith(f"points at a payload at byte {END}")
    assert "points at" not in found[2][1]
    assert list(bad_metadata(np.zeros(3, "<i8"), IntField(), BOUNDS)) == []
    far = np.resize(record[:1], CHUNK_ROWS + 2)
    far["mode"][-1] = 9
    assert [row for row, _ in bad_metadata(far, image, BOUNDS)] == [CHUNK_ROWS + 1]
    far = np.resize(column[:1], CHUNK_ROWS + 2)
    far["ptr" if "ptr" in far.dtype.names else far.dtype.names[0]][-1] = END
    assert [row for row, _ in bad_metadata(far, field, BOUNDS)] == [CHUNK_ROWS + 1]


def sizes(table: np.ndarray, offsets: list[int], rank: int = 0, per_sample: int = 1) -> list[int]:
    return table_sizes(table, np.array(offsets, np.uint64), rank, per_sample).tolist()


def test_sizes_in_a_table_in_order() -> None:
    table = allocations((0, 10, 1), (0, 20, 2), (1, 30, 3), (1, 40, 4))
    assert sizes(table, [10, 30], 0, 2) == [1, 3]
    assert sizes(table, [20, 40], 1, 2) == [2, 4]
    # In order, a size is that of the sample's own row, also where another row has the same offset.
    twice = allocations((0, 10, 0), (1, 10, 6))
    assert sizes(twice, [10, 10]) == [0, 6]
    # Out of order, empty values give way to the payload at their offset.
    assert sizes(allocations((1, 10, 0), (0, 10, 6)), [10, 10]) == [6, 6]
    assert sizes(allocations((0, 10, 0), (1, 10, 0)), [10, 10, 10], 0, 0) == [0, 0, 0]
    assert sizes(table, [40, 10, 30, 40], 0, 0) == [4, 1, 3, 4]


def test_sizes_that_are_missing_or_two() -> None:
    table = allocations((0, 10, 1), (1, 30, 3), (2, 20, 2), (3, 20, 7), (4, 50, 0), (5, 50, 5))
    assert sizes(table, [10, 30, 50]) == [1, 3, 5]
    for offsets, sample, ambiguous in (
        ([10, 31], 1, False),
        ([60], 0, False),
        ([9], 0, False),
        ([10, 30, 20], 2, True),
    ):
        with pytest.raises(MissingAllocation) as caught:
            sizes(table, offsets)
        assert (caught.value.sample, caught.value.offset, caught.value.ambiguous) == (
            sample,
            offsets[sample],
            ambiguous,
        )
    with pytest.raises(MissingAllocation):
        sizes(allocations(), [10])
    assert sizes(allocations(), []) == []


# -- placement ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cursor", "wanted", "offsets", "end"),
    [
        (5000, [(10, 1)], [5000], 5010),
        (5001, [(10, 8)], [5008], 5018),
        (5000, [(0, 1), (3, 1)], [5000, 5001], 5004),  # an empty value takes a byte
        (5001, [(3, 4), (3, 4), (1, 1)], [5004, 5008, 5011], 5012),
        (PAGE - 10, [(10, 1)], [PAGE - 10], PAGE),
        (PAGE - 10, [(11, 1)], [PAGE], PAGE + 11),
        (PAGE - 10, [(5, 1), (5, 1)], [PAGE - 10, PAGE - 5], PAGE),
        (PAGE - 10, [(5, 1), (6, 1)], [PAGE, PAGE + 5], PAGE + 11),
        (PAGE - 1, [(0, 1)], [PAGE - 1], PAGE),
        (PAGE, [(PAGE, 1)], [PAGE], 2 * PAGE),
        (PAGE + 1, [(PAGE, 1)], [2 * PAGE], 3 * PAGE),
        # Too much for one page: one after the other, each in a page.
        (PAGE, [(PAGE, 1), (PAGE, 1)], [PAGE, 2 * PAGE], 3 * PAGE),
        (PAGE, [(PAGE - 4, 1), (5, 1)], [PAGE, 2 * PAGE], 2 * PAGE + 5),
        (PAGE, [(PAGE - 4, 1), (4, 1), (PAGE, 1)], [PAGE, 2 * PAGE - 4, 2 * PAGE], 3 * PAGE),
        (PAGE, [(PAGE - 1, 1), (0, 1), (0, 1)], [PAGE, 2 * PAGE - 1, 2 * PAGE], 2 * PAGE + 1),
        (PAGE + 3, [(PAGE - 3, 4), (9, 8)], [2 * PAGE, 3 * PAGE], 3 * PAGE + 9),
    ],
)
def test_places(cursor: int, wanted: list[tuple[int, int]], offsets: list[int], end: int) -> None:
    assert Placement(cursor, PAGE).plan(wanted) == (offsets, end)


def test_a_page_grows_to_the_next_power_of_two() -> None:
    default = layout.DEFAULT_PAGE_SIZE
    for size, page, offset in (
        (default, default, default),
        (default + 1, 2 * default, 5000),
        (2 * default, 2 * default, 2 * default),
        (3 * default, 4 * default, 5000),
    ):
        placement = Placement(5000, None)
        assert placement.plan([(size, 1)]) == ([offset], offset + size)
        assert placement.page_size == page
    assert Placement(0, None).page_size == default
    fixed = Placement(0, PAGE)
    assert fixed.plan([(PAGE, 1)]) == ([0], PAGE)
    for too_large in ([(PAGE + 1, 1)], [(1, 1), (PAGE + 1, 1)], [(PAGE + 1, 1), (1, 1)]):
        with pytest.raises(ConversionError, match=f"takes {PAGE + 1} bytes and a page {PAGE}; leave page_size out"):
            fixed.plan(too_large)
    assert [fixed.page_of(at) for at in (0, PAGE - 1, PAGE)] == [0, 0, 1]


def test_the_formats_numbers() -> None:
    assert (layout.MIN_PAGE_SIZE, layout.DEFAULT_PAGE_SIZE, layout.MAX_PAGE_SIZE) == (2097152, 8388608, 2147483648)
    assert (layout.HEADER.size, layout.DESCRIPTOR.size, layout.ALLOCATION.itemsize) == (24, 1041, 24)
    assert (layout.BLOCK_SIZE, layout.records_start(3)) == (8388608, 24 + 3 * 1041)
    placement = Placement(0, None)
    placement.plan([(3 << 29, 1), (3 << 29, 1)])  # together too large for any page
    assert placement.page_size == layout.MAX_PAGE_SIZE
    for largest, page in ((1 << 30, 1 << 30), ((1 << 30) + 1, 1 << 31)):
        placement = Placement(0, None)
        placement.plan([(largest, 1)] * 3)  # pages grow to the largest value of the three
        assert placement.page_size == page


COLUMNS = RecordPacker({"a": BytesField(), "b": BytesField(), "n": IntField()}).columns


def value(data: bytes, key: str | None = None) -> Encoded:
    return Encoded((0, len(data)), data, key=key)


def test_shared_payloads_are_placed_once_a_run() -> None:
    """A payload is placed again only where its sample moves on to another page than the sample before it."""
    placement, shared = Placement(PAGE - 600, PAGE), SharedPayloads()

    def plan(number: int, photo: bytes, text: bytes) -> tuple[dict[int, int], int, list[int]]:
        sample = [value(photo, key=photo.decode()), value(text), Encoded((number,))]
        payloads = payloads_of(COLUMNS, sample)
        offsets, placement.cursor, fresh = plan_sample(placement, shared, COLUMNS, sample, payloads, number)
        shared.used(0, sample[0], number, offsets[0], len(photo))
        return offsets, placement.cursor, fresh

    photo = b"p" * 300
    assert plan(0, photo, b"t" * 100) == ({0: PAGE - 600, 1: PAGE - 300}, PAGE - 200, [0, 1])
    assert plan(1, photo, b"t" * 100) == ({0: PAGE - 600, 1: PAGE - 200}, PAGE - 100, [1])
    assert plan(2, photo, b"t" * 101) == ({0: PAGE, 1: PAGE + 300}, PAGE + 401, [0, 1])
    assert plan(3, b"q", b"t") == ({0: PAGE + 401, 1: PAGE + 402}, PAGE + 403, [0, 1])
    placement.cursor = 2 * PAGE
    # Sample 2 is not the one before: the photograph stays where it is.
    assert plan(4, photo, b"t") == ({0: PAGE, 1: 2 * PAGE}, 2 * PAGE + 1, [1])
    assert shared.recent(4) != [] and shared.recent(3) == []


def test_what_shared_payloads_survives_being_saved() -> None:
    shared = SharedPayloads()
    first, second = value(b"one", key="k"), value(b"two", key="l")
    shared.used(0, first, 5, 100, 3)
    shared.used(1, second, 6, 200, 3)
    shared.used(0, first, 6, 100, 3)
    rows, recent = shared.take_unsaved(), shared.recent(6)
    assert shared.take_unsaved() == b"" and len(recent) == 2
    again = SharedPayloads()
    again.restore(rows, recent, 6)
    found = again.find(0, first), again.find(1, second)
    assert [(stored.ptr, stored.size, stored.last) for stored in found if stored] == [(100, 3, 6), (200, 3, 6)]
    assert again.find(1, first) is None
    assert again.recent(6) == recent and again.recent(5) == []
    only_one = SharedPayloads()
    only_one.restore(rows, recent[1:], 6)
    stored = only_one.find(1, second)
    assert stored is not None and stored.last == -1
    with pytest.raises(ConversionError, match="used for another value"):
        again.find(0, value(b"six", key="k"))


# -- records -----------------------------------------------------------------------------------------------------------


def test_packed_records_are_numpys() -> None:
    fields: dict[str, Any] = {
        "label": IntField(),
        "image": RGBImageField(),
        "score": FloatField(),
        "text": BytesField(),
        "array": NDArrayField("<u2", (3,)),
    }
    packer = RecordPacker(fields)
    kind = layout.record_type(field.metadata_type for field in fields.values())
    assert packer.size == kind.itemsize
    assert len(packer.descriptors) == 5 * layout.DESCRIPTOR.size
    samples = [
        Encoded((-3,)),
        Encoded((1, 640, 480, 0), b"x"),
        Encoded((0.5,)),
        Encoded((0, 77), b"y"),
        NDArrayField("<u2", (3,)).encode(np.arange(3, dtype="<u2")),
    ]
    record = np.frombuffer(packer.pack(samples, {1: 1000, 3: 2000, 4: 3000}), kind)[0]
    assert record["f0"] == -3 and record["f2"] == 0.5
    assert sorted(record["f1"].tolist()) == [1, 480, 640, 1000]
    assert record["f1"]["data_ptr"] == 1000
    assert record["f3"].tolist() == (2000, 77)
    assert 3000 in np.atleast_1d(record["f4"].tolist())
    with pytest.raises(ConversionError, match="does not fit"):
        packer.pack([Encoded((1 << 63,)), *samples[1:]], {1: 1, 3: 2, 4: 3})


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("x", None),
        ("two words", None),
        ("", "is empty"),
        ("é", "is not ASCII"),
        ("x\0", "holds a NUL"),
        ("\0", "holds a NUL"),
        ("x" * 16, None),
        ("x" * 17, "has 17 characters; a .beton file holds 16, and stock ffcv cuts the rest"),
    ],
)
def test_names_that_a_file_can_hold(name: str, problem: str | None) -> None:
    assert layout.name_problem(name) == problem


def test_numbers_and_names_of_fields() -> None:
    with pytest.raises(OptionError, match="1 to 65535 fields, not 0"):
        RecordPacker({})
    assert len(RecordPacker({"x" * 16: IntField()}).columns) == 1
    with pytest.raises(OptionError, match="has 17 characters"):
        RecordPacker({"x" * 17: IntField()})
    with pytest.raises(OptionError, match="is a int, not one of"):
        RecordPacker({"x": 3})  # type: ignore[dict-item]

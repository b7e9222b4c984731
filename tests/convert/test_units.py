"""Units of a conversion: how samples are cut into them, what becomes of each, and who is asked how often."""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xxhash
from PIL import Image

from ffprep.convert import units
from ffprep.convert.clusters.units import on_its_own
from ffprep.convert.units import (
    SampleResult,
    WorkUnit,
    by_threads,
    encode_sample,
    encode_unit,
    raw_sizes,
    units_of,
)
from ffprep.errors import ConversionError, SourceError
from ffprep.fields import BytesField, Encoded, Field, IntField, RGBImageField, Shared
from ffprep.sources.base import Named


class Numbers:
    """Samples 0, 1, 2, ...; some of them cannot be read."""

    fields: dict[str, Field] = {"number": IntField()}  # noqa: RUF012

    def __init__(self, count: int = 1000, wrong: dict[int, Exception] | None = None) -> None:
        self.count = count
        self.wrong = wrong or {}
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.count

    def sample_name(self, index: int) -> str:
        return f"n{index}"

    def sample(self, index: int) -> tuple[Any, ...]:
        self.read.append(index)
        if index in self.wrong:
            raise self.wrong[index]
        return (index,)

    def manifest(self) -> dict[str, Any]:
        return {}


class Announced(Numbers):
    """Notes what it is told of."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, int]] = []

    def announce(self, indices: Sequence[int]) -> None:
        self.told.append((indices[0], indices[-1]))


class Stream(Numbers):
    """The same, one after the other; it ends at `end`, by an error where there is one."""

    def __init__(self, end: int, error: Exception | None = None) -> None:
        super().__init__()
        self.end, self.error = end, error

    def stream(self, start: int) -> Iterator[Named]:
        for index in range(start, self.end):
            yield Named(f"s{index}", (index,))
        if self.error is not None:
            raise self.error


def spans(source: Any, start: int, stop: int) -> list[tuple[int, int]]:
    return [(unit.start, unit.stop) for unit in units_of(source, start, stop)]


@pytest.mark.parametrize("source", [Numbers(), Stream(100)])
def test_samples_are_cut_into_units_of_sixteen(source: Any) -> None:
    assert spans(source, 0, 32) == [(0, 16), (16, 32)]
    assert spans(source, 0, 33) == [(0, 16), (16, 32), (32, 33)]
    assert spans(source, 5, 22) == [(5, 21), (21, 22)]
    assert spans(source, 7, 7) == []
    assert spans(source, 7, 8) == [(7, 8)]


def test_a_stream_that_ends_early_ends_the_units() -> None:
    assert spans(Stream(20), 0, 40) == [(0, 16), (16, 20)]
    assert spans(Stream(16), 0, 40) == [(0, 16)]
    assert spans(Stream(15), 0, 40) == [(0, 15)]
    assert spans(Stream(0), 0, 40) == []
    cut = list(units_of(Stream(18, SourceError("cut")), 0, 40))
    assert [(unit.start, unit.stop) for unit in cut] == [(0, 16), (16, 18)]
    assert cut[0].broken is None and str(cut[1].broken) == "cut"
    cut = list(units_of(Stream(16, SourceError("cut")), 0, 40))
    assert [(unit.start, unit.stop, str(unit.broken)) for unit in cut] == [(0, 16, "None"), (16, 16, "cut")]
    with pytest.raises(MemoryError):
        list(units_of(Stream(3, MemoryError()), 0, 40))


def results(source: Any, start: int = 0, stop: int = 16, **options: Any) -> list[tuple[str, bool, str, bool]]:
    (unit,) = units_of(source, start, stop)
    found = encode_unit(source, unit, **options)
    return [(r.name, len(r.encoded) == 1, str(r.refusal or ""), r.fatal) for r in found]


def test_what_becomes_of_samples() -> None:
    wrong = {1: SourceError("bad"), 2: OSError("unreadable")}
    assert results(Numbers(wrong=wrong), 0, 4) == [
        ("n0", True, "", False),
        ("n1", False, "bad", False),
        ("n2", False, "unreadable", False),
        ("n3", True, "", False),
    ]
    source = Numbers(wrong={1: KeyError("x")})
    assert results(source, 0, 4) == [("n0", True, "", False), ("n1", False, "KeyError: 'x'", True)]
    assert source.read == [0, 1]
    with pytest.raises(MemoryError):
        results(Numbers(wrong={1: MemoryError()}))


def test_what_becomes_of_a_streams_samples() -> None:
    assert results(Stream(9), 7, 9) == [("s7", True, "", False), ("s8", True, "", False)]
    assert results(Stream(9, SourceError("cut")), 8, 16) == [
        ("s8", True, "", False),
        ("sample 9", False, "cut", True),
    ]
    assert results(Stream(2001, ValueError("odd")), 2000, 2010)[1] == ("sample 2,001", False, "ValueError: odd", True)


def test_a_stopped_unit_reads_nothing_more() -> None:
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 3

    source = Numbers()
    assert results(source, stopped=stopped) == []
    assert source.read == [0, 1, 2]


def test_a_unit_that_is_stopped_while_it_encodes_is_dropped() -> None:
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 20

    source = Numbers()
    assert len(results(source, stopped=stopped)) == 3  # sixteen were read before
    assert source.read == list(range(16))


def photograph(seed: int, **options: Any) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((90 + seed, 80)).save(out, "JPEG", **options)
    return out.getvalue()


class Photographs(Numbers):
    """Images and captions; most are rewritten together, some are not JPEGs, not whole, shared or no images at all."""

    def __init__(self, image: RGBImageField) -> None:
        super().__init__(16)
        self.fields = {"photo": image, "text": BytesField()}
        self.wrong = {3: SourceError("gone")}
        self.images: dict[int, Any] = {index: photograph(index) for index in range(16)}
        self.images[1] = photograph(1, progressive=True)
        self.images[5] = self.images[5][:-300]
        self.images[7] = b"text"
        self.images[8] = self.images[9] = Shared("8", self.images[8])
        self.images[10] = np.zeros((4, 5, 3), np.uint8)
        self.images[11] = bytearray(self.images[11])

    def sample(self, index: int) -> tuple[Any, ...]:
        super().sample(index)
        return self.images[index], 5 if index == 12 else b"x" * index


def told(found: list[SampleResult]) -> list[tuple[Any, ...]]:
    return [
        (
            *(r.name, str(r.refusal or ""), r.fatal, list(r.sizes), r.digest),
            *((v.metadata, bytes(v.payload or b""), v.note, v.key, v.checksum) for v in r.encoded),
        )
        for r in found
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"jpeg": "seekable"},
        {"jpeg": "seekable", "max_resolution": 95, "apply_orientation": True, "damaged": "reencode"},
        {"jpeg": "seekable", "min_resolution": 70, "keep_metadata": True},
        {"jpeg": "keep"},
        {"write_mode": "raw"},
    ],
)
def test_samples_encoded_together_are_as_each_alone(options: dict[str, Any]) -> None:
    source = Photographs(RGBImageField(**options))
    together = encode_unit(source, WorkUnit(0, 16))
    alone = [encode_unit(source, WorkUnit(index, index + 1))[0] for index in range(16)]
    assert told(together) == told(alone)
    refused = [index for index, result in enumerate(together) if result.refusal is not None]
    assert set(refused) >= {3, 7, 12} and len(refused) <= 4
    for result in together:
        for value in result.encoded:
            known = None if value.payload is None else xxhash.xxh3_64_intdigest(value.payload)
            assert value.checksum == known


def test_a_few_large_samples_are_encoded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Photographs(RGBImageField(jpeg="seekable"))
    whole = told(encode_unit(source, WorkUnit(0, 16)))
    sizes = []
    field = source.fields["photo"]
    inner = field.encode_together
    monkeypatch.setattr(field, "encode_together", lambda values: sizes.append(len(values)) or inner(values))
    monkeypatch.setattr(units, "TOGETHER", 3 * len(source.images[0]))
    assert told(encode_unit(source, WorkUnit(0, 16))) == whole
    assert len(sizes) > 2 and max(sizes) < 8


def test_a_subclass_encodes_its_images_itself() -> None:
    class Own(RGBImageField):
        def encode(self, value: Any) -> Encoded:
            return replace(super().encode(value), note=("own", "way"))

    source = Photographs(Own(jpeg="seekable"))
    notes = {value.note for result in encode_unit(source, WorkUnit(0, 16)) for value in result.encoded[:1]}
    assert notes == {("own", "way")}


def test_results_for_another_process_own_their_memory() -> None:
    source = Photographs(RGBImageField(jpeg="seekable"))
    found = encode_unit(source, WorkUnit(0, 16))
    assert any(isinstance(value.payload, memoryview) for result in found for value in result.encoded)
    sent = pickle.loads(pickle.dumps([on_its_own(result) for result in found if result.refusal is None]))
    assert told(sent) == told([result for result in found if result.refusal is None])


IMAGE = RGBImageField()


@pytest.mark.parametrize(
    ("fields", "values", "message"),
    [
        ({"photo": IMAGE, "label": IntField()}, (b"nothing", 1), r"^(?!photo: )"),
        ({"photo": IMAGE, "label": IntField()}, (None, "x"), r"^label: "),
        ({"photo": IMAGE, "other": IMAGE}, (b"nothing", b"nothing"), r"^photo: (?!photo: )"),
        ({"label": IntField()}, ("x",), r"^label: (?!label: )"),
        ({"a": IntField(), "b": IntField()}, (1,), r"^the source gave 1 values for the 2 fields a, b$"),
        ({"a": IntField()}, (1, 2), r"^the source gave 2 values for the 1 fields a$"),
        ({"a": IntField()}, "x", r"^the source gave str for the 1 fields a$"),
    ],
)
def test_values_that_do_not_fit_name_their_field(fields: dict[str, Field], values: Any, message: str) -> None:
    if values[0] is None:
        values = (np.zeros((2, 2, 3), np.uint8), *values[1:])
    with pytest.raises(ConversionError, match=message):
        encode_sample(fields, values)


def test_values_that_fit() -> None:
    fields = {"a": IntField(), "b": BytesField()}
    for values in ((3, b"xy"), [3, b"xy"]):
        assert [value.payload for value in encode_sample(fields, values)] == [None, b"xy"]
    assert raw_sizes((b"abc", 5, Shared("k", b"xy"), bytearray(4), memoryview(b"z"), "text")) == [3, 0, 2, 4, 1, 0]


def test_results_come_in_order_and_no_more_than_some_ahead() -> None:
    for workers in (1, 3):
        pulled: list[int] = []

        def pulling(pulled: list[int] = pulled) -> Iterator[Any]:
            for unit in units_of(Numbers(), 0, 320):
                pulled.append(unit.start)
                yield unit

        found = by_threads(Numbers(), pulling(), workers)
        first = next(found)
        assert len(pulled) == 2 * workers + 2
        names = [result.name for part in (first, *found) for result in part]
        assert names == [f"n{index}" for index in range(320)]


def test_a_source_is_told_of_sixteen_units_at_a_time() -> None:
    source = Announced()
    assert sum(len(part) for part in by_threads(source, units_of(source, 3, 300), 1)) == 297
    large = [span for span in source.told if span[1] - span[0] >= 16]
    assert large == [(3, 258), (259, 299)]
    assert sorted(set(source.told) - set(large)) == [(first, min(first + 15, 299)) for first in range(3, 300, 16)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_reader_that_leaves_stops_the_units_under_way(workers: int) -> None:
    source, threads = Numbers(), threading.active_count()
    found = by_threads(source, units_of(source, 0, 32_000), workers)
    assert len(next(found)) == 16
    found.close()
    assert threading.active_count() == threads
    read = len(source.read)
    assert read == 16 if workers == 1 else 16 <= read <= (2 * workers + 2) * 16

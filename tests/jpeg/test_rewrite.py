"""Lossless rewriting: coefficients and pixels unchanged, structure and tables valid, damage refused."""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rewrite_parts import check_equal, check_structure, pixels, take_apart

from ffprep.errors import JpegError, OptionError
from ffprep.jpeg import coefficients, read_header, rewrite
from ffprep.jpeg.native import FACTS, library, set_simd_level, simd_level
from ffprep.jpeg.rewrite import check_scan
from ffprep.jpeg.status import Status

SAMPLINGS = [
    [(1, 1)],
    [(1, 1), (1, 1), (1, 1)],
    [(2, 1), (1, 1), (1, 1)],
    [(2, 2), (1, 1), (1, 1)],
    [(1, 2), (1, 1), (1, 1)],
    [(4, 1), (1, 1), (1, 1)],
    [(2, 2), (2, 1), (1, 2)],
    [(1, 1), (2, 2), (1, 1)],
]
LEVELS = ["scalar", "avx2", "avx512"]
RELAXED = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def photo_like(rng: np.random.Generator, width: int, height: int, channels: int) -> NDArray[np.uint8]:
    """Smooth shapes and some noise."""
    y, x, c = np.mgrid[:height, :width, :channels]
    waves = np.zeros(y.shape)
    for _ in range(3):
        waves += np.sin(x / rng.uniform(2, 60) + y / rng.uniform(2, 60) + rng.uniform(0, 2) * c)
    image = 128 + 40 * waves + rng.normal(0, rng.choice([0, 3, 25]), y.shape)
    return image.clip(0, 255).astype(np.uint8)[..., 0 if channels == 1 else slice(None)]


def encode(image: NDArray[np.uint8], **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", **options)
    return out.getvalue()


@given(
    sampling=st.sampled_from(SAMPLINGS),
    kind=st.sampled_from(["one", "one", "separate", "luma first", "progressive"]),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    old=st.sampled_from([0, 0, 1, 3, 7, 200]),
    new=st.integers(0, 12) | st.sampled_from([50, 1000, 65535]),
    density=st.sampled_from([0.0, 0.05, 0.4, 1.0]),
    optimise=st.booleans(),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=100, **RELAXED)
def test_any_stream(
    jpegmaker: ModuleType,
    sampling: list[tuple[int, int]],
    kind: str,
    size: tuple[int, int],
    old: int,
    new: int,
    density: float,
    optimise: bool,
    seed: int,
) -> None:
    """Every sampling, scan structure and pair of intervals, tables drawn at random."""
    scan, every = jpegmaker.Scan, range(len(sampling))
    sof, script = 0xC0, []
    if kind == "separate":
        script = [scan([i]) for i in every]
    elif kind == "luma first" and len(sampling) == 3:
        script = [scan([0]), scan([1, 2])]
    elif kind == "progressive":
        sof, script = 0xC2, [scan(every, 0, 0, 0, 1), *(scan([i], 1, 63) for i in every), scan(every, 0, 0, 1, 0)]
    options = {"density": density, "interval": old, "sof": sof, "scans": script}
    data = jpegmaker.write(jpegmaker.random_frame(np.random.default_rng(seed), *size, sampling, **options))
    after = rewrite(data, new, optimise=optimise)
    check_structure(after, new)
    check_equal(data, after)
    assert rewrite(after, new, optimise=optimise) == after
    check_scan(data)


@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    channels=st.sampled_from([1, 3]),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    optimize=st.booleans(),
    progressive=st.booleans(),
    restart=st.sampled_from([0, 1, 5, 40]),
    interval=st.none() | st.integers(0, 30),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, **RELAXED)
def test_what_pillow_writes(
    size: tuple[int, int],
    channels: int,
    quality: int,
    subsampling: str,
    optimize: bool,
    progressive: bool,
    restart: int,
    interval: int | None,
    seed: int,
) -> None:
    image = photo_like(np.random.default_rng(seed), *size, channels)
    options: dict[str, Any] = {"subsampling": subsampling} if channels == 3 else {}
    try:
        data = encode(
            image, quality=quality, optimize=optimize, progressive=progressive, restart_marker_blocks=restart, **options
        )
    except OSError:  # Pillow reserves too little for some optimised images
        return
    after = rewrite(data, interval)
    assert np.array_equal(pixels(data), pixels(after))
    check_equal(data, after)
    check_structure(after, (8 if subsampling != "4:4:4" and channels == 3 else 16) if interval is None else interval)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("width", [300, 1400])
@pytest.mark.parametrize("sampling", [[(1, 1)], [(1, 1)] * 3, [(2, 2), (1, 1), (1, 1)]])
def test_long_scans(
    jpegmaker: ModuleType, sampling: list[tuple[int, int]], width: int, level: str, restore_level: None
) -> None:
    """Long segments are walked from several places at once, which have to meet."""
    try:
        set_simd_level(level)
    except OptionError:
        pytest.skip(f"this CPU has no {level}")
    for density in (0.01, 0.3):
        rng = np.random.default_rng(width)
        data = jpegmaker.write(jpegmaker.random_frame(rng, width, 200, sampling, density=density))
        after = rewrite(data, 9)
        check_structure(after, 9)
        for a, b in zip(coefficients(data), coefficients(after), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.fixture
def restore_level() -> Iterator[None]:
    before = simd_level()
    yield
    set_simd_level(before)


def test_scan_whose_codes_never_fall_into_step() -> None:
    """Equal blocks of an even number of bits: a second place that begins at an odd bit stays out of step."""
    gray = np.full((512, 512), 90, np.uint8)
    for shift in range(8):
        gray[: 8 * shift] = 200
        data = encode(gray, quality=90, optimize=True)
        check_equal(data, rewrite(data, 16))


def test_symbols_that_own_tables_lack_are_added() -> None:
    """A ramp's DC differences are all small, the values after a restart are not."""
    ramp = np.tile(np.arange(256, dtype=np.uint8).repeat(4), (64, 1))
    data = encode(ramp, quality=95, optimize=True)
    after = rewrite(data, 5)
    old, new = take_apart(data).tables[0], take_apart(after).tables[0]
    assert set(new[1]) > set(old[1])
    assert new[1][: len(old[1])] == old[1], "the codes of the others do not change"
    assert take_apart(data).tables[0x10] == take_apart(after).tables[0x10]
    check_structure(after, 5)
    check_equal(data, after)
    # and away again with the restart markers, codes of all sizes staying
    check_equal(data, rewrite(after, 0))


def gray_stream(maker: ModuleType, values: list[int], dc_lengths: list[tuple[int, int]]) -> bytes:
    """A row of blocks with these DC values and nothing else, with a DC table of (length, symbol)."""
    blocks = np.zeros((1, len(values), 64), np.int16)
    blocks[0, :, 0] = values
    frame = maker.Frame(8 * len(values), 8, [maker.Component(1, 1, 1, blocks)], {0: np.full(64, 8)})
    dc, ac = maker.Huffman(dc_lengths), maker.Huffman([(1, 0), (2, 0xF0)])
    scan = maker.Scan([0])
    out = b"\xff\xd8" + maker.quant_segment(0, frame.quant[0]) + maker.frame_header(frame)
    out += maker.segment(0xC4, dc.spec(0, 0)) + maker.segment(0xC4, ac.spec(1, 0)) + maker.scan_header(frame, scan)
    data: bytes = out + maker.ScanWriter(frame, scan, {0: dc}, {0: ac}).write() + b"\xff\xd9"
    return data


@pytest.mark.parametrize(
    "lengths",
    [
        [(1, 3), (1, 0)],  # complete: all ones is in use, nothing can be added
        [(1, 3), (2, 0)],
        [(16, 3), (16, 0)],
        [(n, 12 - n) for n in range(1, 12)] + [(16, 0)],
    ],
)
def test_dc_tables_with_and_without_room(jpegmaker: ModuleType, lengths: list[tuple[int, int]]) -> None:
    values = list(range(4, 4 + 7 * 30, 7))
    data = gray_stream(jpegmaker, values, lengths)
    for interval in (0, 1, 3, 29):
        after = rewrite(data, interval)
        np.testing.assert_array_equal(coefficients(after)[0][0, :, 0], values)
        np.testing.assert_array_equal(coefficients(data)[0], coefficients(after)[0])
        if interval:
            check_structure(after, interval)


def test_tables_are_not_longer_than_sixteen_bits(jpegmaker: ModuleType) -> None:
    """Frequencies like Fibonacci numbers would make codes of over 16 bits."""
    counts, values = [2, 3], []
    while len(counts) < 17:
        counts.append(counts[-1] + counts[-2])
    symbols = [run << 4 | size for run in range(3) for size in range(1, 8)][: len(counts)]
    blocks = np.zeros((1, sum(counts), 64), np.int16)
    for symbol, count in zip(symbols, counts, strict=True):
        values += [(1 + (symbol >> 4), (1 << (symbol & 15)) - 1)] * count
    for i, (k, value) in enumerate(values):
        blocks[0, i, k] = value
    wide = 2000
    blocks = np.concatenate([blocks, np.zeros((1, -len(values) % wide, 64), np.int16)], 1).reshape(-1, wide, 64)
    frame = jpegmaker.Frame(
        8 * wide, 8 * len(blocks), [jpegmaker.Component(1, 1, 1, blocks)], {0: np.ones(64, np.int64)}
    )
    data = jpegmaker.write(frame)
    after = rewrite(data, 0, optimise=True)
    parts = check_structure(after, 0)
    assert parts.tables[0x10][0][15] > 0
    np.testing.assert_array_equal(coefficients(after)[0], blocks)
    assert len(after) < len(data)


def test_metadata(jpegmaker: ModuleType) -> None:
    segment = jpegmaker.segment
    extra = [
        segment(0xE0, b"JFIF\0\1\2\1\0\x48\0\x48\0\0"),
        segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"),
        segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(300)),
        segment(0xFE, b"a comment"),
        segment(0xED, b""),
    ]
    frame = jpegmaker.random_frame(np.random.default_rng(1), 50, 40, [(1, 1)] * 3, head=b"".join(extra))
    data = jpegmaker.write(frame)
    assert read_header(data).orientation == 6
    kept, dropped = rewrite(data, 4, keep_metadata=True), rewrite(data, 4)
    wanted = [(m, b) for m, b in take_apart(data).segments if 0xE0 <= m <= 0xEF or m == 0xFE]
    assert [(m, b) for m, b in take_apart(kept).segments if 0xE0 <= m <= 0xEF or m == 0xFE] == wanted
    assert read_header(kept).orientation == 6 and read_header(dropped).orientation == 1
    assert [m for m, _ in take_apart(dropped).segments if 0xE0 <= m <= 0xEF or m == 0xFE] == [0xE0]
    check_equal(data, kept)
    check_equal(data, dropped)


@pytest.mark.parametrize("keep", [False, True])
def test_colours_stay(jpegmaker: ModuleType, keep: bool) -> None:
    """JFIF, Adobe's transform and component identifiers: whatever decided, decides the same afterwards."""
    segment = jpegmaker.segment
    jfif = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    adobe = [segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([t])) for t in range(3)]
    cases = [
        (head, ids)
        for head in (b"", jfif, adobe[0], adobe[1], adobe[2], jfif + adobe[0])
        for ids in (b"\1\2\3", b"RGB", b"\0\1\2", b"\x22\x11\x01")
    ]
    for number, (head, ids) in enumerate(cases):
        frame = jpegmaker.random_frame(np.random.default_rng(number), 33, 20, [(1, 1)] * 3, head=head)
        for component, identifier in zip(frame.components, ids, strict=True):
            component.identifier = identifier
        data = jpegmaker.write(frame)
        after = rewrite(data, 2, keep_metadata=keep)
        assert read_header(after).color == read_header(data).color
        check_equal(data, after)


def test_quantisers_of_sixteen_bits_make_it_extended(jpegmaker: ModuleType) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(2), 40, 24, [(1, 1)] * 3, sof=0xC1, amplitude=3)
    frame.quant[0] = np.full(64, 300)
    frame.components[0].blocks[..., 0] //= 100
    after = rewrite(jpegmaker.write(frame), 3)
    assert read_header(after).sof == 0xC1
    check_equal(jpegmaker.write(frame), after)
    frame.quant[0] = np.full(64, 200)
    assert read_header(rewrite(jpegmaker.write(frame), 3)).sof == 0xC0


def test_three_tables_make_it_extended(jpegmaker: ModuleType) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(3), 40, 24, [(1, 1)] * 3, sof=0xC1)
    frame.scans = [jpegmaker.Scan(range(3), dc_tables=(3, 1, 0), ac_tables=(2, 0, 1))]
    data = jpegmaker.write(frame)
    after = rewrite(data, 3)
    assert read_header(after).sof == 0xC1 and sorted(take_apart(after).tables) == [0, 1, 2, 16, 17, 18]
    check_structure(after, 3)
    check_equal(data, after)


def test_harmless_oddities(jpegmaker: ModuleType) -> None:
    """Fill bytes before markers, a restart marker after the last segment, no EOI, anything after EOI."""
    frame = jpegmaker.random_frame(np.random.default_rng(4), 64, 64, [(1, 1)], interval=16)
    data = jpegmaker.write(frame)
    expected = rewrite(data, 5)
    scan = read_header(data).scan_offset
    rst = data.index(b"\xff\xd0", scan)
    variants = {
        "fill": data[:rst] + b"\xff\xff\xff" + data[rst:-2] + b"\xff\xff" + data[-2:],
        "one marker more": data[:-2] + b"\xff\xd3" + data[-2:],
        "padding bytes": data[:-2] + b"\0\0" + data[-2:],
        "no EOI": data[:-2],
        "half an EOI": data[:-1],
        "two images": data + data,
        "comment behind": data[:-2] + jpegmaker.segment(0xFE, b"\xff\xda") + data[-2:],
    }
    for name, variant in variants.items():
        assert rewrite(variant, 5) == expected, name


def damaged(data: bytes) -> dict[str, tuple[bytes, set[Status]]]:
    scan, middle = read_header(data).scan_offset, (read_header(data).scan_offset + len(data)) // 2
    rst = data.index(b"\xff\xd1", scan)
    return {
        "cut in the middle": (data[:middle], {Status.TRUNCATED_SCAN, Status.BAD_RESTART}),
        "cut, with EOI": (data[:rst] + b"\xff\xd9", {Status.BAD_RESTART, Status.TRUNCATED_SCAN}),
        "ones": (data[: scan + 40] + b"\xff\0" * 40 + data[scan + 80 :], {Status.CORRUPT_SCAN, Status.TRUNCATED_SCAN}),
        "wrong number": (data[:rst] + b"\xff\xd4" + data[rst + 2 :], {Status.BAD_RESTART}),
        "no marker": (data[:rst] + data[rst + 2 :], {Status.BAD_RESTART, Status.TRUNCATED_SCAN, Status.CORRUPT_SCAN}),
        "a stuffed fill byte": (data[: scan + 5] + b"\xff\xff\0" + data[scan + 5 :], {Status.CORRUPT_SCAN}),
        "nothing": (data[:scan], {Status.TRUNCATED_SCAN, Status.TRUNCATED_HEADER}),
    }


def test_damage_is_refused(jpegmaker: ModuleType) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(5), 200, 100, [(1, 1)] * 3, interval=50, density=0.3)
    for name, (stream, statuses) in damaged(jpegmaker.write(frame)).items():
        for call in (rewrite, check_scan):
            with pytest.raises(JpegError) as caught:
                call(stream)
            assert caught.value.status in statuses, name


def test_dc_out_of_range_is_refused(jpegmaker: ModuleType) -> None:
    """Differences that add up to what no 8-bit image has."""
    data = gray_stream(jpegmaker, [1500, 1500 + 900], [(2, n) for n in (0, 10, 11)])
    with pytest.raises(JpegError) as caught:
        rewrite(data, 1)
    assert caught.value.status == Status.CORRUPT_SCAN


def test_cmyk_is_refused() -> None:
    out = io.BytesIO()
    Image.new("CMYK", (30, 20), (1, 2, 3, 4)).save(out, "JPEG")
    with pytest.raises(JpegError) as caught:
        rewrite(out.getvalue())
    assert caught.value.status == Status.UNSUPPORTED_COLOR


@pytest.mark.parametrize("interval", [-1, 65536])
def test_interval_out_of_range(interval: int) -> None:
    with pytest.raises(OptionError, match=str(interval)):
        rewrite(b"", interval)


def test_size_needed_is_told() -> None:
    data = encode(photo_like(np.random.default_rng(6), 100, 80, 3), quality=90)
    buffer = (ctypes.c_uint8 * (1 << 20))()
    facts = (ctypes.c_int64 * FACTS)()
    for capacity in (0, 100, 1 << 20):
        status = library().ffp_rewrite(data, len(data), 3, 0, buffer, capacity, facts)
        if capacity < 1 << 20:
            assert status == Status.NO_SPACE and facts[0] > len(rewrite(data, 3))
            needed = facts[0]
    assert status == Status.OK and bytes(buffer[: facts[0]]) == rewrite(data, 3)
    assert library().ffp_rewrite(data, len(data), 3, 0, buffer, needed, facts) == Status.OK


def test_threads_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(7)
    streams = [encode(photo_like(rng, 300, 200, 3), quality=int(q), subsampling=int(q) % 3) for q in range(80, 96)]
    alone = [rewrite(s) for s in streams]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(rewrite, streams * 4)) == alone * 4


def test_demo_photographs(demo_data: Path) -> None:
    files = sorted(demo_data.glob("**/*.JPEG")) + sorted(demo_data.glob("**/*.jpg"))
    assert len(files) >= 12
    for file in files:
        data = file.read_bytes()
        after = rewrite(memoryview(data))
        assert after == rewrite(data) == rewrite(np.frombuffer(data, np.uint8).repeat(2)[::2])
        check_equal(data, after)
        assert len(after) < 1.03 * len(data)

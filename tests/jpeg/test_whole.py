"""Odd JPEGs in every form: what is whole is taken, without loss where possible, and what is damaged is refused."""

from __future__ import annotations

import contextlib
import io
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from simd_levels import forced_level

from ffprep.errors import ConversionError, JpegError
from ffprep.fields import RGBImageField
from ffprep.jpeg import coefficients, decode_rgb, pillow, prepare, read_header
from ffprep.jpeg.prepare import scaled_size
from ffprep.jpeg.rewrite import Note, check_scan, rewrite, rewrite_noting

EOI = b"\xff\xd9"
FORMS = ("seekable", "keep", "reencode", "max_side", "raw")


def photo(width: int = 96, height: int = 64) -> Image.Image:
    """Something with texture."""
    rng = np.random.default_rng(width)
    small = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def save(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90, **options)  # type: ignore[arg-type]
    return out.getvalue()


def pixels(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def store(data: bytes, form: str, damaged: str = "refuse") -> tuple[NDArray[np.uint8], str, str]:
    """Pixels of what a field stores in one of the forms, as Pillow decodes them; action and reason."""
    side = 48 if form == "max_side" else None
    jpeg = None if form == "raw" else "seekable" if form == "max_side" else form
    encoded = RGBImageField(jpeg=jpeg, max_resolution=side, damaged=damaged).encode(data)
    assert encoded.payload is not None and encoded.note is not None
    _, width, height, _ = encoded.metadata
    payload = bytes(encoded.payload)
    if form == "raw":
        return np.frombuffer(payload, np.uint8).reshape(height, width, 3), *encoded.note
    check_scan(payload)
    assert decode_rgb(payload).shape == (height, width, 3)
    return pixels(payload), *encoded.note


def check_taken(data: bytes, expected: NDArray[np.uint8], words: str, lossless: bool = True) -> None:
    """The image is taken in every form, and what was odd is told; `expected` are its pixels."""
    for form in FORMS:
        stored, _, reason = store(data, form)
        assert words in reason, form
        if form == "raw" or (lossless and form in ("seekable", "keep")):
            np.testing.assert_array_equal(stored, expected, form)
            continue
        target = Image.fromarray(expected).convert("L" if (expected == expected[..., :1]).all() else "RGB")
        if form == "max_side":
            target = target.resize(scaled_size(*target.size, 48, None), Image.Resampling.BICUBIC)
        quality, sampling = (95, "4:4:4") if form in ("seekable", "keep") else (90, "4:2:0")
        np.testing.assert_array_equal(stored, pixels(pillow.encode(target, quality, sampling)), form)


def check_refused(data: bytes, words: str) -> None:
    """It is refused in every form, and taken under an action that the report lists when that is asked for."""
    for form in FORMS:
        with pytest.raises(ConversionError, match=words):
            store(data, form)
        _, action, reason = store(data, form, damaged="reencode")
        assert action in ("reencoded", "decoded") and "damaged" in reason


def scan_of(data: bytes) -> int:
    return read_header(data).scan_offset


def half(data: bytes) -> bytes:
    """The first half of the scan, then an end marker."""
    middle = (scan_of(data) + len(data)) // 2
    return data[: middle - (data[middle - 1] == 0xFF)] + EOI


# ---- damage ----------------------------------------------------------------------------------------------------------

COLOURS = {
    "grey": save(photo().convert("L")),
    "YCbCr": save(photo()),
    "progressive": save(photo(), progressive=True),
    "RGB": save(photo(), keep_rgb=True),
    "RGB progressive": save(photo(), keep_rgb=True, progressive=True),
    "CMYK": save(photo().convert("CMYK")),
    "CMYK progressive": save(photo().convert("CMYK"), progressive=True),
}


@pytest.mark.parametrize("colour", COLOURS)
def test_damage_of_every_colour(colour: str) -> None:
    check_refused(half(COLOURS[colour]), "ends early|corrupt|out of sequence")


def test_damaged_ycck(jpegmaker: ModuleType) -> None:
    adobe = jpegmaker.segment(0xEE, b"Adobe\0\x64\0\0\0\0\2")
    frame = jpegmaker.random_frame(np.random.default_rng(0), 60, 40, [(2, 2), (1, 1), (1, 1), (2, 2)], head=adobe)
    data = jpegmaker.write(frame)
    assert read_header(data).color == "ycck" and "YCCK" in store(data, "seekable")[2]
    check_refused(half(data), "ends early")


@pytest.mark.parametrize("level", ["scalar", "avx2", "avx512"])
@pytest.mark.parametrize(
    "sampling", [[(4, 2), (1, 1), (1, 1)], [(2, 2), (1, 1), (1, 1), (2, 2)], [(2, 2), (2, 2), (1, 1)]]
)
def test_mcus_of_many_blocks(sampling: list[tuple[int, int]], level: str, jpegmaker: ModuleType) -> None:
    data = jpegmaker.write(jpegmaker.random_frame(np.random.default_rng(0), 160, 120, sampling))
    with forced_level(level):
        assert check_scan(data).end == len(data) - len(EOI)


@pytest.mark.parametrize("sof", [0xC9, 0xCA])
def test_damaged_arithmetic_codes(jpegmaker: ModuleType, sof: int) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(1), 60, 40, [(1, 1)] * 3, sof=sof)
    frame.scans = jpegmaker.PROGRESSIVE if sof == 0xCA else []
    data = jpegmaker.write(frame)
    check_taken(data, pixels(data), "")
    check_refused(half(data), "ends early")


def test_restart_markers_out_of_order() -> None:
    data = save(photo(), restart_marker_blocks=2)
    at = data.index(b"\xff\xd2")
    check_refused(data[:at] + b"\xff\xd5" + data[at + 2 :], "out of sequence")


def test_damage_in_the_middle_is_not_taken_for_bytes_at_the_end() -> None:
    """Where decoding went out of step, the last byte is rarely filled up with ones, or the brightness runs away."""
    data, rng = save(photo(400, 300)), np.random.default_rng(2)
    taken = 0
    for _ in range(60):
        at = int(rng.integers(scan_of(data), len(data) - 400))
        noise = rng.integers(0, 255, 60, dtype=np.uint8).tobytes()
        with contextlib.suppress(JpegError):
            taken += Note.LEFT_OVER in check_scan(data[:at] + noise + data[at:]).notes
    assert taken <= 30


# ---- whole images ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["grey", "YCbCr", "progressive"])
@pytest.mark.parametrize(
    "rest", [b"\x7f", b"appended text, and \xff\xe1\xff\xff a marker", b"\x13" * 3000, b"\0" * 5, b"\xff\0"]
)
def test_bytes_left_over(colour: str, rest: bytes) -> None:
    data = COLOURS[colour]
    check_taken(data[:-2] + rest + EOI, pixels(data), "left over")
    check_taken(data[:-2] + rest, pixels(data), "left over")
    assert prepare(data[:-2] + rest + EOI, jpeg="keep").data == data


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_zeros_in_front_of_markers(options: dict[str, bool]) -> None:
    """Libjpeg warns of them, and stock ffcv takes a warning for a failure, so they are not kept."""
    data = save(photo(), restart_marker_blocks=4, **options)
    at = data.index(b"\xff\xd2")
    padded = data[:at] + b"\0\0" + data[at:]
    check_taken(padded, pixels(data), "stray bytes")
    kept = prepare(padded, jpeg="keep").data
    assert b"\0\0\xff\xd2" not in kept and check_scan(kept).notes == Note(0)
    if options:
        at = data.index(b"\xff\xda", scan_of(data))
        check_taken(data[:at] + b"\0" + data[at:], pixels(data), "stray bytes")


@pytest.mark.parametrize("colour", ["grey", "YCbCr", "progressive", "CMYK"])
@pytest.mark.parametrize(
    "segment", [b"\xff\xe1\0\0", b"\xff\xfe\0\1", b"\xff\xe0\0\0\xff\xee\0\1", b"\xff\xed\0\0Photoshop 3.0\0\xff\0"]
)
def test_lengths_of_metadata_that_no_segment_has(colour: str, segment: bytes) -> None:
    """APPn and COM with a length of 0 or 1, which libjpeg steps over, in front of the first scan and of later ones."""
    sound = COLOURS[colour]
    check_taken(sound[:2] + segment + sound[2:], pixels(sound), "impossible length", lossless=colour != "CMYK")
    if colour == "progressive":
        scan = sound.rindex(b"\xff\xda")
        check_taken(sound[:scan] + segment + sound[scan:], pixels(sound), "impossible length")


def test_bytes_left_over_where_pillow_has_to_decode() -> None:
    for colour in ("RGB", "CMYK"):
        data = COLOURS[colour]
        check_taken(data[:-2] + b"\x7f" + EOI, pixels(data), "left over", lossless=False)
        check_taken(data[:-2], pixels(data), "end marker", lossless=False)


@pytest.mark.parametrize("colour", ["grey", "YCbCr", "progressive"])
def test_no_end_marker(colour: str) -> None:
    check_taken(COLOURS[colour][:-2], pixels(COLOURS[colour]), "end marker added")


def shorter(data: bytes, lines: int) -> bytes:
    at = next(data.index(sof) for sof in (b"\xff\xc0", b"\xff\xc2") if sof in data)
    return data[: at + 5] + lines.to_bytes(2, "big") + data[at + 7 :]


@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 4}, {"restart_marker_rows": 1}])
def test_fewer_lines_than_in_the_scan(options: dict[str, int]) -> None:
    data = save(photo(), **options)
    for lines in (48, 33, 16, 1):
        short = shorter(data, lines)
        check_taken(short, decode_rgb(short), "left over" if options != {"restart_marker_rows": 1} else "")
        np.testing.assert_array_equal(decode_rgb(short)[: lines - 1], pixels(data)[: lines - 1])


def test_equal_identifiers(jpegmaker: ModuleType) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(3), 60, 40, [(2, 1), (1, 1), (1, 1)])
    for identifiers in ((1, 1, 1), (1, 2, 1), (7, 7, 8)):
        for component, identifier in zip(frame.components, identifiers, strict=True):
            component.identifier = identifier
        data = jpegmaker.write(frame)
        check_taken(data, pixels(data), "equal component identifiers")


def test_zero_in_a_quantisation_table(jpegmaker: ModuleType) -> None:
    for at in (0, 5):
        frame = jpegmaker.random_frame(np.random.default_rng(4), 60, 40, [(1, 1)] * 3)
        frame.quant[0][at] = 0
        data = jpegmaker.write(frame)
        check_taken(data, pixels(data), "zero in a quantisation table")


def test_missing_huffman_tables_are_the_standard_ones() -> None:
    data = COLOURS["YCbCr"]
    bare, at = b"", 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        bare += data[at:end] if data[at + 1] != 0xC4 else b""
        at = end
    bare = data[:2] + bare + data[at:]
    assert len(bare) < len(data) - 400
    check_taken(bare, pixels(data), "standard Huffman tables")


def test_headers_that_libjpeg_warns_of(jpegmaker: ModuleType) -> None:
    """Mended where the file's own bytes are kept too, since stock ffcv's decoder reports warnings as failures."""
    data = COLOURS["YCbCr"]
    sos, jfif = data.index(b"\xff\xda"), data.index(b"JFIF")
    adobe = jpegmaker.segment(0xEE, b"Adobe\0\x64\0\0\0\0\2")
    comment = jpegmaker.segment(0xFE, b"kept")
    odd = {
        "stray bytes": data[:sos] + b"stray" + data[sos:],
        "scan header": data[: sos + 11] + b"\0\x0a\0" + data[sos + 14 :],
        "colour marker": data[: jfif + 5] + b"\7" + data[jfif + 6 :],
        "transform": data[:2] + adobe + comment + data[20:],
    }
    for words, changed in odd.items():
        check_taken(changed, pixels(data), words)
    kept = prepare(odd["transform"], jpeg="keep").data
    assert b"Adobe" not in kept and b"JFIF" in kept and comment in kept


# ---- sampling and tables ---------------------------------------------------------------------------------------------

FACTORS = [
    [(4, 4), (2, 2), (2, 2)],
    [(4, 2), (2, 1), (2, 1)],
    [(2, 2), (2, 2), (2, 2)],
    [(4, 4), (4, 2), (2, 4)],
    [(3, 3), (3, 3), (3, 3)],
]


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("sof", [0xC1, 0xC2, 0xC9])
def test_more_than_ten_blocks(jpegmaker: ModuleType, factors: list[tuple[int, int]], sof: int) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(5), 75, 57, factors, sof=sof)
    frame.scans = [jpegmaker.Scan([i]) for i in range(3)]
    if sof == 0xC2:
        frame.scans = [jpegmaker.Scan([i], 0, 0) for i in range(3)] + [jpegmaker.Scan([i], 1, 63) for i in range(3)]
    data = jpegmaker.write(frame)
    check_taken(data, pixels(data), "")
    seekable = rewrite_noting(data)
    assert seekable.notes == Note.DIVIDED and read_header(seekable.data).single_scan
    assert rewrite(seekable.data) == seekable.data


def test_factors_without_a_common_divisor(jpegmaker: ModuleType) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(6), 75, 57, [(4, 4), (1, 1), (1, 1)])
    frame.scans = [jpegmaker.Scan([i]) for i in range(3)]
    data = jpegmaker.write(frame)
    stored, action, _ = store(data, "seekable")
    assert action == "reencoded" and np.abs(stored.astype(int) - pixels(data)).mean() < 4
    assert prepare(data, jpeg="keep").data == data
    check_refused(half(data), "ends early|no whole ratio")


@pytest.mark.parametrize("progressive", [False, True])
def test_codes_that_libjpeg_refuses(jpegmaker: ModuleType, progressive: bool) -> None:
    """A code of all ones, and a DC size over 15 that does not occur."""
    frame = jpegmaker.random_frame(np.random.default_rng(7), 60, 40, [(1, 1)], sof=0xC2 if progressive else 0xC0)
    if progressive:
        frame.scans = [jpegmaker.Scan([0], 0, 0), jpegmaker.Scan([0], 1, 63)]
    good = jpegmaker.write(frame)
    at = good.index(b"\xff\xc4") + 4
    counts = list(good[at + 1 : at + 17])
    size = sum(counts)
    longest = max(n for n, count in enumerate(counts) if count)
    full = [*counts[:longest], counts[longest] + 1, *counts[longest + 1 :]]
    for symbol, table in ((11, full), (16, [*counts[:15], counts[15] + 1])):
        body = good[at : at + 1] + bytes(table) + good[at + 17 : at + 17 + size] + bytes([symbol])
        odd = good[: at - 4] + jpegmaker.segment(0xC4, body) + good[at + 17 + size :]
        with pytest.raises(OSError):
            pixels(odd)
        check_taken(odd, pixels(good), "Huffman codes that libjpeg refuses")
        np.testing.assert_array_equal(coefficients(odd)[0], coefficients(good)[0])


@pytest.mark.parametrize("shape", [(65501, 8), (8, 65535)])
def test_sides_that_libjpeg_refuses(shape: tuple[int, int]) -> None:
    side = save(Image.new("L", (min(shape[0], 65500), min(shape[1], 65500))))
    at = side.index(b"\xff\xc0")
    data = side[: at + 5] + shape[1].to_bytes(2, "big") + shape[0].to_bytes(2, "big") + side[at + 9 :]
    for form in FORMS:
        with pytest.raises(ConversionError, match=f"{shape[0]} x {shape[1]} pixels are over 65500 a side"):
            store(data, form)


# ---- arithmetic codes ------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), width=st.integers(1, 40), height=st.integers(1, 40), interval=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_arithmetic_codes(jpegmaker: ModuleType, seed: int, width: int, height: int, interval: int) -> None:
    """Coefficients are those that were coded, and Pillow sees the same pixels after rewriting."""
    rng = np.random.default_rng(seed)
    sampling = [[(1, 1)], [(1, 1)] * 3, [(2, 2), (1, 1), (1, 1)]][seed % 3]
    sof = 0xCA if seed % 2 and len(sampling) == 3 else 0xC9
    frame = jpegmaker.random_frame(
        rng, width, height, sampling, sof=sof, interval=interval, density=float(rng.random()), amplitude=400
    )
    frame.scans = jpegmaker.PROGRESSIVE if sof == 0xCA else []
    data = jpegmaker.write(frame)
    for index, (found, component) in enumerate(zip(coefficients(data), frame.components, strict=True)):
        across, down = frame.unit_grid(index)
        np.testing.assert_array_equal(found[:down, :across], component.blocks[:down, :across])
    np.testing.assert_array_equal(pixels(rewrite(data)), pixels(data))
    assert not check_scan(data).notes


def test_conditioning_of_arithmetic_codes(jpegmaker: ModuleType) -> None:
    """A DAC segment with the values that are meant without one changes nothing; others change what codes mean."""
    frame = jpegmaker.random_frame(np.random.default_rng(8), 60, 40, [(1, 1)] * 3, sof=0xC9)
    plain = jpegmaker.write(frame)
    frame.head = jpegmaker.segment(0xCC, b"\x00\x10\x10\x05\x01\x10\x11\x05")
    np.testing.assert_array_equal(decode_rgb(jpegmaker.write(frame)), decode_rgb(plain))
    for body in (b"\x00\x12", b"\x20\x10", b"\x00"):
        frame.head = jpegmaker.segment(0xCC, body)
        with pytest.raises(JpegError, match="marker segment"):
            read_header(jpegmaker.write(frame))


def test_flat_images_of_arithmetic_codes_are_whole(jpegmaker: ModuleType) -> None:
    """Their codes are zeros, which the coder leaves out."""
    for sof in (0xC9, 0xCA):
        frame = jpegmaker.random_frame(np.random.default_rng(9), 200, 160, [(1, 1)] * 3, sof=sof, density=0)
        for component in frame.components:
            component.blocks[..., 1:] = 0
            component.blocks[..., 0] = 37
        frame.scans = jpegmaker.PROGRESSIVE if sof == 0xCA else []
        data = jpegmaker.write(frame)
        assert not check_scan(data).notes
        assert len(data) < 700 and (decode_rgb(data) == decode_rgb(data)[0, 0]).all()

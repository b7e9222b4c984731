"""Preparing image files for storing at conversion.

=====================================  ===========  ==============================================================
file                                   action       what is stored
=====================================  ===========  ==============================================================
sequential 8-bit JPEG, grey or YCbCr   rewritten    the same coefficients with restart markers (``jpeg="seekable"``)
...                                    kept         the file's own bytes (``jpeg="keep"``)
progressive or several scans           transcoded   the same coefficients, baseline, with restart markers
...                                    kept         the file's own bytes (``jpeg="keep"``)
arithmetic-coded                       transcoded   the same coefficients, baseline with Huffman codes
CMYK, YCCK or RGB JPEG; PNG, GIF,      reencoded    Pillow's ``convert("RGB")``, quality 95, 4:4:4
BMP, WebP, TIFF, PPM, AVIF, whatever
the file is called
any, ``jpeg="reencode"``, resized or   reencoded    Pillow's pixels, quality 90 by default, 4:2:0
turned upright
damaged, truncated, too large, none    refused      ConversionError
of these
=====================================  ===========  ==============================================================

Every JPEG is checked to its last code, whatever its colour and whatever becomes of it. What is odd about an image that
is whole (:class:`ffprep.jpeg.rewrite.Note`) is named in the reason; ``keep`` then cuts the file after its last MCU, or
rewrites it without restart markers if libjpeg would refuse it or warn.

What is stored can be decoded by construction: the bits of a rewritten scan were decoded by the check, new codes are
those of tables made from the values to be coded, and headers are written anew. What Pillow encoded is checked like a
file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ffprep.errors import ConversionError, JpegError, OptionError
from ffprep.jpeg import pillow
from ffprep.jpeg.header import JpegHeader
from ffprep.jpeg.rewrite import MAX_INTERVAL, check_scan, notes_text, rewrite, rewrite_noting, rewrite_plain
from ffprep.jpeg.status import sentence
from ffprep.jpeg.whole import LIBJPEG_MAX_SIDE, checked_header, reason_to_decode, whole_stream

JPEG_MODES = ("seekable", "keep", "reencode")
DAMAGED = ("refuse", "reencode")

MAX_PIXELS = 178_956_970
"""Default limit on pixels: that of Pillow's ``Image.open``, and so of torchvision."""

KERNEL_MAX_PIXELS = 1 << 28
MAX_SIDE = 65535

FORCED_QUALITY = 95
FORCED_SUBSAMPLING = "4:4:4"
CHOSEN_SUBSAMPLING = "4:2:0"


class Prepared(NamedTuple):
    """An image ready to be stored.

    Attributes
    ----------
    data : bytes
        A JPEG stream that libjpeg, and so stock ffcv, can decode.
    width, height : int
        Its size in pixels.
    action : str
        ``kept``, ``rewritten``, ``transcoded`` (the first three are lossless) or ``reencoded``.
    reason : str
        Why, in a few words that are the same for all images of a kind.
    checksum : int, optional
        xxh3-64 of the stream, where it is known.
    """

    data: bytes | memoryview
    width: int
    height: int
    action: str
    reason: str
    checksum: int | None = None


@dataclass(frozen=True)
class _Options:
    jpeg: str
    max_side: int | None
    min_side: int | None
    quality: int
    apply_orientation: bool
    interval: int | None
    keep_metadata: bool
    damaged: str
    max_pixels: int

    def __post_init__(self) -> None:
        if self.jpeg not in JPEG_MODES:
            raise OptionError(f"jpeg is one of {', '.join(JPEG_MODES)}, not {self.jpeg!r}")
        if self.damaged not in DAMAGED:
            raise OptionError(f"damaged is one of {', '.join(DAMAGED)}, not {self.damaged!r}")
        for name, side in (("max_side", self.max_side), ("min_side", self.min_side)):
            if side is not None and not 1 <= side <= MAX_SIDE:
                raise OptionError(f"{name} is between 1 and {MAX_SIDE} pixels, not {side}")
        if not 1 <= self.quality <= 100:
            raise OptionError(f"quality is between 1 and 100, not {self.quality}")
        if self.interval is not None and not 0 <= self.interval <= MAX_INTERVAL:
            raise OptionError(f"restart interval {self.interval} is not between 0 and {MAX_INTERVAL} MCUs")
        if not 1 <= self.max_pixels <= KERNEL_MAX_PIXELS:
            raise OptionError(f"max_pixels is between 1 and {KERNEL_MAX_PIXELS}, not {self.max_pixels}")


def scaled_size(width: int, height: int, max_side: int | None, min_side: int | None) -> tuple[int, int]:
    """Size after shrinking, never enlarging.

    Parameters
    ----------
    width, height : int
        Pixels.
    max_side : int, optional
        The longest side becomes at most this (ffcv's ``max_resolution``).
    min_side : int, optional
        The shortest side becomes at most this. If both are given, the smaller size results.

    Returns
    -------
    tuple of int
        Width and height. The side that was limited is exact, the other is rounded to the nearest pixel, at least 1.
    """
    wanted, of = 1, 1
    for limit, side in ((max_side, max(width, height)), (min_side, min(width, height))):
        if limit is not None and limit * of < wanted * side:
            wanted, of = limit, side
    return max(1, (2 * width * wanted + of) // (2 * of)), max(1, (2 * height * wanted + of) // (2 * of))


def prepare(
    data: bytes,
    *,
    jpeg: str = "seekable",
    max_side: int | None = None,
    min_side: int | None = None,
    quality: int = 90,
    apply_orientation: bool = False,
    interval: int | None = None,
    keep_metadata: bool = False,
    damaged: str = "refuse",
    max_pixels: int = MAX_PIXELS,
    where: str = "image",
) -> Prepared:
    """Turn any image file into what a ``.beton`` file stores. Thread-safe; changes no global state.

    Parameters
    ----------
    data : bytes
        The file.
    jpeg : str
        ``seekable``: rewrite JPEGs losslessly with restart markers. ``keep``: store their own bytes. ``reencode``:
        encode every image anew, as stock ffcv does.
    max_side, min_side : int, optional
        Shrink the longest or the shortest side to this many pixels (antialiased bicubic), which re-encodes; smaller
        images are left as they are.
    quality : int
        Quality of images that are re-encoded, at 4:2:0, because an option asks for it. If the file leaves no choice,
        the quality is at least 95 and the sampling 4:4:4. Grey stays grey.
    apply_orientation : bool
        Turn images upright by their EXIF orientation, which re-encodes; ignored otherwise, as torchvision does.
    interval : int, optional
        MCUs between restart markers; see :func:`ffprep.jpeg.rewrite.rewrite`.
    keep_metadata : bool
        Keep APPn and COM segments of rewritten JPEGs.
    damaged : str
        ``refuse`` JPEGs whose data is damaged, or ``reencode`` what Pillow decodes of them, if it decodes anything.
    max_pixels : int
        Larger images are refused before they are decoded; at most 2^28.
    where : str
        Name at the start of the error message.

    Raises
    ------
    ConversionError
        The file is refused; the message says why.
    OptionError
        An option is out of range.
    """
    options = _Options(
        jpeg, max_side, min_side, quality, apply_orientation, interval, keep_metadata, damaged, max_pixels
    )
    try:
        data = bytes(data)
        kind = pillow.sniff(data)
        if kind is None:
            raise ConversionError("the file is empty" if not data else "no image format that ffprep reads")
        return _prepare_jpeg(data, options) if kind == "JPEG" else _reencode(data, kind, kind, options)
    except ConversionError as error:
        raise ConversionError(f"{where}: {error}; leave it out or replace it") from error


def prepare_plain(
    data: Sequence[bytes | memoryview],
    *,
    max_side: int | None = None,
    min_side: int | None = None,
    apply_orientation: bool = False,
    keep_metadata: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> list[Prepared | None]:
    """Rewrite those of several image files that `prepare` would rewrite without loss, in one call of the kernel.

    Parameters
    ----------
    data : sequence of bytes or memoryview of bytes
        The files.
    max_side, min_side, apply_orientation, keep_metadata, max_pixels
        As for `prepare`, with ``jpeg="seekable"``.

    Returns
    -------
    list of Prepared or None
        What `prepare` would return; None for files that are to be given to it.
    """
    found = rewrite_plain(
        data,
        keep_metadata=keep_metadata,
        max_pixels=max_pixels,
        longest=min(max_side or LIBJPEG_MAX_SIDE, LIBJPEG_MAX_SIDE),
        shortest=min_side or LIBJPEG_MAX_SIDE,
        upright=apply_orientation,
    )
    return [
        Prepared(
            plain.data,
            plain.width,
            plain.height,
            "rewritten",
            _joined("sequential JPEG", notes_text(plain.notes)),
            plain.checksum,
        )
        if plain is not None and file[: len(pillow.JPEG_START)] == pillow.JPEG_START
        else None
        for file, plain in zip(data, found, strict=True)
    ]


def _prepare_jpeg(data: bytes, options: _Options) -> Prepared:
    turned = 1
    try:
        header = checked_header(data, options.max_pixels)
        turned = header.orientation if options.apply_orientation else 1
        size = scaled_size(header.width, header.height, options.max_side, options.min_side)
        unchanged = options.jpeg != "reencode" and size == (header.width, header.height) and turned == 1
        if header.color in ("gray", "ycc") and unchanged:
            return _lossless(data, header, options)
        stream = whole_stream(data, header)
        reason = "" if header.color in ("gray", "ycc") else f"{header.color.upper()} JPEG"
        return _reencode(stream.data, "JPEG", _joined(reason, stream.notes), options, turned)
    except JpegError as error:
        return _despite(error, data, options, turned)


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _despite(error: JpegError, data: bytes, options: _Options, turned: int) -> Prepared:
    """Let Pillow decode a JPEG that cannot be rewritten although it is whole, or that is damaged if this is allowed."""
    reason = reason_to_decode(error, data, options.damaged)
    try:
        return _reencode(data, "JPEG", reason, options, turned)
    except ConversionError as second:
        raise ConversionError(f"{sentence(error.status)}, and Pillow does not decode it: {second}") from second


def _lossless(data: bytes, header: JpegHeader, options: _Options) -> Prepared:
    kind = "progressive JPEG" if header.progressive else "sequential JPEG"
    if not header.single_scan and not header.progressive and not header.arithmetic:
        kind = "JPEG of several scans"
    if header.arithmetic:
        kind = f"arithmetic-coded {kind}"
    action = "rewritten" if header.single_scan else "transcoded"
    if options.jpeg == "keep":
        stream = whole_stream(data, header)
        kept = action if stream.changed else "kept"
        return Prepared(stream.data, header.width, header.height, kept, _joined(kind, stream.notes))
    result = rewrite_noting(data, options.interval, options.keep_metadata)
    return Prepared(result.data, header.width, header.height, action, _joined(kind, result.notes.text))


def _reencode(data: bytes, kind: str, reason: str, options: _Options, turned: int = 1) -> Prepared:
    """Re-encode with Pillow. ``reason`` says why the file leaves no choice; empty if only the options ask for it."""

    def enough(width: int, height: int) -> tuple[int, int] | None:
        size = scaled_size(width, height, options.max_side, options.min_side)
        return None if size == (width, height) else (2 * size[0], 2 * size[1])

    loaded = pillow.load(
        data, kind, max_pixels=options.max_pixels, enough=enough, orientation=options.apply_orientation
    )
    size = scaled_size(*loaded.size, options.max_side, options.min_side)
    turned = turned if kind == "JPEG" else loaded.orientation
    chosen = []
    if options.jpeg == "reencode":
        chosen.append("asked for")
    if size != loaded.size:
        chosen.append("resized")
    if turned != 1:
        chosen.append("turned upright")
    image = pillow.upright(pillow.resize(loaded.image, size), turned)
    stream = pillow.encode(
        image,
        options.quality if chosen else max(options.quality, FORCED_QUALITY),
        CHOSEN_SUBSAMPLING if chosen else FORCED_SUBSAMPLING,
    )
    if options.jpeg != "keep":
        stream = rewrite(stream, options.interval, optimise=not chosen)  # 4 % smaller, but half as fast again to make
    else:
        check_scan(stream)
    return Prepared(stream, *image.size, "reencoded", _joined(reason, *chosen))

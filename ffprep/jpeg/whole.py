"""Whether a JPEG file is whole, and a stream of it that libjpeg, and so Pillow and stock ffcv, can read.

The kernel reads a little more than libjpeg does: sides up to 65,535 pixels, Huffman codes of all ones, frames without
an end marker or followed by other bytes. What is handed on is free of these.
"""

from __future__ import annotations

from dataclasses import dataclass

from ffprep.errors import ConversionError, JpegError
from ffprep.jpeg.header import JpegHeader, read_header
from ffprep.jpeg.rewrite import Note, check_scan, rewrite
from ffprep.jpeg.status import Status, sentence

LIBJPEG_MAX_SIDE = 65500
END_MARKER = b"\xff\xd9"

CUT = Note.LEFT_OVER | Note.NO_EOI
"""What cutting the stream after its last MCU mends."""

HARMLESS = Note.ZERO_QUANT
"""What libjpeg reads as it is."""


@dataclass(frozen=True)
class Whole:
    """A JPEG stream whose image is all there.

    Attributes
    ----------
    data : bytes
        A stream that libjpeg reads: the file's own bytes wherever these will do.
    changed : bool
        Whether it was rewritten, without loss.
    notes : str
        What was odd about the file, in a few words; usually empty.
    """

    data: bytes
    changed: bool
    notes: str


def checked_header(data: bytes, max_pixels: int) -> JpegHeader:
    """Return the header of an image that is not too large.

    Raises
    ------
    ConversionError
        It has more pixels than `max_pixels`, or a side that libjpeg does not read.
    JpegError
        There is no header that the kernel reads.
    """
    header = read_header(data)
    size = f"{header.width} x {header.height} pixels are over"
    if header.width * header.height > max_pixels:
        raise ConversionError(f"{size} the limit of {max_pixels} (--max-pixels)")
    if max(header.width, header.height) > LIBJPEG_MAX_SIDE:
        raise ConversionError(f"{size} {LIBJPEG_MAX_SIDE} a side, the limit of libjpeg and so of Pillow and stock ffcv")
    return header


def whole_stream(data: bytes, header: JpegHeader) -> Whole:
    """Check a JPEG of any colour to its last MCU, and give a stream of it that libjpeg reads.

    Raises
    ------
    JpegError
        The stream is damaged, or of a kind that the kernel cannot check.
    """
    checked = check_scan(data)
    notes = checked.notes
    if header.arithmetic or notes & ~(CUT | HARMLESS):
        return Whole(rewrite(data, 0, keep_metadata=True), True, notes.text)
    if notes & CUT:
        return Whole(data[: checked.end] + END_MARKER, False, notes.text)
    return Whole(data, False, notes.text)


def reason_to_decode(error: JpegError, data: bytes, damaged: str) -> str:
    """Why Pillow is to decode a JPEG that cannot be rewritten: it is whole, or damaged and that is allowed.

    Parameters
    ----------
    error : JpegError
        Why it cannot be rewritten.
    data : bytes
        The file.
    damaged : {'refuse', 'reencode'}
        What is to become of damaged files.

    Returns
    -------
    str
        A few words that are the same for all images of a kind; they start with ``damaged`` if it is.

    Raises
    ------
    ConversionError
        It is refused.
    """
    why = sentence(error.status)
    if error.status == Status.UNSUPPORTED_SAMPLING and _is_whole(data):
        return why
    if damaged == "reencode" and error.status != Status.TOO_LARGE:
        return f"damaged: {why}"
    raise ConversionError(why) from error


def _is_whole(data: bytes) -> bool:
    try:
        check_scan(data)
    except JpegError:
        return False
    return True

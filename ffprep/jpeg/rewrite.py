"""Rewriting JPEG streams losslessly into seekable form, and checking that a stream is whole.

A seekable JPEG is an ordinary interleaved baseline JPEG with a restart marker every few MCUs, so that a crop can be
decoded without what lies before it. The quantised coefficients stay the same, and so do the pixels in every decoder.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from enum import IntFlag
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ffprep.abi import REWRITE
from ffprep.common.rooms import LARGEST_KEPT, Rooms
from ffprep.errors import OptionError
from ffprep.jpeg.native import FACTS, as_bytes, library, stream
from ffprep.jpeg.status import Status, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ffprep.jpeg.native import BytesLike

AUTOMATIC = -1
"""Interval that depends on the sampling: 16 MCUs of up to three blocks, or 8 larger ones."""

MAX_INTERVAL = 65535
KEEP_METADATA = 1
OPTIMISE = 2
_BYTE_POINTER = ctypes.POINTER(ctypes.c_uint8)
_UNSIGNED = (1 << 64) - 1


class Note(IntFlag):
    """What is odd about a stream whose image is whole: the bits ``FFP_NOTE_*`` of ``jpeg.h``."""

    LEFT_OVER = 1
    STRAY = 2
    NO_EOI = 4
    CODES = 8
    NO_TABLES = 16
    SAME_IDS = 32
    ZERO_QUANT = 64
    DIVIDED = 128
    BAND = 256
    COLOUR = 512
    LENGTH = 1024

    @property
    def text(self) -> str:
        """The notes in a few words, the same for all images of a kind; empty if there are none."""
        return notes_text(self.value)


_WORDS = {
    Note.LEFT_OVER: "bytes left over at the end dropped",
    Note.STRAY: "stray bytes between segments dropped",
    Note.NO_EOI: "end marker added",
    Note.CODES: "Huffman codes that libjpeg refuses made anew",
    Note.NO_TABLES: "standard Huffman tables added",
    Note.SAME_IDS: "equal component identifiers",
    Note.ZERO_QUANT: "zero in a quantisation table",
    Note.DIVIDED: "sampling factors divided by their common divisor",
    Note.BAND: "scan header corrected",
    Note.COLOUR: "unknown version or transform in a colour marker corrected",
    Note.LENGTH: "segment with an impossible length corrected",
}


@lru_cache(maxsize=1 << len(Note))
def notes_text(bits: int) -> str:
    """What the bits of a `Note` say, in a few words; empty if there are none."""
    return ", ".join(words for note, words in _WORDS.items() if note & bits)


@dataclass(frozen=True)
class Rewritten:
    """A rewritten stream.

    Attributes
    ----------
    data : bytes
        The stream.
    notes : Note
        What was odd about the stream that it was made from.
    """

    data: bytes
    notes: Note


@dataclass(frozen=True)
class Checked:
    """A stream found to be sound.

    Attributes
    ----------
    notes : Note
        What is odd about it.
    end : int
        Offset at which its last MCU ends.
    """

    notes: Note
    end: int


class Plain(NamedTuple):
    """One of several streams, rewritten.

    Attributes
    ----------
    data : memoryview
        The stream, read-only.
    width, height : int
        Pixels.
    notes : int
        Bits of `Note`.
    checksum : int
        xxh3-64 of the stream.
    """

    data: memoryview
    width: int
    height: int
    notes: int
    checksum: int


_rooms = Rooms()


class _Buffer:
    """Memory, and what the kernel takes for it."""

    def __init__(self, size: int) -> None:
        self.array = np.empty(size, dtype=np.uint8)
        self.pointer = self.array.ctypes.data_as(_BYTE_POINTER)


class _Scratch(threading.local):
    """Memory of a thread: an output buffer, kept for the next call unless it is very large, and what was found out."""

    def __init__(self) -> None:
        self.kept = _Buffer(0)
        self.facts = (ctypes.c_int64 * FACTS)()

    def at_least(self, size: int) -> _Buffer:
        if self.kept.array.size >= size:
            return self.kept
        buffer = _Buffer(max(size, 1 << 20))
        if buffer.array.size <= LARGEST_KEPT:
            self.kept = buffer
        return buffer


_scratch = _Scratch()


def rewrite(
    data: BytesLike,
    interval: int | None = None,
    keep_metadata: bool = False,
    *,
    optimise: bool = False,
    where: str = "JPEG",
) -> bytes:
    """Rewrite a JPEG losslessly as an interleaved baseline stream with restart markers.

    A stream of one sequential scan keeps its Huffman codes: its bits are copied, and only the DC values next to a
    restart marker are coded anew, with codes added to the DC tables where these lack one. Progressive streams and
    streams of several scans are coded anew with tables made for them (T.81 K.2).

    Parameters
    ----------
    data : bytes-like
        A JPEG stream, 8 bits, grey, YCbCr or RGB; with `keep_metadata` CMYK and YCCK too.
    interval : int, optional
        MCUs between restart markers, 0 for none; by default 16, or 8 if an MCU has more than three blocks. No markers
        are written when the image has no more MCUs than that.
    keep_metadata : bool
        Keep the APPn and COM segments in front of the first scan (EXIF, ICC profile, ...). Otherwise they are
        dropped and a plain JFIF segment is written (RGB: an Adobe one), so that colours are read as before. EXIF
        orientation goes with them: torchvision and ffcv ignore it and see the same pixels as before; OpenCV's
        ``imread``, which applies it, then shows the image as it is stored.
    optimise : bool
        Code everything anew with tables made for the image, even if the stream's own tables would do.
    where : str
        Name at the start of the error message.

    Returns
    -------
    bytes
        The new stream; rewriting it again in the same way changes nothing.

    Raises
    ------
    JpegError
        The stream cannot be decoded, is damaged, has sampling factors that no single scan can have, or is CMYK or YCCK.
    OptionError
        ``interval`` is negative or over 65535.
    """
    return rewrite_noting(data, interval, keep_metadata, optimise=optimise, where=where).data


def rewrite_noting(
    data: BytesLike,
    interval: int | None = None,
    keep_metadata: bool = False,
    *,
    optimise: bool = False,
    where: str = "JPEG",
) -> Rewritten:
    """Rewrite a JPEG as :func:`rewrite` does, and say what was odd about it."""
    if interval is not None and not 0 <= interval <= MAX_INTERVAL:
        raise OptionError(f"restart interval {interval} is not between 0 and {MAX_INTERVAL} MCUs")
    flags = KEEP_METADATA * keep_metadata | OPTIMISE * optimise
    pointer, length, _alive = stream(data)
    facts, size = _scratch.facts, 3 * length + (1 << 16)
    for _ in range(2):
        out = _scratch.at_least(size)
        status = library().ffp_rewrite(
            pointer,
            length,
            AUTOMATIC if interval is None else interval,
            flags,
            out.pointer,
            out.array.size,
            facts,
        )
        size = facts[0]
        if status != Status.NO_SPACE:
            break
    check(status, where)
    return Rewritten(out.array[:size].tobytes(), Note(facts[1]))


def rewrite_plain(
    data: Sequence[BytesLike],
    *,
    interval: int | None = None,
    keep_metadata: bool = False,
    max_pixels: int,
    longest: int,
    shortest: int,
    upright: bool = False,
) -> list[Plain | None]:
    """Rewrite several streams in one call, those that leave nothing to decide, as :func:`rewrite_noting` would.

    Parameters
    ----------
    data : sequence of bytes-like
        JPEG streams, or anything else.
    interval, keep_metadata
        As for :func:`rewrite`.
    max_pixels, longest, shortest : int
        The most pixels, and the most pixels of the longer and of the shorter side.
    upright : bool
        Whether an EXIF orientation other than upright is something to decide.

    Returns
    -------
    list of Plain or None
        None for streams that are not grey or YCbCr in one sequential scan, go beyond a limit, are damaged, or found no
        room. The results share memory, which is used again when none of them is left.
    """
    items = np.zeros(len(data), REWRITE)
    alive = [as_bytes(stream) for stream in data]
    items["data"] = [view.__array_interface__["data"][0] for view in alive]
    items["size"] = [view.size for view in alive]
    out = _rooms.take(2 * int(items["size"].sum()) + (1 << 16))
    limits = np.array((max_pixels, longest, shortest, upright), np.int64)
    library().ffp_rewrite_many(
        items.ctypes.data,
        len(items),
        AUTOMATIC if interval is None else interval,
        KEEP_METADATA * keep_metadata,
        limits.ctypes.data,
        out.ctypes.data,
        out.size,
    )
    whole = out.data.toreadonly()
    return [
        Plain(whole[begin:end], width, height, notes, total & _UNSIGNED) if status == Status.OK else None
        for _, _, status, begin, end, total, width, height, notes in items.tolist()
    ]


def check_scan(data: BytesLike, where: str = "JPEG") -> Checked:
    """Raise unless every code of the image data is valid and all of the image is there.

    Arithmetic codes end in zeros that encoders leave out, so where data is missing there, only values other than zero
    tell.

    Parameters
    ----------
    data : bytes-like
        A JPEG stream, 8 bits, of any colour and scan structure.
    where : str
        Name at the start of the error message.

    Raises
    ------
    JpegError
        The stream cannot be decoded or is damaged.
    """
    pointer, length, _alive = stream(data)
    facts = _scratch.facts
    check(library().ffp_check(pointer, length, facts), where)
    return Checked(Note(facts[1]), facts[2])

"""The status codes of the JPEG kernel, each with a sentence and advice."""

from __future__ import annotations

from enum import IntEnum

from ffprep.errors import JpegError


class Status(IntEnum):
    """Status codes of ``jpeg.h``, under the same names."""

    OK = 0
    NOT_JPEG = 1
    TRUNCATED_HEADER = 2
    BAD_MARKER = 3
    UNSUPPORTED_PROCESS = 4
    UNSUPPORTED_COLOR = 5
    UNSUPPORTED_SAMPLING = 6
    BAD_HUFFMAN_TABLE = 7
    BAD_QUANT_TABLE = 8
    MISSING_TABLE = 9
    TRUNCATED_SCAN = 10
    CORRUPT_SCAN = 11
    BAD_RESTART = 12
    TOO_LARGE = 13
    BAD_RECTANGLE = 14
    NO_MEMORY = 15
    NOT_SEQUENTIAL = 16
    BAD_INDEX = 17
    SIZE_MISMATCH = 18
    NO_SPACE = 19


_DAMAGED = "fetch the file again, or leave it out"
_CONVERT = "re-encode it as an 8-bit baseline JPEG"
_CALLER = "this is an error of the caller"

_SENTENCES: dict[Status, tuple[str, str]] = {
    Status.OK: ("all is well", "nothing to do"),
    Status.NOT_JPEG: (
        "the data does not start as a JPEG does",
        "check what the file is, or re-encode it as JPEG",
    ),
    Status.TRUNCATED_HEADER: ("the data ends before the first scan", _DAMAGED),
    Status.BAD_MARKER: ("a marker segment is malformed or out of place", _DAMAGED),
    Status.UNSUPPORTED_PROCESS: (
        "the JPEG is lossless, hierarchical or not 8-bit, or says how high it is only after its first scan",
        _CONVERT,
    ),
    Status.UNSUPPORTED_COLOR: ("the JPEG has neither one component nor three (CMYK and YCCK have four)", _CONVERT),
    Status.UNSUPPORTED_SAMPLING: (
        "the sampling factors have no whole ratio or make over ten blocks an MCU",
        _CONVERT,
    ),
    Status.BAD_HUFFMAN_TABLE: ("a Huffman table is impossible", _DAMAGED),
    Status.BAD_QUANT_TABLE: ("a quantisation table is malformed", _DAMAGED),
    Status.MISSING_TABLE: ("a Huffman or quantisation table that a scan uses is missing", _CONVERT),
    Status.TRUNCATED_SCAN: ("the image data ends early", _DAMAGED),
    Status.CORRUPT_SCAN: ("the image data is corrupt", _DAMAGED),
    Status.BAD_RESTART: ("a restart marker is missing or out of sequence", _DAMAGED),
    Status.TOO_LARGE: ("the image has over 2^28 pixels, or its scans are too many", "scale it down first"),
    Status.BAD_RECTANGLE: ("the rectangle asked for is not inside the image", _CALLER),
    Status.NO_MEMORY: (
        "there is not enough memory for the image",
        "use fewer threads, or scale the image down first",
    ),
    Status.NOT_SEQUENTIAL: (
        "the JPEG is progressive or has several scans",
        "decode it by its coefficients, or rewrite it",
    ),
    Status.BAD_INDEX: ("the seek index does not belong to this JPEG", "make the index anew"),
    Status.SIZE_MISMATCH: (
        "width or height differ from what was stored for the image",
        "verify the file it comes from",
    ),
    Status.NO_SPACE: ("the output buffer is too small", _CALLER),
}


def sentence(code: int) -> str:
    """What is wrong, in one clause without a full stop."""
    try:
        return _SENTENCES[Status(code)][0]
    except ValueError:
        return f"the JPEG kernel answered with unknown status {code}"


def remedy(code: int) -> str:
    """What to do about it, in one clause without a full stop."""
    try:
        return _SENTENCES[Status(code)][1]
    except ValueError:
        return "check that the compiled kernel belongs to this version of ffprep"


def check(code: int, where: str = "JPEG") -> None:
    """Raise the error that a status stands for.

    Parameters
    ----------
    code : int
        Status that the kernel returned.
    where : str
        Name of what was decoded, such as a file or sample; the message starts with it.

    Raises
    ------
    JpegError
        ``code`` is not ``Status.OK``. The error's ``status`` attribute is the code.
    """
    if code != Status.OK:
        raise JpegError(f"{where}: {sentence(code)}; {remedy(code)}", code)

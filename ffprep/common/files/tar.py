"""Finding the files in a tar archive, so that they can be read without unpacking it.

The headers are read once with ``pread``; afterwards any thread can read any member with one ``pread``. The forms that
occur in practice are understood: ustar, GNU long names and base-256 sizes, pax records of path and size. Every number
is checked against the end of the archive.

Format: POSIX.1-2017, pax utility, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual, chapter 9.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ffprep.errors import SourceError

BLOCK = 512
_REGULAR = (b"0", b"\0", b"7")
_LONG_NAME, _LONG_LINK = b"L", b"K"
_PAX, _PAX_GLOBAL = b"x", b"g"
_SPARSE, _MULTI_VOLUME = b"S", b"M"
_LONGEST_EXTENSION = 1 << 20  # bytes of a long name or of pax records; real ones have a few hundred


class Member(NamedTuple):
    """A regular file in an archive: its name, and where its bytes are in the archive file."""

    name: str
    offset: int
    size: int


def read_at(fd: int, offset: int, size: int, label: str) -> bytes:
    """Read ``size`` bytes at ``offset`` of an open file.

    Thread-safe: the file position is neither used nor moved.

    Raises
    ------
    SourceError
        The file ends too early.
    """
    data = os.pread(fd, size, offset)
    while len(data) < size:
        more = os.pread(fd, size - len(data), offset + len(data))
        if not more:
            raise SourceError(
                f"{label}: has {len(data):,} of the {size:,} bytes expected at byte {offset:,}: is the file complete?"
            )
        data += more
    return data


def members(
    archive: int | Callable[[int, int], bytes],
    *,
    label: str,
    start: int = 0,
    end: int | None = None,
    strict: bool = True,
) -> Iterator[Member]:
    """Yield the regular files of the archive in ``[start, end)`` of an open file, in the archive's order.

    Directories, links and devices are skipped.

    Parameters
    ----------
    archive : int or callable
        File descriptor, opened for reading. Or, for an archive in a compressed stream, a function that returns the
        bytes at an offset, given offset and size, and fewer at the end; it is called with ascending offsets.
    label : str
        Name of the archive in error messages.
    start, end : int
        Byte range of the archive in the file, since an archive inside an archive is read in place. If ``end`` is None,
        it is the end of the file.
    strict : bool
        Refuse an archive without an end mark (a block of zeros), which indicates an interrupted download.

    Raises
    ------
    SourceError
        A header is damaged, a member runs past ``end``, or the end mark is missing.
    """
    if callable(archive):
        read = archive
        end = sys.maxsize if end is None else end
    else:
        fd = archive
        end = os.fstat(fd).st_size if end is None else end

        def read(offset: int, size: int) -> bytes:
            return read_at(fd, offset, size, label)

    at = start
    name_next: str | None = None
    size_next: int | None = None
    while True:
        header = read(at, BLOCK) if at + BLOCK <= end else b""
        if len(header) < BLOCK:
            if strict or header or at != end != sys.maxsize:
                raise SourceError(
                    f"{label}: the tar archive stops at byte {at:,} without its end mark: is the file complete?"
                )
            return
        if header[0] == 0 and not any(header):
            return
        size = _check(header, at, label)
        if size_next is not None:
            size = size_next
        data = at + BLOCK
        after = data + -(-size // BLOCK) * BLOCK
        if data + size > end:
            raise SourceError(
                f"{label}: the member at byte {at:,} needs {data + size - end:,} bytes more than the archive has: "
                "is the file complete?"
            )
        kind = header[156:157]
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            if size > _LONGEST_EXTENSION:
                raise SourceError(f"{label}: the extension header at byte {at:,} claims {size:,} bytes: damaged?")
            body = read(data, size)
            if kind == _LONG_NAME:
                name_next = _text(body)
            elif kind == _PAX:
                records = _pax(body, at, label)
                name_next = records.get("path", name_next)
                if "size" in records:
                    size_next = _pax_size(records["size"], at, label)
        else:
            if kind in (_SPARSE, _MULTI_VOLUME):
                raise SourceError(
                    f"{label}: the member at byte {at:,} is {'sparse' if kind == _SPARSE else 'split in volumes'}: "
                    "unpack the archive and give the folder"
                )
            if kind in _REGULAR:
                name = name_next if name_next is not None else _name(header)
                if not name.endswith("/"):  # how version 7 tar wrote folders
                    yield Member(name, data, size)
            name_next = size_next = None
        at = after


def _check(header: bytes, at: int, label: str) -> int:
    """Verify a header's checksum and return the size it states. Signed sums, as some old writers made, are accepted."""
    stored = _number(header[148:156])
    if stored is not None:
        total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
        if stored != total:
            high = sum(1 for byte in header if byte > 127) - sum(1 for byte in header[148:156] if byte > 127)
            if stored != total - 256 * high:
                stored = None
    if stored is None:
        raise SourceError(f"{label}: no valid tar header at byte {at:,}: not a tar archive, or damaged")
    size = _number(header[124:136])
    if size is None or size < 0:
        raise SourceError(f"{label}: the tar header at byte {at:,} states no valid size")
    return size


def _number(field: bytes) -> int | None:
    if field[0] & 0x80:  # base 256, two's complement
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value if field[0] == 0x80 else None
    text = field.split(b"\0", 1)[0].strip()
    if not text:
        return 0
    try:
        return int(text, 8) if text.isdigit() else None
    except ValueError:
        return None


def _name(header: bytes) -> str:
    name = _text(header[:100])
    if header[257:263] == b"ustar\0":
        prefix = _text(header[345:500])
        if prefix:
            return f"{prefix}/{name}"
    return name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _pax(body: bytes, at: int, label: str) -> dict[str, str]:
    """Parse records ``length key=value newline``; the decimal length is that of the whole record."""
    records: dict[str, str] = {}
    position = 0
    while position < len(body) and body[position] != 0:
        space = body.find(b" ", position, position + 20)
        digits = body[position:space] if space > 0 else b""
        length = int(digits) if digits.isdigit() else 0
        record = body[position : position + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if length < 5 or len(record) != length or record[-1:] != b"\n" or not equals:
            raise SourceError(f"{label}: the pax header at byte {at:,} is damaged")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        position += length
    return records


def _pax_size(text: str, at: int, label: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise SourceError(f"{label}: the pax header at byte {at:,} states no valid size")
    return int(text)

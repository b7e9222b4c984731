"""What ffprep keeps in a file beyond the format: manifest, checksums, names."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import xxhash

from ffprep.beton import layout
from ffprep.beton.layout import BLOCK_SIZE
from ffprep.common.names import readable
from ffprep.errors import ConversionError, OptionError

MANIFEST = "manifest"
CHECKSUMS = "page_xxh3"
PAYLOAD_SUMS = "payload_xxh3"
TABLES = "tables"
NAMES = "names"
_ZLIB_PIECE = 1 << 20
_PIECE = struct.Struct("<IIQ")
MAX_NAME = 4096
"""Longest sample name kept, in bytes of UTF-8."""


def canonical_json(value: Any) -> bytes:
    """Return the one spelling of a JSON value that is hashed and stored, with names of files made readable.

    Raises
    ------
    ConversionError
        The value is not JSON.
    """
    try:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return canonical_json(_made_readable(value))
    except (TypeError, ValueError) as error:
        raise ConversionError(f"a manifest holds JSON only: {error}") from error


def _made_readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_made_readable(key): _made_readable(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_made_readable(member) for member in value]
    return readable(value) if isinstance(value, str) else value


def clean_name(name: str) -> bytes:
    """Return a sample name as one line of UTF-8, cut to `MAX_NAME` bytes."""
    if name.isascii() and name.isprintable():
        return name[:MAX_NAME].encode("ascii")
    line = readable(name).replace("\r", "\\r").replace("\n", "\\n").encode("utf-8")
    return line[:MAX_NAME].decode("utf-8", "ignore").encode("utf-8")


def pack_names(pieces: Iterable[bytes]) -> bytes | None:
    """Compress lines of names, given in pieces; None when all lines are empty.

    zlib gets pieces of a fixed size, so that the result does not depend on how the lines are divided.
    """
    packer, rest, named = zlib.compressobj(6), bytearray(), False
    packed = []
    for piece in pieces:
        named = named or bool(piece.strip(b"\n"))
        rest += piece
        while len(rest) >= _ZLIB_PIECE:
            packed.append(packer.compress(rest[:_ZLIB_PIECE]))
            del rest[:_ZLIB_PIECE]
    packed += [packer.compress(rest), packer.flush()]
    return b"".join(packed) if named else None


def pack_tables(pieces: Iterable[bytes]) -> bytes:
    """Compress a copy of the tables so that damage to one place costs one piece.

    Each piece of `_ZLIB_PIECE` bytes is stored as ``u4 bytes stored, u4 bytes, u8 xxh3-64`` and itself.
    """
    packed, rest = [], bytearray()

    def store(piece: bytes) -> None:
        small = zlib.compress(piece, 1)
        packed.append(_PIECE.pack(len(small), len(piece), xxhash.xxh3_64_intdigest(piece)) + small)

    for data in pieces:
        rest += data
        while len(rest) >= _ZLIB_PIECE:
            store(bytes(rest[:_ZLIB_PIECE]))
            del rest[:_ZLIB_PIECE]
    if rest:
        store(bytes(rest))
    return b"".join(packed)


def unpack_tables(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield those pieces of a copy of the tables that are whole, each with the byte of the tables that it begins at."""
    position = start = 0
    while position + _PIECE.size <= len(content):
        stored, size, checksum = _PIECE.unpack_from(content, position)
        position += _PIECE.size
        if size > _ZLIB_PIECE or stored > len(content) - position:
            return
        try:
            piece = zlib.decompressobj().decompress(content[position : position + stored], _ZLIB_PIECE)
        except zlib.error:
            piece = b""
        if len(piece) == size and xxhash.xxh3_64_intdigest(piece) == checksum:
            yield start, piece
        position += stored
        start += size


class BlockHasher:
    """The xxh3-64 of every block of `BLOCK_SIZE` bytes in a region of the file that is still growing.

    Parameters
    ----------
    start : int
        First byte of the region.
    """

    def __init__(self, start: int) -> None:
        self.position = start
        self.finished: list[int] = []
        self._open = xxhash.xxh3_64()
        self._pending = False

    def update(self, data: memoryview) -> None:
        """Add the next bytes of the region."""
        while len(data):
            room = BLOCK_SIZE - self.position % BLOCK_SIZE
            part = data[:room]
            self._open.update(part)
            self._pending = True
            self.position += len(part)
            if len(part) == room:
                self._close_block()
            data = data[room:]

    def _close_block(self) -> None:
        self.finished.append(self._open.intdigest())
        self._open.reset()
        self._pending = False

    def digests(self) -> list[int]:
        """Return the checksums so far, including that of the unfinished block."""
        return [*self.finished, self._open.intdigest()] if self._pending else list(self.finished)


def field_summary(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the fields for a manifest: class name and encoding options."""
    return {
        name: {"type": type(field).__name__, **dict(field.options() if hasattr(field, "options") else {})}
        for name, field in fields.items()
    }


def add(contents: dict[str, bytes], extra: Mapping[str, bytes]) -> None:
    """Add a caller's sections to the writer's own.

    Raises
    ------
    OptionError
        A name is invalid or taken, or there are too many sections.
    """
    for name, content in extra.items():
        if problem := layout.name_problem(name):
            raise OptionError(f"section {name!r} {problem}")
        if name in contents:
            raise OptionError(f"section {name!r} is the writer's own")
        contents[name] = content
    if len(contents) > layout.MAX_SECTIONS:
        raise OptionError(f"{len(contents)} sections; a file holds {layout.MAX_SECTIONS}")


def place(
    contents: Mapping[str, bytes], superblock_at: int, data_start: int, data_end: int
) -> tuple[list[layout.Section], int]:
    """Find places for sections: in the gap before the payloads while they fit, the others after the payloads.

    Returns
    -------
    sections : list of Section
    end : int
        First byte after the payloads and the sections that follow them.
    """
    gap = superblock_at + layout.superblock_size(len(contents))
    tail = data_end
    placed = []
    for name, content in contents.items():
        offset = layout.align_up(gap, 8)
        fits = offset + len(content) <= data_start
        if not fits:
            offset = layout.align_up(tail, 8)
        placed.append(layout.Section(name, offset, len(content), xxhash.xxh3_64_intdigest(content)))
        if fits:
            gap = offset + len(content)
        else:
            tail = offset + len(content)
    return placed, tail

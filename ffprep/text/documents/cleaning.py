"""Raw bytes of a document to the text that is tokenised.

A document's text is its lines joined by a single newline, where

* invalid UTF-8 is replaced by U+FFFD; a leading byte order mark goes, and one of UTF-16 makes it read as
  UTF-16;
* NUL characters go;
* carriage returns, alone or before a newline, become newlines (U+0085, U+2028 and the like stay: they are
  text);
* lines that hold nothing but whitespace go, so there is no newline at the end either;
* whatever else is there stays, blanks at the ends of lines included.

Everything taken away or replaced is counted. A document of any size passes through in pieces, with the same
result.
"""

from __future__ import annotations

import codecs
import dataclasses
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ffprep.text.tokens.vocabulary import replace_surrogates

WHOLE = 1 << 20
"""Documents of up to this many bytes are cleaned in one go."""
PIECE = 1 << 16
"""Bytes of a longer document that are decoded at a time. The heap fills up with some hundred times as much: glibc
cannot use the room again that strings of ever new lengths leave between others."""
LONGEST_INDENT = 1 << 20
"""Whitespace at the start of a line beyond this many characters is taken for a blank line of its own."""


@dataclass
class Removed:
    """What cleaning took away or replaced.

    Attributes
    ----------
    nul : int
        NUL characters removed.
    invalid : int
        U+FFFD put in place of invalid bytes or lone surrogates.
    newlines : int
        Carriage returns that became, or merged into, newlines.
    blank_lines : int
        Lines removed because they held nothing but whitespace; the one after a final newline is not counted.
    bom : int
        Byte order marks removed.
    utf16 : int
        Documents read as UTF-16 because they start with its byte order mark.
    """

    nul: int = 0
    invalid: int = 0
    newlines: int = 0
    blank_lines: int = 0
    bom: int = 0
    utf16: int = 0

    def add(self, other: Removed) -> None:
        """Add another count to this one."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return dataclasses.asdict(self)


def clean(data: bytes, removed: Removed) -> str:
    """Text of a whole document.

    Parameters
    ----------
    data : bytes
        The document as it was found.
    removed : Removed
        Counts to add to.
    """
    if len(data) > WHOLE:
        return "".join(clean_pieces((data[i : i + WHOLE] for i in range(0, len(data), WHOLE)), removed))
    encoding, mark = _encoding(data)
    if mark:
        removed.bom += 1
        removed.utf16 += encoding != "utf-8"
        data = data[mark:]
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
        removed.invalid += text.count("\ufffd") - data.decode(encoding, "ignore").count("\ufffd")
    return _clean_lines(text, removed)


def clean_text(text: str, removed: Removed) -> str:
    """Text of a document that came as characters, from JSON or a table."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text, count = replace_surrogates(text)
        removed.invalid += count
    if text.startswith("\ufeff"):
        removed.bom += 1
        text = text[1:]
    return _clean_lines(text, removed)


def _encoding(head: bytes) -> tuple[str, int]:
    """Encoding and length of the byte order mark."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8", 3
    if head.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le", 2
    if head.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be", 2
    return "utf-8", 0


def _clean_lines(text: str, removed: Removed) -> str:
    if "\0" in text:
        removed.nul += text.count("\0")
        text = text.replace("\0", "")
    if "\r" in text:
        removed.newlines += text.count("\r")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    kept = [line for line in lines if line and not line.isspace()]
    removed.blank_lines += len(lines) - len(kept) - (not lines[-1])
    return "\n".join(kept)


def clean_pieces(pieces: Iterable[bytes], removed: Removed) -> Iterator[str]:
    """Text of a document that arrives in pieces of ``WHOLE`` bytes; joined, it is what :func:`clean` gives.

    At most one piece and ``LONGEST_INDENT`` characters are held.
    """
    text = _normalised(_decoded(pieces, removed), removed)
    return _without_blank_lines(text, removed)


def _decoded(pieces: Iterable[bytes], removed: Removed) -> Iterator[str]:
    source = (piece[i : i + PIECE] for piece in pieces for i in range(0, len(piece), PIECE))
    head = b""
    for piece in source:
        head += piece
        if len(head) >= 3:
            break
    encoding, mark = _encoding(head)
    if mark:
        removed.bom += 1
        removed.utf16 += encoding != "utf-8"
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    ignoring = codecs.getincrementaldecoder(encoding)("ignore")
    for piece in _then(head[mark:], source):
        text = decoder.decode(piece)
        removed.invalid += _invalid(text, ignoring, piece, False)
        yield text
    text = decoder.decode(b"", True)
    removed.invalid += _invalid(text, ignoring, b"", True)
    yield text


def _then(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def _invalid(text: str, ignoring: codecs.IncrementalDecoder, piece: bytes, final: bool) -> int:
    """How many U+FFFD of a piece's text are not in its bytes; the second decoder must see all pieces."""
    return text.count("\ufffd") - ignoring.decode(piece, final).count("\ufffd")


def _normalised(texts: Iterable[str], removed: Removed) -> Iterator[str]:
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    for text in texts:
        removed.nul += text.count("\0")
        text = text.replace("\0", "")
        removed.newlines += text.count("\r")
        yield newlines.decode(text)
    yield newlines.decode("", final=True)


def _without_blank_lines(texts: Iterable[str], removed: Removed) -> Iterator[str]:
    held = ""  # the current line's text so far, while that is whitespace alone
    inside = False  # whether the current line has shown something else
    started = False  # whether any line was given out
    for text in texts:
        if not text:
            continue
        lines = text.split("\n")
        out: list[str] = []
        for number, line in enumerate(lines):
            if number:
                removed.blank_lines += not inside
                held, inside = "", False
            if inside:
                out.append(line)
            elif line and not line.isspace():
                out += ["\n" if started else "", held, line]
                held, inside, started = "", True, True
            else:
                held += line
        if len(held) > LONGEST_INDENT:
            removed.blank_lines += 1
            held = ""
        yield "".join(out)
    removed.blank_lines += not inside and bool(held)

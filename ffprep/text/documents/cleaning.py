"""Turns the raw bytes of a document into the text that is tokenised.

The text consists of the document's lines, joined by single newlines, with these changes:

* Invalid UTF-8 is replaced by U+FFFD. A leading byte order mark is removed; a document that begins with one of UTF-16
  is read as UTF-16.
* NUL characters are removed.
* A carriage return, alone or before a newline, becomes a newline. (U+0085, U+2028 and the like are text and stay.)
* Lines of nothing but whitespace are removed, so that there is no newline at the end either.

Everything else stays, including blanks at the ends of lines. What is removed or replaced is counted. Large documents
are cleaned in pieces, with the same result.
"""

from __future__ import annotations

import codecs
import dataclasses
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from ffprep.text.tokens.vocabulary import replace_surrogates

WHOLE = 1 << 20
"""Documents of at most this many bytes are cleaned in one go."""
PIECE = 1 << 16
"""Bytes of a longer document that are decoded at a time. The heap grows to about a hundred times as much, because glibc
cannot reuse the gaps that strings of ever-changing lengths leave."""
LONGEST_INDENT = 1 << 20
"""If a line begins with more whitespace characters than this, they count as a blank line of their own."""


@dataclass
class Removed:
    """Counts of what cleaning removed or replaced.

    Attributes
    ----------
    nul : int
        NUL characters removed.
    invalid : int
        U+FFFD characters that replaced invalid bytes or lone surrogates.
    newlines : int
        Carriage returns that became newlines or were joined with one.
    blank_lines : int
        Removed lines of nothing but whitespace, not counting the empty one after a final newline.
    bom : int
        Byte order marks removed.
    utf16 : int
        Documents that were read as UTF-16 because they begin with its byte order mark.
    """

    nul: int = 0
    invalid: int = 0
    newlines: int = 0
    blank_lines: int = 0
    bom: int = 0
    utf16: int = 0

    def add(self, other: Removed) -> None:
        """Add the counts of `other`."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return dataclasses.asdict(self)


def clean(data: bytes, removed: Removed) -> str:
    """Clean a whole document.

    Parameters
    ----------
    data : bytes
        The document as it was found.
    removed : Removed
        The counts to add to.
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
    """Clean a document that came as a string, from JSON or a table."""
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
    """The encoding that a document's first bytes tell, and the length of their byte order mark."""
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
    """Clean a document that arrives in pieces of ``WHOLE`` bytes; joined, the result is that of :func:`clean`.

    At most one piece and ``LONGEST_INDENT`` characters are held in memory.
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
    for piece in chain([head[mark:]], source):
        text = decoder.decode(piece)
        removed.invalid += _invalid(text, ignoring, piece, False)
        yield text
    text = decoder.decode(b"", True)
    removed.invalid += _invalid(text, ignoring, b"", True)
    yield text


def _invalid(text: str, ignoring: codecs.IncrementalDecoder, piece: bytes, final: bool) -> int:
    """Number of U+FFFD in a piece's text that replace invalid bytes; `ignoring` must decode every piece as well."""
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
    held = ""  # the beginning of the current line, as long as it is whitespace only
    inside = False  # whether the current line has anything but whitespace so far
    started = False  # whether any line has been yielded
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

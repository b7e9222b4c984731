"""Sizes and durations as text for people, and text that is safe to show them."""

from __future__ import annotations

import re
from decimal import Decimal

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls of the terminal except newline and tab, separators of lines, directions of text, halves of characters."""

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?(?:([kmgt])(i?))?b?", re.IGNORECASE | re.ASCII)


def size_text(size: float) -> str:
    """A number of bytes for people: ``138.2 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def size_of(text: str) -> int:
    """Read a number of bytes as `size_text` writes it: ``1.5 GB``, ``500MB``, ``1GiB``, ``4096``.

    Raises
    ------
    ValueError
        The text is no such number, or it is less than one byte.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size; give bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB")
    power = "kmgt".find(found[2].lower()) + 1 if found[2] else 0
    size = int(Decimal(found[1]) * (1024 if found[3] else 1000) ** power)
    if size < 1:
        raise ValueError(f"{text!r} is less than one byte; give more")
    return size


def duration_text(seconds: float) -> str:
    """A length of time for people: ``2:03:09`` or ``4.2 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def counted(count: int, what: str) -> str:
    """A number of things: ``1 file``, ``1,200 files``."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def one_line(text: object) -> str:
    """Text such as a path for a line of a report: controls are spelled out, also newlines and tabs."""
    return printable(str(text)).replace("\n", "\\n").replace("\t", "\\t")


def printable(text: str) -> str:
    """Spell out everything that would control a terminal, as ``\\u001b`` for instance, which JSON understands too."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

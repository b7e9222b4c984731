"""Sizes and durations as text for people, and text that is safe to show them."""

from __future__ import annotations

import re

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls of the terminal except newline and tab, separators of lines, directions of text, halves of characters."""


def size_text(size: float) -> str:
    """A number of bytes for people: ``138.2 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


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

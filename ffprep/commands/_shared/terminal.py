"""What a command shows: text only, whatever names and captions contain."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from ffprep.common.formatting import printable


class PrintableStream:
    """A text stream that passes on text with controls spelled out; everything else is done by the stream itself.

    Parameters
    ----------
    stream : text stream

    Attributes
    ----------
    unfiltered : text stream
        The stream itself, for the controls of a progress bar.
    """

    encoding = "utf-8"  # of what it takes; a stream that is called ASCII is written to past this one by click

    def __init__(self, stream: TextIO) -> None:
        self.unfiltered = stream

    def write(self, text: str) -> int:
        """Write text, and return how many characters of it were taken."""
        kept = printable(text)
        spelling = getattr(self.unfiltered, "encoding", None) or "utf-8"
        self.unfiltered.write(kept.encode(spelling, "backslashreplace").decode(spelling))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Filter standard output and standard error, and show warnings as one line."""
    streams = sys.stdout, sys.stderr
    with warnings.catch_warnings():
        warnings.showwarning = _show
        sys.stdout, sys.stderr = (PrintableStream(stream) for stream in streams)  # type: ignore[assignment]
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    sys.stderr.write("ffprep: warning: " + " ".join(str(message).split()) + "\n")

"""Cuts long documents in places where this does not change their tokens.

GPT-2's tokenizer first splits a text into words and then merges bytes only within words. A word is a run of characters
of one class (letters, digits, others or whitespace); unless it is whitespace, one space may precede it. Therefore a
text may be cut between a character that is not whitespace and a space or newline. It may also be cut between characters
of two classes, if the first one is a letter or a digit. (After another character it may not: contractions such as
``'s`` begin with one.) Only a single word longer than a segment has to be cut inside; such cuts are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SEGMENT = 1 << 20
"""The most characters that are tokenised at a time. A single word of this length takes tiktoken 0.4 s and 50 MB."""
_WINDOW = 1 << 14
"""Characters that are searched for a change of class at a time."""

_CLASSES = re.compile(
    r"(?<=[A-Za-z])(?=[0-9!-/:-@\[-`{-~、。「」，！？；：])"
    r"|(?<=[0-9])(?=[A-Za-z!-/:-@\[-`{-~、。「」，！？；：])"
    r"|(?<=[\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3])(?=[0-9!-/:-@\[-`{-~、。「」，！？；：])"
)


@dataclass
class Cuts:
    """Number of cuts inside words, which are made when a word is longer than a segment."""

    inside_words: int = 0


def segments(pieces: Iterable[str], cuts: Cuts, size: int = SEGMENT) -> Iterator[str]:
    """Divide a document's text into segments whose tokens, one after the other, are the tokens of the whole text.

    Parameters
    ----------
    pieces : iterable of str
        The text, in pieces of any length.
    cuts : Cuts
        Counts the cuts that may change the tokens around them.
    size : int
        Length of the longest segment, in characters.
    """
    held: list[str] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length <= size:
            continue
        text = "".join(held)
        start = 0
        while length - start > size:
            end = boundary(text, start, start + size)
            if end <= start:
                end = start + size
                cuts.inside_words += 1
            yield text[start:end]
            start = end
        held, length = [text[start:]], length - start
    rest = "".join(held)
    if rest:
        yield rest


def boundary(text: str, start: int, stop: int) -> int:
    """The last position in ``(start, stop]`` where the text may be cut, or ``start`` if there is none.

    ``text[stop]`` must exist.
    """
    position = stop + 1
    while True:
        position = max(text.rfind(" ", start + 1, position), text.rfind("\n", start + 1, position))
        if position < 0:
            break
        if text[position - 1].isspace():
            position = start + len(text[start:position].rstrip())
        if position > start and text[position] in " \n\t":
            return position
    high = stop
    while high > start:
        low = max(start, high - _WINDOW)
        found = 0
        for match in _CLASSES.finditer(text, low, high + 1):
            if start < match.start() <= high:
                found = match.start()
        if found:
            return found
        high = low
    return start

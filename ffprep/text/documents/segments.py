"""Cutting long documents where the tokenizer cuts them anyway.

GPT-2's tokenizer first splits text into words, runs of one class (letters, digits, others, whitespace) of
which all but whitespace may start with one space, and merges bytes inside words only. So text may be cut,
without any effect on its tokens, between a character that is no whitespace and a space or newline, or
between two classes as long as the first is letters or digits (``'s`` and its like begin with a character of
the third). Only a single word longer than a segment has to be cut inside; such cuts are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SEGMENT = 1 << 20
"""Characters tokenised at a time. One word of this length takes tiktoken 0.4 s and 50 MB."""
_WINDOW = 1 << 14

_CLASSES = re.compile(
    r"(?<=[A-Za-z])(?=[0-9!-/:-@\[-`{-~、。「」，！？；：])"
    r"|(?<=[0-9])(?=[A-Za-z!-/:-@\[-`{-~、。「」，！？；：])"
    r"|(?<=[\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3])(?=[0-9!-/:-@\[-`{-~、。「」，！？；：])"
)


@dataclass
class Cuts:
    """Cuts that fell inside a word because it was longer than a segment."""

    inside_words: int = 0


def segments(pieces: Iterable[str], cuts: Cuts, size: int = SEGMENT) -> Iterator[str]:
    """A document's text in segments whose tokens, one after the other, are the tokens of the whole.

    Parameters
    ----------
    pieces : iterable of str
        The text, in pieces of any length.
    cuts : Cuts
        Counts cuts that may change the tokens around them.
    size : int
        Longest segment, in characters.
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
    """Last position in ``(start, stop]`` where the text may be cut; ``start`` when there is none.

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

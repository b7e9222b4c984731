"""One sample as a card of the page, and what a contact sheet has of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.common.formatting import size_text
from ffprep.common.html import data_uri, escaped
from ffprep.errors import DecodeError
from ffprep.inspect.pages.pictures import Picture, drawn, follows, picture_of
from ffprep.inspect.pages.values import Words

_LONGEST_ALT = 120
_DESCRIBING = ("label", "caption", "tokens")


@dataclass
class Card:
    """A sample as the page shows it.

    Attributes
    ----------
    title : str
    pictures : list of Picture
    rows : list of (str, str)
        Names of fields, and their values as HTML.
    words : list of str
        What the picture shows, as far as the file says.
    kind : str
        The class, as the page's list of classes names it; empty if there is none.
    documents : list of str
        The pieces of a block of tokens.
    links : list of str
        Where the original of each picture lies; empty texts where the page itself has it.
    """

    title: str
    pictures: list[Picture] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    kind: str = ""
    documents: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    @property
    def alt(self) -> str:
        """What stands for the picture where it cannot be seen."""
        return ", ".join([self.title, *self.words])[:_LONGEST_ALT]

    def html(self, number: int) -> str:
        """The card, as an element of the page."""
        shown = "".join(map(self._picture, self.pictures, self.links)) + self._block()
        rows = "".join(f"<dt>{escaped(name)}</dt><dd>{value}</dd>" for name, value in self.rows)
        kind = f' data-class="{escaped(self.kind)}"' if self.kind else ""
        title = escaped(self.title)
        return f'<article id="s{number}" tabindex="-1"{kind}><h2>{title}</h2>{shown}<dl>{rows}</dl></article>'

    def _picture(self, picture: Picture, link: str) -> str:
        alt = escaped(f"{picture.name} of {self.alt}")
        image = f'<img loading="lazy" alt="{alt}" src="{data_uri(picture.kind, picture.data)}">'
        if link:
            return f'<a class="open" href="{escaped(link)}" title="Open the original">{image}</a>'
        return f'<button class="open" type="button" title="Enlarge">{image}</button>'

    def _block(self) -> str:
        if not self.documents:
            return ""
        pieces = "".join(f'<span class="document">{escaped(piece)}</span>' for piece in self.documents)
        return f'<p class="block">{pieces}</p>'


def card_of(reader: Reader, index: int, words: Words, side: int | None, boxes: str) -> Card:
    """Make the card of one sample; what cannot be read is said on it."""
    card = Card(reader.sample_label(index))
    following = [name for name in reader.fields if follows(reader, name)]
    drawable = [name for name in following if int(reader.extents(name)[1][index])]
    image: Any = None
    for name, kind in reader.fields.items():
        if name in following:
            continue
        try:
            value = reader.value(name, index)
            if kind.type_id == 2:
                card.rows.append((name, escaped(_size(reader, name, index, value))))
                card.pictures.append(picture_of(name, value, side))
                image = value if image is None else image
                continue
        except DecodeError as error:
            card.rows.append(_bad(name, error))
            continue
        _add_value(card, words, name, value)
    for name in following:
        _add_following(card, reader, index, name)
    if drawable and image is not None:
        _draw(card, reader, index, image, drawable, words, boxes, side)
    return card


def block_card(index: int, tokens: np.ndarray[Any, Any], words: Words) -> Card:
    """Make the card of one block of tokens."""
    card = Card(f"block {index}")
    pieces = words.documents(tokens)
    if pieces is None:
        card.rows.append(("tokens", escaped(words.value("tokens", tokens))))
    else:
        card.documents = pieces
        whole = len(pieces) - 1
        card.rows.append(("documents", "a part of one" if not whole else f"parts of {len(pieces)}"))
    return card


def _size(reader: Reader, name: str, index: int, value: Any) -> str:
    record = reader.column(name)[index]
    size = int(value.nbytes) if isinstance(value, np.ndarray) else len(value)
    return f"{record['width']} x {record['height']} px, {size_text(size)}"


def _add_value(card: Card, words: Words, name: str, value: Any) -> None:
    text = words.value(name, value)
    card.rows.append((name, escaped(text)))
    if name in _DESCRIBING:
        card.words.append(f"{name} {text}")
    if name == "label" and isinstance(value, int):
        card.kind = text


def _add_following(card: Card, reader: Reader, index: int, name: str) -> None:
    size = int(reader.extents(name)[1][index])
    card.rows.append((name, f"drawn into the image, {size_text(size)}" if size else "none"))


def _draw(
    card: Card, reader: Reader, index: int, image: Any, names: list[str], words: Words, boxes: str, side: int | None
) -> None:
    """Put the drawing in the place of the plain image, which is a click away."""
    good = []
    for name in names:
        try:
            drawn(reader, index, np.zeros((1, 1, 3), np.uint8), [name], words.label, boxes, 1)  # can it be read?
            good.append(name)
        except DecodeError as error:
            card.rows = [_bad(name, error) if row[0] == name else row for row in card.rows]
    picture = drawn(reader, index, image, good, words.label, boxes, side) if good else None
    if picture is not None:
        card.pictures[0] = picture


def _bad(name: str, error: Exception) -> tuple[str, str]:
    return name, f'<span class="bad">{escaped(str(error))}</span>'

"""Contact sheets: the samples or a figure of the page as one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ffprep.common.files.replacing import write_file
from ffprep.common.formatting import printable
from ffprep.common.html import JPEG, PNG, encoded
from ffprep.errors import OptionError
from ffprep.inspect.pages.cards import Card
from ffprep.inspect.pages.figures import SIDE, Figure

_CELL, _GAP, _LINE = 192, 8, 15
_LARGEST = 60_000_000  # pixels of a sheet
_INK, _PAPER = "#222222", "#ffffff"


def check_sheet_name(path: Path) -> None:
    """Refuse a name that does not say which kind of picture to write.

    Raises
    ------
    OptionError
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise OptionError(f"{path}: give a name that ends in .png or .jpg, for the picture")


def write_sheet(
    path: Path, title: str, cards: Sequence[Card], figures: Sequence[Figure], *, overwrite: bool = True
) -> None:
    """Write the pictures of cards, or those of figures, as a picture in rows: PNG, or JPEG if the name says so.

    Raises
    ------
    OptionError
        There is nothing to draw, too much, or another file that may not be replaced.
    """
    check_sheet_name(path)
    sheet = _figures(figures) if figures else _cards(title, [card for card in cards if card.pictures])
    kind = PNG if path.suffix.lower() == ".png" else JPEG
    write_file(path, encoded(sheet, kind, 88), overwrite=overwrite)


def _new(width: int, height: int) -> tuple[Any, Any, Any]:
    from PIL import Image, ImageDraw, ImageFont

    if width * height > _LARGEST:
        raise OptionError(f"a picture of {width:,} x {height:,} pixels is too large: show fewer samples (--count)")
    sheet = Image.new("RGB", (width, height), _PAPER)
    return sheet, ImageDraw.Draw(sheet), ImageFont.load_default(12)


def _cards(title: str, cards: Sequence[Card]) -> Any:
    from PIL import Image

    if not cards:
        raise OptionError(f"{title}: has no pictures to put on a sheet")
    across = max(1, min(8, round((1.5 * len(cards)) ** 0.5)))
    down = -(-len(cards) // across)
    step = (_CELL + _GAP, _CELL + 2 * _LINE + _GAP)
    sheet, draw, font = _new(across * step[0] + _GAP, down * step[1] + _GAP)
    for number, card in enumerate(cards):
        x, y = (_GAP + (number % across) * step[0], _GAP + (number // across) * step[1])
        with Image.open(io.BytesIO(card.pictures[0].data)) as image:
            small = image.convert("RGB")
        small.thumbnail((_CELL, _CELL))
        sheet.paste(small, (x + (_CELL - small.width) // 2, y + (_CELL - small.height) // 2))
        for line, text in enumerate([card.title, " ".join(card.words)]):
            draw.text((x, y + _CELL + line * _LINE), _fitting(text, font), fill=_INK, font=font)
    return sheet


def _figures(figures: Sequence[Figure]) -> Any:
    from PIL import Image

    across = min(13, max(len(images) for figure in figures for _, images in figure.rows))
    step = SIDE + 4
    lines = sum(1 + len(figure.rows) for figure in figures)
    down = sum(-(-len(images) // across) for figure in figures for _, images in figure.rows)
    width = max(across * step + _GAP, 480)
    sheet, draw, font = _new(width, lines * (_LINE + _GAP) + down * step + _GAP)
    heading = font.font_variant(size=15)
    y = _GAP
    for figure in figures:
        draw.text((_GAP, y), printable(figure.title), fill=_INK, font=heading)
        y += _LINE + _GAP
        for note, images in figure.rows:
            draw.text((_GAP, y), printable(note), fill=_INK, font=font)
            y += _LINE + _GAP
            for number, (_, pixels) in enumerate(images):
                place = (_GAP + number % across * step, y + number // across * step)
                sheet.paste(Image.fromarray(pixels), place)
            y += -(-len(images) // across) * step
    return sheet


def _fitting(text: str, font: Any) -> str:
    """As much of a text as fits below a picture, on one line."""
    shown = " ".join(printable(text).split())[:60]
    if font.getlength(shown) <= _CELL:
        return shown
    while shown and font.getlength(f"{shown}...") > _CELL:
        shown = shown[:-1]
    return f"{shown}..."

"""Bar charts as SVG, which scales and follows a page's colours, or as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffprep.common.files.replacing import write_file
from ffprep.common.formatting import printable
from ffprep.common.html import PNG, encoded, escaped
from ffprep.errors import OptionError
from ffprep.inspect.histograms import Histogram

COLOURS = ("#3b78b5", "#e08a2e", "#5a9e5a", "#b8514f", "#8669ad", "#7d6a5c", "#8a8a8a")
_WIDTH, _ROW, _LEFT, _RIGHT, _FONT = 720, 20, 210, 130, 12
_SCALE = 2  # pixels of a PNG for a unit of the SVG
_INK, _PAPER = "#222222", "#ffffff"


@dataclass(frozen=True)
class Bar:
    """One bar of a chart.

    Attributes
    ----------
    label : str
    parts : sequence of float
        Lengths of its parts, one after another.
    text : str
        What is written behind it.
    """

    label: str
    parts: Sequence[float]
    text: str


@dataclass(frozen=True)
class Chart:
    """Bars under a title.

    Attributes
    ----------
    title, note : str
    bars : sequence of Bar
    legend : sequence of str
        What the parts of bars are, if they have several.
    """

    title: str
    bars: Sequence[Bar]
    note: str = ""
    legend: Sequence[str] = ()

    @property
    def height(self) -> int:
        """Units that it takes."""
        return _ROW * (len(self.bars) + 2 + bool(self.note) + bool(self.legend))


def histogram_chart(one: Histogram) -> Chart:
    """A histogram as a chart."""
    bars = [Bar(label, [count], f"{count:,}") for label, count in zip(one.labels, one.counts, strict=True)]
    return Chart(one.title, bars, one.note)


class _Svg:
    """Elements of an SVG image, coloured by classes of the page, or by attributes where it stands alone."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, number: int) -> None:
        place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        self.parts.append(f'<rect {place} fill="{COLOURS[number % len(COLOURS)]}"/>')

    def text(self, x: float, y: float, text: str, anchor: str = "start", bold: bool = False) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escaped(text)}</text>')


class _Png:
    """The same, drawn by Pillow."""

    def __init__(self, height: int) -> None:
        from PIL import Image, ImageDraw, ImageFont

        self.image = Image.new("RGB", (_WIDTH * _SCALE, height * _SCALE), _PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(_FONT * _SCALE)

    def box(self, x: float, y: float, width: float, height: float, number: int) -> None:
        corners = [round(value * _SCALE) for value in (x, y, x + width, y + height)]
        if corners[2] > corners[0]:
            self.draw.rectangle((*corners[:2], corners[2] - 1, corners[3] - 1), fill=COLOURS[number % len(COLOURS)])

    def text(self, x: float, y: float, text: str, anchor: str = "start", bold: bool = False) -> None:
        place = (x * _SCALE, y * _SCALE)
        kind = {"start": "ls", "end": "rs"}[anchor]
        self.draw.text(
            place, printable(text), fill=_INK, font=self.font, anchor=kind, stroke_width=int(bold), stroke_fill=_INK
        )


def _paint(canvas: Any, chart: Chart, top: float) -> None:
    y = top + _ROW
    canvas.text(4, y - 6, chart.title, bold=True)
    if chart.note:
        y += _ROW
        canvas.text(4, y - 6, chart.note)
    if chart.legend:
        y += _ROW
        x = 4.0
        for number, name in enumerate(chart.legend):
            canvas.box(x, y - 15, 10, 10, number)
            canvas.text(x + 14, y - 6, name)
            x += 24 + 7.2 * len(name)
    longest = max((sum(bar.parts) for bar in chart.bars), default=0) or 1
    room = _WIDTH - _LEFT - _RIGHT
    for bar in chart.bars:
        y += _ROW
        label = bar.label if len(bar.label) <= 30 else f"{bar.label[:27]}..."
        canvas.text(_LEFT - 8, y - 5, label, "end")
        x = float(_LEFT)
        for number, part in enumerate(bar.parts):
            width = max(0.0, part) / longest * room
            canvas.box(x, y - _ROW + 3, width, _ROW - 6, number)
            x += width
        canvas.text(x + 6, y - 5, bar.text)


def svg_of(charts: Sequence[Chart], *, alone: bool = True, name: str = "") -> str:
    """The charts, one below the other, as an SVG image.

    Parameters
    ----------
    charts : sequence of Chart
    alone : bool
        Whether it is a file of its own, on white; else an element of a page, in the colour of its text.
    name : str
        What the image shows, for those who do not see it.
    """
    canvas, height = _Svg(), sum(chart.height for chart in charts)
    top = 0
    for chart in charts:
        _paint(canvas, chart, top)
        top += chart.height
    ink = _INK if alone else "currentColor"
    paper = f'<rect width="100%" height="100%" fill="{_PAPER}"/>' if alone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escaped(name or charts[0].title)}" font-family="sans-serif" font-size="{_FONT}" fill="{ink}">'
        f"{paper}{''.join(canvas.parts)}</svg>"
    )


def write_charts(path: Path, charts: Sequence[Chart], *, overwrite: bool = True) -> None:
    """Write charts as an image, by the file's name: ``.svg`` or ``.png``.

    Raises
    ------
    OptionError
        The name has another end, there is nothing to show, or another file may not be replaced.
    """
    check_image_name(path)
    if not charts:
        raise OptionError(f"{path}: there is nothing to draw: no sizes, lengths or classes")
    if path.suffix.lower() == ".svg":
        write_file(path, svg_of(charts) + "\n", overwrite=overwrite)
        return
    canvas = _Png(sum(chart.height for chart in charts))
    top = 0
    for chart in charts:
        _paint(canvas, chart, top)
        top += chart.height
    write_file(path, encoded(canvas.image, PNG), overwrite=overwrite)


def check_image_name(path: Path) -> None:
    """Refuse a name that does not say which image is meant.

    Raises
    ------
    OptionError
    """
    if path.suffix.lower() not in (".svg", ".png"):
        raise OptionError(f"{path}: give a name that ends in .svg or .png, for the image to draw")

"""The page around cards and figures: one file that loads nothing and runs nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ffprep.common.html import JPEG, data_uri, encoded, escaped
from ffprep.inspect.charts import histogram_chart, svg_of
from ffprep.inspect.histograms import Histogram
from ffprep.inspect.pages.cards import Card
from ffprep.inspect.pages.figures import Figure

_HERE = Path(__file__).parent
_KEYS = "Keys: / search, j and k next and previous sample, Enter enlarge, arrows in the large view, Esc close."


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def page_of(
    title: str,
    facts: str,
    cards: Sequence[Card],
    histograms: Sequence[Histogram] = (),
    figures: Sequence[Figure] = (),
) -> str:
    """Return the page.

    Its policy lets it show its own pictures in its own style and run its own script, and nothing else even if a name or
    a caption got past the escaping.

    Parameters
    ----------
    title, facts : str
        Plain text.
    cards : sequence of Card
    histograms : sequence of Histogram
    figures : sequence of Figure
    """
    style, script = ((_HERE / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}; script-src {_hash(script)}"
    )
    shown = "\n".join(card.html(number) for number, card in enumerate(cards))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>{escaped(title)}</title>'
        '<link rel="icon" href="data:,">'
        f"<style>{style}</style></head>\n<body><h1>{escaped(title)}</h1>\n"
        f"<details open><summary>The file</summary><pre>{escaped(facts)}</pre></details>\n"
        + _charts(histograms)
        + "".join(map(_figure, figures))
        + (_bar(cards) + f"<main>\n{shown}\n</main>" if cards else "")
        + f"\n<script>{script}</script></body></html>\n"
    )


def _charts(histograms: Sequence[Histogram]) -> str:
    if not histograms:
        return ""
    drawn = "".join(svg_of([histogram_chart(one)], alone=False, name=f"{one.title}: {one.note}") for one in histograms)
    return f'<details open><summary>Histograms</summary><div class="charts">{drawn}</div></details>\n'


def _bar(cards: Sequence[Card]) -> str:
    kinds = Counter(card.kind for card in cards if card.kind)
    options = "".join(
        f'<option value="{escaped(kind)}">{escaped(kind)}: {count}</option>'
        for kind, count in sorted(kinds.items(), key=_order)
    )
    chooser = ""
    if len(kinds) > 1:
        chooser = f'<label>Class <select id="kind"><option value="">all</option>{options}</select></label>'
    return (
        '<div class="bar" role="search" hidden>'
        '<label>Search <input id="search" type="search" placeholder="name, class, caption, width&gt;500"></label>'
        f'{chooser}<output id="count" aria-live="polite"></output></div>\n<p class="note">{_KEYS}</p>\n'
    )


def _order(item: tuple[str, int]) -> tuple[int, str]:
    number = item[0].partition(" ")[0]
    return (int(number) if number.isdecimal() else 0, item[0])


def _figure(figure: Figure) -> str:
    rows = ""
    for note, images in figure.rows:
        pictures = "".join(
            f'<img loading="lazy" alt="{escaped(alt)}" src="{data_uri(JPEG, encoded(pixels, JPEG, 80))}">'
            for alt, pixels in images
        )
        rows += f'<p class="note">{escaped(note)}</p><div class="strip">{pictures}</div>'
    return f"<figure><figcaption>{escaped(figure.title)}</figcaption>{rows}</figure>\n"

"""Some samples of a .beton file as a self-contained HTML page."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.beton.checksums import open_checked
from ffprep.beton.reader import Reader
from ffprep.beton.sets import SetFile
from ffprep.common.formatting import printable, size_text
from ffprep.common.replacing import write_file
from ffprep.errors import DecodeError, FfprepError, OptionError
from ffprep.inspect.info import describe_set, info_text
from ffprep.text.blocks.blocks import source_facts
from ffprep.text.tokens.vocabulary import Vocabulary, from_manifest

_LONGEST = 600  # characters of a value shown
_LONGEST_ALT = 120
MANY, SIDE = 100, 256
"""With more samples than `MANY`, pictures are shrunk to `SIDE` pixels, so that a page of 2,000 stays below 30 MB."""
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em; color: #222; background: #fafafa }
pre { background: #fff; border: 1px solid #ddd; border-radius: 6px; padding: 1em; overflow-x: auto }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 1.2em }
article { background: #fff; border: 1px solid #ddd; border-radius: 6px; padding: .8em; overflow-wrap: anywhere }
img { max-width: 100%; max-height: 320px; display: block; margin: 0 auto .5em }
h2 { font-size: 1em; margin: 0 0 .5em } dt { color: #777; font-size: .85em } dd { margin: 0 0 .4em }
.bad { color: #b00 }
@media (max-width: 600px) { body { margin: .8em } main { grid-template-columns: 1fr } }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #161616 }
  pre, article { background: #222; border-color: #444 }
  dt { color: #999 } .bad { color: #f77 }
}
"""
_POLICY = (
    "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode('ascii')}'"
)
"""What the page may do: show its own pictures in its own style, even if a name or caption got past the escaping."""


def write_preview(
    path: Path | Sequence[SetFile],
    out: Path,
    *,
    count: int = 24,
    indices: Sequence[int] | None = None,
    seed: int | None = None,
    side: int | None = None,
    overwrite: bool = True,
) -> int:
    """Write the page.

    Parameters
    ----------
    path : Path, or sequence of SetFile
        The .beton file, or those of a set.
    out : Path
        The HTML file to make.
    count : int
        Samples to show, spread evenly over the file.
    indices : sequence of int, optional
        The samples to show instead.
    seed : int, optional
        Choose `count` samples at random instead, with this seed.
    side : int, optional
        Shrink pictures whose longer side has more pixels; by default to 256 where more than 100 samples are shown.
    overwrite : bool
        Whether another file at `out` may be replaced; the same page is left.

    Returns
    -------
    int
        Number of samples on the page.
    """
    files = [SetFile(path)] if isinstance(path, Path) else list(path)
    facts = describe_set(files)
    total = facts["samples"]
    if indices is None and seed is not None:
        chosen = sorted(np.random.default_rng(seed).choice(total, min(count, total), replace=False).tolist())
    elif indices is None:
        chosen = np.unique(np.linspace(0, max(0, total - 1), min(count, total)).astype(int)).tolist()
    else:
        chosen = list(indices)
        wrong = next((index for index in chosen if not 0 <= index < total), None)
        if wrong is not None:
            raise OptionError(f"{facts['path']}: has no sample {wrong}; there are {total:,}, from 0")
    if side is None and len(chosen) > MANY:
        side = SIDE
    sizes = [one["samples"] for one in facts.get("files", [facts])]
    starts = np.cumsum([0, *sizes])
    cards = []
    readers: dict[int, Reader] = {}
    with contextlib.ExitStack() as stack:
        for index in chosen:
            file = int(np.searchsorted(starts, index, side="right")) - 1
            if file not in readers:
                readers[file] = stack.enter_context(open_checked(files[file]))
            cards.append(_card(readers[file], index - int(starts[file]), side))
    page = _page(Path(facts["path"]).name, info_text(facts), cards)
    write_file(out, page, overwrite=overwrite)
    return len(cards)


def _page(title: str, facts: str, cards: Iterable[str]) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{_escaped(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{_escaped(title)}</h1>\n<pre>{_escaped(facts)}</pre>\n"
        "<main>\n" + "\n".join(cards) + "\n</main></body></html>\n"
    )


def _card(reader: Reader, index: int, side: int | None) -> str:
    pictures, rows, words = [], [], [reader.sample_label(index)]
    for name, field in reader.fields.items():
        try:
            value = reader.value(name, index)
        except DecodeError as error:
            rows.append(_row(name, f'<span class="bad">{_escaped(str(error))}</span>'))
            continue
        if field.type_id == 2:
            record = reader.column(name)[index]
            pictures.append((name, value))
            rows.append(_row(name, f"{record['width']} x {record['height']} px, {size_text(_nbytes(value))}"))
        else:
            text = _text(reader, name, value)
            rows.append(_row(name, _escaped(text)))
            if name in ("label", "caption", "tokens"):
                words.append(f"{name} {text}")
    alt = ", ".join(words)[:_LONGEST_ALT]
    shown = "".join(_picture(f"{name} of {alt}", value, side) for name, value in pictures)
    return f"<article><h2>{_escaped(words[0])}</h2>{shown}<dl>{''.join(rows)}</dl></article>"


def _escaped(text: str) -> str:
    """Text for HTML, its controls spelled out: those that turn its direction would count in a browser as well."""
    return html.escape(printable(text))


def _row(name: str, content: str) -> str:
    return f"<dt>{_escaped(name)}</dt><dd>{content}</dd>"


def _picture(alt: str, value: Any, side: int | None) -> str:
    kind, data = "jpeg", b"" if isinstance(value, np.ndarray) else bytes(value)
    if side is not None:
        data = _thumbnail(value, side) or data
    elif isinstance(value, np.ndarray):
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(value).save(buffer, "PNG")
        kind, data = "png", buffer.getvalue()
    text = base64.b64encode(data).decode("ascii")
    return f'<img loading="lazy" alt="{_escaped(alt)}" src="data:image/{kind};base64,{text}">'


def _thumbnail(value: Any, side: int) -> bytes:
    """A JPEG with at most `side` pixels a side, or nothing if Pillow cannot read the picture."""
    from PIL import Image

    try:
        with Image.fromarray(value) if isinstance(value, np.ndarray) else Image.open(io.BytesIO(value)) as image:
            image.draft("RGB", (side, side))
            small = image.convert("RGB")
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=75)
    except (OSError, ValueError, Image.DecompressionBombError):
        return b""
    return buffer.getvalue()


def _nbytes(value: Any) -> int:
    return int(value.nbytes) if isinstance(value, np.ndarray) else len(value)


def _decoded(reader: Reader, tokens: np.ndarray[Any, Any]) -> str | None:
    """The text of tokens, with special tokens spelled out except padding; None if the vocabulary is not known."""
    try:
        vocabulary = from_manifest(source_facts(reader).get("vocabulary"))
        rows = tokens.reshape(-1, tokens.shape[-1])[: 1 + _LONGEST // tokens.shape[-1]]
        texts = [vocabulary.decode(_unpadded(row, vocabulary), specials=True) for row in rows]
    except (FfprepError, ValueError):
        return None
    return " / ".join(texts)


def _unpadded(row: np.ndarray[Any, Any], vocabulary: Vocabulary) -> np.ndarray[Any, Any]:
    """A row without the padding at its end; where the mark of the end serves as padding, one is kept."""
    filled = np.flatnonzero(row != vocabulary.pad)
    return row[: (int(filled[-1]) + 1 if len(filled) else 0) + (vocabulary.pad == vocabulary.eos)]


def _text(reader: Reader, name: str, value: Any) -> str:
    if isinstance(value, int) and name == "label":
        return _label(reader, value)
    if isinstance(value, bytes):
        text = _readable(value)
    elif isinstance(value, np.ndarray) and name == "tokens" and (words := _decoded(reader, value)) is not None:
        text = words
    elif isinstance(value, np.ndarray):
        text = f"{value.dtype}{list(value.shape)} {np.array2string(value, threshold=60, separator=' ')}"
    elif isinstance(value, (int, float)):
        text = str(value)
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _label(reader: Reader, value: int) -> str:
    source = (reader.manifest or {}).get("source")
    classes = source.get("classes") if isinstance(source, dict) else None
    if isinstance(classes, list) and 0 <= value < len(classes):
        return f"{value} ({classes[value]})"
    return str(value)


def _readable(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return f"{len(value):,} bytes: {value[:64].hex(' ')}{' ...' if len(value) > 64 else ''}"

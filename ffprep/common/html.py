"""HTML made of what files say: text that stays text, and pictures that lie in the page itself."""

from __future__ import annotations

import base64
import html
import io
import warnings
from typing import Any

import numpy as np

from ffprep.common.formatting import printable

JPEG, PNG = "jpeg", "png"


def escaped(text: str) -> str:
    """Text for HTML, its controls spelled out: those that turn its direction would count in a browser as well."""
    return html.escape(printable(text))


def data_uri(kind: str, data: bytes) -> str:
    """An image as a URI that holds it; `kind` is ``jpeg`` or ``png``."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def encoded(picture: Any, kind: str = JPEG, quality: int = 80) -> bytes:
    """A Pillow image, or pixels (height, width, 3) of uint8, as the bytes of a file."""
    from PIL import Image

    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    buffer = io.BytesIO()
    if kind == JPEG:
        image.convert("RGB").save(buffer, "JPEG", quality=quality)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def opened(value: Any, side: int | None = None) -> Any:
    """A picture's pixels as a Pillow image of RGB, or None if they cannot be read.

    Parameters
    ----------
    value : bytes or ndarray
        A file, or pixels (height, width, 3) of uint8.
    side : int, optional
        Shrink it to at most so many pixels a side. A JPEG is then decoded no larger than need be.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files in a .beton file have passed the limit on pixels
            with Image.fromarray(value) if isinstance(value, np.ndarray) else Image.open(io.BytesIO(value)) as image:
                if side is not None:
                    image.draft("RGB", (side, side))
                small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if side is not None:
        small.thumbnail((side, side))
    return small

"""Pictures of a sample: shrunk, with its masks, boxes and keypoints drawn into them, and the original."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.common.formatting import printable
from ffprep.common.html import JPEG, PNG, encoded, opened
from ffprep.errors import DecodeError
from ffprep.fields.dense import MaskField, VariableArrayField
from ffprep.fields.dense.masks import HEAD

DRAWN = 640
"""Pixels a side of a picture into which masks or boxes are drawn."""
_MOST = 300  # boxes and keypoints drawn in one picture
_IGNORED = 255
_BACKGROUND = ("background", "__background__", "unlabeled", "void")
_ARITHMETIC = range(0xC9, 0xD0)  # frame headers of arithmetic-coded JPEGs


@dataclass(frozen=True)
class Picture:
    """One picture of a sample.

    Attributes
    ----------
    name : str
        Of its field, or what was drawn into it.
    data : bytes
        What the page shows, a file of `kind`.
    kind : {'jpeg', 'png'}
    original : bytes
        The image as it is stored, a file of `original_kind`; empty if `data` is the same.
    original_kind : {'jpeg', 'png'}
    """

    name: str
    data: bytes
    kind: str
    original: bytes = b""
    original_kind: str = JPEG


def picture_of(name: str, value: Any, side: int | None) -> Picture:
    """The picture of an image: shrunk to `side` pixels if that is given, else as it is stored.

    Raises
    ------
    DecodeError
        No picture can be made of it.
    """
    raw = isinstance(value, np.ndarray)
    if side is None and not raw and not _is_arithmetic(value):
        return Picture(name, bytes(value), JPEG)
    if side is None:
        image = opened(value)
        if image is None:
            raise DecodeError("it cannot be shown")
        kind = PNG if raw else JPEG
        return Picture(name, encoded(image, kind, 92), kind)
    image = opened(value, side)
    if image is None:
        raise DecodeError("it cannot be shown")
    return Picture(name, encoded(image, JPEG, 70), JPEG, *original_of(value))


def original_of(value: Any) -> tuple[bytes, str]:
    """An image's own bytes as a file that browsers know, and its kind."""
    return (encoded(value, PNG), PNG) if isinstance(value, np.ndarray) else (bytes(value), JPEG)


def _is_arithmetic(data: bytes) -> bool:
    """Whether a JPEG is one that no browser decodes."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _ARITHMETIC and marker != 0xCC:
            return True
        if marker == 0xDA or 0xC0 <= marker <= 0xC3:
            return False
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return False


# -- what goes with an image ---------------------------------------------------------------------------


def follows(reader: Reader, name: str) -> bool:
    """Whether a field is drawn into the image: a mask, boxes, or keypoints."""
    field = reader.fields[name]
    if isinstance(field, MaskField):
        return True
    if not isinstance(field, VariableArrayField) or field.dtype.kind not in "iuf":
        return False
    boxes = field.shape == (4,) and "box" in name
    return boxes or (len(field.shape) == 2 and field.shape[1] in (2, 3) and "keypoint" in name)


def drawn(
    reader: Reader, index: int, image: Any, names: list[str], label: Callable[[int], str], boxes: str, side: int | None
) -> Picture | None:
    """The image with everything of `names` drawn into it, or None if it cannot be decoded.

    Parameters
    ----------
    reader : Reader
    index : int
        The sample.
    image : bytes or ndarray
        Its image.
    names : list of str
        Fields of which `follows` is true.
    label : callable
        Says what a class is called.
    boxes : {'xyxy', 'xywh', 'cxcywh'}
        How boxes are stored.
    side : int, optional
        Pixels a side of the picture, `DRAWN` by default.

    Raises
    ------
    DecodeError
        A value of the fields cannot be read, or is not of this image.
    """
    canvas = opened(image, side or DRAWN)
    if canvas is None:
        return None
    width, height = _stored_size(reader, index)
    scale = (canvas.width / width, canvas.height / height)
    for name in names:
        if isinstance(reader.fields[name], MaskField):
            canvas = _with_mask(canvas, _mask(reader, name, index, (height, width)), label)
    for name in names:
        if isinstance(reader.fields[name], MaskField):
            continue
        rows = np.nan_to_num(np.asarray(reader.value(name, index), np.float64)[:_MOST], posinf=0, neginf=0)
        if "box" in name:
            _draw_boxes(canvas, _corners(rows, boxes), scale, _labels(reader, index, label))
        else:
            _draw_points(canvas, rows, scale)
    return Picture(", ".join(names), encoded(canvas, JPEG, 80), JPEG, *original_of(image))


def _stored_size(reader: Reader, index: int) -> tuple[int, int]:
    name = next(name for name, field in reader.fields.items() if field.type_id == 2)
    record = reader.column(name)[index]
    return max(1, int(record["width"])), max(1, int(record["height"]))


def _mask(reader: Reader, name: str, index: int, size: tuple[int, int]) -> npt.NDArray[Any]:
    """A mask that has its image's size; others are not even decoded."""
    head = reader.payload(name, index)[:HEAD].tobytes()
    own = tuple(int(side) for side in np.frombuffer(head, "<u4", 2, 8)) if len(head) == HEAD else (0, 0)
    if own != size:
        raise DecodeError(
            f"{reader.path}: {reader.sample_label(index)}, field {name!r}: the mask has {own[1]} x {own[0]} pixels, "
            f"its image {size[1]} x {size[0]}"
        )
    value: npt.NDArray[Any] = reader.value(name, index)
    return value


def colour(number: int) -> tuple[int, int, int]:
    """A colour for a class; those of neighbouring numbers differ."""
    red, green, blue = colorsys.hsv_to_rgb((0.02 + number * 0.618034) % 1, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _with_mask(canvas: Any, mask: npt.NDArray[Any], label: Callable[[int], str]) -> Any:
    rows = np.arange(canvas.height) * mask.shape[0] // canvas.height
    columns = np.arange(canvas.width) * mask.shape[1] // canvas.width
    small = mask[rows][:, columns]
    values, places = np.unique(small, return_inverse=True)
    background = any(name in label(0).lower() for name in _BACKGROUND)
    table = np.array([colour(int(value)) for value in values], np.float64)
    shown = np.array([value != _IGNORED and not (background and value == 0) for value in values])
    places = places.reshape(small.shape)
    pixels = np.asarray(canvas, np.float64)
    mixed = np.where(shown[places][..., None], 0.45 * pixels + 0.55 * table[places], pixels)
    from PIL import Image

    return Image.fromarray(mixed.round().astype(np.uint8))


def _corners(rows: npt.NDArray[np.float64], form: str) -> npt.NDArray[np.float64]:
    x, y, third, fourth = rows.T if len(rows) else np.zeros((4, 0))
    if form == "xywh":
        return np.stack([x, y, x + third, y + fourth], 1)
    if form == "cxcywh":
        return np.stack([x - third / 2, y - fourth / 2, x + third / 2, y + fourth / 2], 1)
    return rows


def _labels(reader: Reader, index: int, label: Callable[[int], str]) -> list[tuple[int, str]]:
    """Class and name of each box, if there is a field of them."""
    field = reader.fields.get("labels")
    if not isinstance(field, VariableArrayField) or field.shape or field.dtype.kind not in "iu":
        return []
    numbers = np.asarray(reader.value("labels", index))[:_MOST].tolist()
    return [(number, label(number)) for number in numbers]


def _draw_boxes(
    canvas: Any, boxes: npt.NDArray[np.float64], scale: tuple[float, float], labels: list[tuple[int, str]]
) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    far = 4 * max(canvas.size)
    for number, box in enumerate(boxes):
        x0, x1 = sorted(np.clip(box[0::2] * scale[0], -far, far).tolist())
        y0, y1 = sorted(np.clip(box[1::2] * scale[1], -far, far).tolist())
        kind, text = labels[number] if number < len(labels) else (number, "")
        draw.rectangle((x0, y0, x1, y1), outline=colour(kind), width=2)
        if text:
            text = (
                printable(text.replace("\n", " ").replace("\t", " "))[:40]
                .encode("latin-1", "replace")
                .decode("latin-1")
            )
            place = (max(0.0, x0) + 3, max(0.0, y0) + 1)
            draw.rectangle(draw.textbbox(place, text), fill=(0, 0, 0))
            draw.text(place, text, fill=colour(kind))


def _draw_points(canvas: Any, rows: npt.NDArray[np.float64], scale: tuple[float, float]) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    far = 4 * max(canvas.size)
    for number, points in enumerate(rows):
        for point in points[:_MOST]:
            if len(point) > 2 and point[2] <= 0:  # not annotated
                continue
            x, y = np.clip(point[:2] * np.array(scale), -far, far).tolist()
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour(number), outline=(0, 0, 0))

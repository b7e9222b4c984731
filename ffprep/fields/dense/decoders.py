"""Decoders of what goes with an image: they follow its crop, flip and other geometry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.fields.decoders import Decoder

FORMATS = ("xyxy", "xywh", "cxcywh")


class Boxes(NamedTuple):
    """Boxes of a batch.

    Attributes
    ----------
    boxes : float32 array or tensor of shape (batch, count, 4)
        Padded with zeros.
    mask : bool array or tensor of shape (batch, count)
        True where there is a box.
    """

    boxes: Any
    mask: Any


class VariableArrayDecoder(Decoder):
    """Arrays of a `VariableArrayField`: a `Ragged` of data (batch, count, *shape), padded, and lengths (batch,).

    Parameters
    ----------
    count : int, optional
        Rows of each array; longer ones are cut. By default as many as the longest array of the file has.
    fill : int
        Value after the end.
    """

    type_ids: ClassVar[tuple[int, ...]] = (3,)

    def __init__(self, count: int | None = None, fill: int = 0) -> None:
        self.count = _count(count)
        self.fill = int(fill)


class TargetDecoder(Decoder):
    """Base class of decoders that follow an image: ``PipelineSpec("mask", MaskDecoder(), draws="image")``.

    What they give fits the image of the output that ``draws`` names: it went through the same crop, flip and geometric
    operations, with the same random draws.
    """

    type_ids: ClassVar[tuple[int, ...]] = (3,)


class MaskDecoder(TargetDecoder):
    """Label masks of the image's output size, (batch, height, width), resized to the nearest label.

    Parameters
    ----------
    dtype : numpy dtype, optional
        Of the result: uint8, uint16, int32 or int64, which ``torch.nn.CrossEntropyLoss`` takes. By default as stored.
    fill : int
        Label of what lies outside the image, where an operation shows that; 255 is usual for pixels that are ignored.

    Notes
    -----
    Labels are chosen as ``torchvision.transforms.v2`` chooses them for a ``Mask``: output pixel x shows source pixel
    ``floor(x * scale)``.
    """

    def __init__(self, dtype: npt.DTypeLike | None = None, fill: int = 0) -> None:
        self.dtype = None if dtype is None else np.dtype(dtype)
        if self.dtype is not None and self.dtype.name not in ("uint8", "uint16", "int32", "int64"):
            raise OptionError(f"MaskDecoder cannot give {self.dtype}; choose uint8, uint16, int32 or int64")
        if int(fill) != fill or not 0 <= fill <= 65535:
            raise OptionError(f"fill is {fill}; give a label from 0 to 65535")
        self.fill = int(fill)

    def __repr__(self) -> str:
        return f"MaskDecoder({self.dtype}, fill={self.fill})"


class BoxesDecoder(TargetDecoder):
    """Boxes of each image, clipped to what its output shows: a `Boxes` of (boxes, mask).

    Boxes of which too little is left are dropped, as by ``torchvision.transforms.v2.SanitizeBoundingBoxes``; those that
    stay keep their order.

    Parameters
    ----------
    count : int, optional
        Boxes of a row, the first ones; by default as many as the sample with the most boxes has.
    format : {'xyxy', 'xywh', 'cxcywh'}
        What the result holds, in pixels of the output.
    stored : {'xyxy', 'xywh', 'cxcywh'}
        What the file holds, in pixels of the image: a `VariableArrayField` of float32 (4,).
    min_size, min_area : float
        Least width and height, and area, of a box that is kept, in pixels of the output.
    """

    def __init__(
        self,
        count: int | None = None,
        format: str = "xyxy",
        stored: str = "xyxy",
        min_size: float = 1.0,
        min_area: float = 1.0,
    ) -> None:
        self.count = _count(count)
        for value, name in ((format, "format"), (stored, "stored")):
            if value not in FORMATS:
                raise OptionError(f"{name} is {value!r}; choose {', '.join(FORMATS)}")
        if not (0 <= min_size < np.inf and 0 <= min_area < np.inf):
            raise OptionError(f"min_size is {min_size}, min_area {min_area}; give finite numbers from 0")
        self.format, self.stored = format, stored
        self.min_size, self.min_area = float(min_size), float(min_area)

    def __repr__(self) -> str:
        return f"BoxesDecoder({self.count}, {self.format!r}, stored={self.stored!r})"


class BoxValuesDecoder(TargetDecoder):
    """One value for each box that a `BoxesDecoder` keeps, such as its label: (batch, count).

    ``PipelineSpec("labels", BoxValuesDecoder(fill=-1), draws="boxes")`` goes with the boxes of the output ``boxes``.

    Parameters
    ----------
    fill : int
        Value where there is no box.
    """

    def __init__(self, fill: int = -1) -> None:
        self.fill = int(fill)

    def __repr__(self) -> str:
        return f"BoxValuesDecoder(fill={self.fill})"


class KeypointsDecoder(TargetDecoder):
    """Keypoints (x, y, visibility), float32: (batch, count, points, 3).

    Following boxes (``draws="boxes"``) it gives those of the boxes that are kept; following an image, all rows. Points
    that the output does not show get visibility 0 and keep their coordinates.

    Parameters
    ----------
    count : int, optional
        Rows; following boxes, as many as there are boxes. By default as many as the sample with the most rows has.
    swap : sequence of (int, int)
        Points that change places when the image is mirrored, such as left and right eye.
    """

    def __init__(self, count: int | None = None, swap: Sequence[tuple[int, int]] = ()) -> None:
        self.count = _count(count)
        self.swap = [(int(a), int(b)) for a, b in swap]

    def __repr__(self) -> str:
        return f"KeypointsDecoder({self.count}, swap={self.swap})"


def _count(count: int | None) -> int | None:
    if count is not None and (int(count) != count or count < 1):
        raise OptionError(f"count is {count}; give a whole number from 1")
    return None if count is None else int(count)

"""Mosaic: four samples of a batch in one image, with their masks, boxes and the boxes' values."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.common.seeds import signed
from ffprep.errors import OptionError
from ffprep.fields.decoders import size_pair
from ffprep.fields.dense import Boxes
from ffprep.fields.dense.decoders import FORMATS
from ffprep.kernels.random import uniforms
from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms.bases.transform import Transform, is_tensor, probability
from ffprep.transforms.image import channels_last

STREAM = zlib.crc32(b"mosaic") & 0x7FFFFFFF
PARTS = 4
"""Samples of an image: its own in the upper left, then those one, two and three places before it in the batch."""


class Mosaic:
    """Four samples in one image, around a point that is drawn: YOLO's mosaic, cut to the size of one image.

    Bochkovskiy, Wang, Liao, "YOLOv4: Optimal Speed and Accuracy of Object Detection", 2020. Each quarter shows the
    corner of its image that touches the point, at the image's own scale; give images a random scale before, with
    `ScaleJitterRGBImageDecoder`.

    Put ``.images``, ``.masks``, ``.boxes`` and ``.values`` of one object into the pipelines of the images, of what
    `ffprep.fields.dense.MaskDecoder`, `BoxesDecoder` and `BoxValuesDecoder` give. They work on whole batches, so
    operations on levels come before. Keypoints have none.

    Parameters
    ----------
    size : int or (height, width)
        Of the images.
    p : float
        Probability that a sample becomes a mosaic.
    format : {'xyxy', 'xywh', 'cxcywh'}
        Of the boxes in the batch.
    min_size, min_area : float
        Boxes of which less is left on a side, or of the area, are dropped.

    Attributes
    ----------
    images, masks : Transform
    boxes : Transform
        `Boxes` with four times as many places: those of each quarter after one another.
    values : Transform
        Four times as many values, in the same places.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        p: float = 1.0,
        format: str = "xyxy",
        min_size: float = 1.0,
        min_area: float = 1.0,
    ) -> None:
        self.size = size_pair(size)
        self.p = probability(p, "p")
        if format not in FORMATS:
            raise OptionError(f"format is {format!r}; choose from {', '.join(FORMATS)}")
        self.format, self.min_size, self.min_area = format, float(min_size), float(min_area)
        self.images, self.masks = _Pictures(self, "images"), _Pictures(self, "masks")
        self.boxes, self.values = _Boxes(self), _Values(self)

    def points(self, batch: BatchInfo) -> npt.NDArray[np.int64]:
        """Return the point (row, column) of each sample, shape (batch, 2).

        It is uniform in the image; in the lower right corner where the sample stays alone.
        """
        ids, key = np.ascontiguousarray(batch.keys, np.int64), (signed(batch.seed), batch.epoch)
        drawn = np.stack([uniforms(*key, ids, STREAM, k) for k in (1, 2)], axis=1)
        points = (drawn * (np.array(self.size) + 1)).astype(np.int64)
        points[uniforms(*key, ids, STREAM, 0) >= self.p] = self.size
        found: npt.NDArray[np.int64] = points
        return found

    def __repr__(self) -> str:
        return f"Mosaic({self.size}, p={self.p:g}, format={self.format!r})"


class _Part(Transform):
    any_device: ClassVar[bool] = True
    name: str

    def __init__(self, mosaic: Mosaic) -> None:
        self.mosaic = mosaic

    def __repr__(self) -> str:
        return f"{self.mosaic!r}.{self.name}"


class _Pictures(_Part):
    def __init__(self, mosaic: Mosaic, name: str) -> None:
        super().__init__(mosaic)
        self.name = name

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        self._check(form.height, form.width)
        return None

    def _check(self, height: int, width: int) -> None:
        if (height, width) != self.mosaic.size:
            raise OptionError(f"{self!r} got images of {height}x{width}; give it their size")

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        first = 1 if len(x.shape) == 3 or channels_last(x) else 2
        height, width = int(x.shape[first]), int(x.shape[first + 1])
        self._check(height, width)
        out = x.clone() if is_tensor(x) else x.copy()
        before = (slice(None),) * (first - 1)
        for i, (row, column) in enumerate(self.mosaic.points(batch).tolist()):
            for part in range(PARTS):
                down = slice(0, row) if part < 2 else slice(row, height)
                across = slice(0, column) if part % 2 == 0 else slice(column, width)
                # The corner that touches the point: its last rows above the point, its first rows below.
                from_down = slice(height - row, height) if part < 2 else slice(0, height - row)
                from_across = slice(width - column, width) if part % 2 == 0 else slice(0, width - column)
                target, source = (*before, down, across), (*before, from_down, from_across)
                out[i][target] = x[(i - part) % len(x)][source]
        return out


class _Boxes(_Part):
    name = "boxes"

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        if not isinstance(x, Boxes):
            raise OptionError(f"{self!r} works on what BoxesDecoder gives, not on {type(x).__name__}")
        given = Boxes(*(np.asarray(part.cpu() if is_tensor(part) else part) for part in x))
        made = self._merge(corners(given.boxes, self.mosaic.format), given.mask, self.mosaic.points(batch))
        boxes = of_corners(made.boxes, self.mosaic.format) * made.mask[..., None]
        if not is_tensor(x.boxes):
            return Boxes(boxes, made.mask)
        import torch

        device = x.boxes.device
        return Boxes(torch.from_numpy(boxes).to(device), torch.from_numpy(made.mask).to(device))

    def _merge(self, boxes: npt.NDArray[Any], mask: npt.NDArray[np.bool_], points: npt.NDArray[np.int64]) -> Boxes:
        height, width = self.mosaic.size
        parts, masks = [], []
        row, column = points[:, :1].astype(np.float32), points[:, 1:].astype(np.float32)
        for part in range(PARTS):
            own, there = np.roll(boxes, part, 0), np.roll(mask, part, 0)
            left, right = (0 * column, column) if part % 2 == 0 else (column, 0 * column + width)
            top, bottom = (0 * row, row) if part < 2 else (row, 0 * row + height)
            x, y = (column - width if part % 2 == 0 else column), (row - height if part < 2 else row)
            moved = np.stack(
                [
                    np.clip(own[..., 0] + x, left, right),
                    np.clip(own[..., 1] + y, top, bottom),
                    np.clip(own[..., 2] + x, left, right),
                    np.clip(own[..., 3] + y, top, bottom),
                ],
                axis=-1,
            )
            w, h = moved[..., 2] - moved[..., 0], moved[..., 3] - moved[..., 1]
            least, area = self.mosaic.min_size, self.mosaic.min_area
            parts.append(moved)
            masks.append(there & (w >= least) & (h >= least) & (w * h >= area))
        return Boxes(np.concatenate(parts, 1).astype(np.float32), np.concatenate(masks, 1))


class _Values(_Part):
    name = "values"

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        if is_tensor(x):
            import torch

            return torch.cat([x.roll(part, 0) for part in range(PARTS)], 1)
        return np.concatenate([np.roll(x, part, 0) for part in range(PARTS)], 1)


def corners(boxes: npt.NDArray[Any], form: str) -> npt.NDArray[Any]:
    """Return boxes of a format as two corners, shape (..., 4)."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if form == "cxcywh":
        return np.concatenate([first - second / 2, first + second / 2], -1)
    return boxes if form == "xyxy" else np.concatenate([first, first + second], -1)


def of_corners(boxes: npt.NDArray[Any], form: str) -> npt.NDArray[Any]:
    """Return boxes given as two corners in another format, shape (..., 4)."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if form == "cxcywh":
        return np.concatenate([(first + second) / 2, second - first], -1)
    return boxes if form == "xyxy" else np.concatenate([first, second - first], -1)

"""A file of pictures with masks, boxes and keypoints, and slow twins of what torchvision v2 does to these."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ffprep.beton.writing.writer import Writer
from ffprep.fields import IntField, MaskField, RGBImageField, VariableArrayField
from ffprep.kernels.random import uniforms

COUNT = 24
POINTS = 3


def size_of(i: int) -> tuple[int, int]:
    """Height and width of picture i."""
    return 40 + 17 * i % 61, 48 + 23 * i % 53


def mask_of(i: int, dtype: str = "uint8") -> NDArray[Any]:
    """Blocks of labels with a noisy corner; every seventh mask is all noise."""
    rng = np.random.default_rng(i)
    height, width = size_of(i)
    coarse = rng.integers(0, 5, (4, 5)).astype(np.uint8)
    mask = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST)).astype(dtype)
    mask[:5, :7] = rng.integers(0, 200, (5, 7))
    return rng.integers(0, 256, (height, width)).astype(dtype) if i % 7 == 3 else mask


def boxes_of(i: int) -> NDArray[np.float32]:
    """Some boxes (x1, y1, x2, y2) inside picture i; none in every fifth."""
    rng = np.random.default_rng(1000 + i)
    height, width = size_of(i)
    count = 0 if i % 5 == 4 else 1 + i % 6
    x, y = np.sort(rng.random((count, 2)) * width, 1), np.sort(rng.random((count, 2)) * height, 1)
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1).astype(np.float32)


def labels_of(i: int) -> NDArray[np.int64]:
    return 100 * i + np.arange(len(boxes_of(i)))


def keypoints_of(i: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(2000 + i)
    height, width = size_of(i)
    points = rng.random((len(boxes_of(i)), POINTS, 3)) * (width, height, 1)
    points[:, :, 2] = 1 + np.arange(POINTS)
    return points.astype(np.float32)


def picture_of(i: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(3000 + i)
    height, width = size_of(i)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def write_dense(path: Path, dtype: str = "uint8") -> Path:
    fields: dict[str, Any] = {
        "image": RGBImageField("raw"),
        "mask": MaskField(dtype),
        "boxes": VariableArrayField("float32", (4,)),
        "labels": VariableArrayField("int64"),
        "keypoints": VariableArrayField("float32", (POINTS, 3)),
        "depth": RGBImageField("raw"),
        "number": IntField(),
    }
    with Writer(path, fields, COUNT) as writer:
        for i in range(COUNT):
            values = picture_of(i), mask_of(i, dtype), boxes_of(i), labels_of(i), keypoints_of(i), picture_of(i), i
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])
    return path


class Draw:
    """The draws of one image."""

    def __init__(self, seed: int, epoch: int, sample: int) -> None:
        self.key = seed, epoch, np.array([sample])

    def __call__(self, stream: int, k: int) -> float:
        return float(uniforms(*self.key, stream, k)[0])


def random_crop(draw: Draw, stream: int, size: tuple[int, int], scale: Any, ratio: Any) -> tuple[int, int, int, int]:
    """torchvision's ``RandomResizedCrop.get_params``: (top, left, height, width)."""
    height, width = size
    for t in range(10):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * draw(stream, 2 * t))
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + (high - low) * draw(stream, 2 * t + 1))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(draw(stream, 20) * (height - h + 1)), int(draw(stream, 21) * (width - w + 1)), h, w
    h, w, own = height, width, width / height
    if own < ratio[0]:
        h = round(w / ratio[0])
    elif own > ratio[1]:
        w = round(h * ratio[1])
    return (height - h) // 2, (width - w) // 2, h, w


def nearest(source: int, target: int) -> NDArray[np.int64]:
    """Source places of torch's ``interpolate(mode='nearest')``."""
    if target == source:
        return np.arange(target)
    if target == 2 * source:
        return np.arange(target) // 2
    scale = np.float32(source) / np.float32(target)
    return np.minimum(np.floor(np.arange(target, dtype=np.float32) * scale).astype(int), source - 1)


class Scene:
    """A mask, boxes and keypoints, and torchvision v2's operations on them."""

    def __init__(self, i: int) -> None:
        self.mask: NDArray[Any] = mask_of(i)
        self.boxes = boxes_of(i).astype(np.float64)
        self.points = keypoints_of(i).astype(np.float64)
        self.mirrored = False

    def clip(self) -> None:
        height, width = self.mask.shape
        self.boxes[:, 0::2] = self.boxes[:, 0::2].clip(0, width)
        self.boxes[:, 1::2] = self.boxes[:, 1::2].clip(0, height)

    def pad(self, left: int, top: int, right: int, bottom: int, fill: int) -> None:
        self.mask = np.pad(self.mask, ((top, bottom), (left, right)), constant_values=fill)
        self.boxes += [left, top, left, top]
        self.points += [left, top, 0]

    def crop(self, top: int, left: int, height: int, width: int) -> None:
        self.mask = self.mask[top : top + height, left : left + width]
        self.boxes -= [left, top, left, top]
        self.points -= [left, top, 0]
        self.clip()

    def resize(self, height: int, width: int) -> None:
        h, w = self.mask.shape
        self.mask = self.mask[nearest(h, height)][:, nearest(w, width)]
        self.boxes *= [width / w, height / h] * 2
        self.points *= [width / w, height / h, 1]

    def flip(self, axis: int) -> None:
        side = self.mask.shape[1 - axis]
        self.mask = self.mask[:, ::-1] if axis == 0 else self.mask[::-1]
        self.boxes[:, [axis, 2 + axis]] = side - self.boxes[:, [2 + axis, axis]]
        self.points[:, :, axis] = side - 1 - self.points[:, :, axis]
        self.mirrored = not self.mirrored

    def project(self, m: NDArray[np.float64], kind: Image.Transform, fill: int) -> None:
        """Show through a map from the result to the source: six or eight numbers, as Pillow takes them."""
        height, width = self.mask.shape
        image = Image.fromarray(np.ascontiguousarray(self.mask))
        self.mask = np.asarray(
            image.transform((width, height), kind, list(m), Image.Resampling.NEAREST, fillcolor=fill)
        )
        matrix = np.linalg.inv(np.append(np.append(m, [0, 0] if len(m) == 6 else []), 1).reshape(3, 3))

        def sent(points: NDArray[np.float64]) -> NDArray[np.float64]:
            out = np.concatenate([points, np.ones((*points.shape[:-1], 1))], -1) @ matrix.T
            return np.asarray(out[..., :2] / out[..., 2:])

        corners = sent(self.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]])
        self.boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
        self.points[:, :, :2] = sent(self.points[:, :, :2])
        self.clip()

    def kept(self, least: float = 1.0) -> NDArray[np.bool_]:
        w, h = self.boxes[:, 2] - self.boxes[:, 0], self.boxes[:, 3] - self.boxes[:, 1]
        return (w >= least) & (h >= least) & (w * h >= least)

"""Mixup and CutMix: each sample is mixed with the one before it in the batch, and the first with the last.

How a batch is mixed is drawn from the seed, the epoch and the batch's samples alone, so the transforms of the images
and of the labels agree although they are in different pipelines.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ffprep.common.seeds import signed
from ffprep.errors import OptionError
from ffprep.fields.decoders import size_pair
from ffprep.kernels.random import uniforms
from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms.bases.transform import Transform, is_tensor, probability
from ffprep.transforms.compiled.mix import DRAWS, betas, mix_floats, mix_levels, paste
from ffprep.transforms.image import channels_last

MIXUP_STREAM, CUTMIX_STREAM, CHOICE_STREAM = (
    zlib.crc32(name) & 0x7FFFFFFF for name in (b"mixup", b"cutmix", b"mixup or cutmix")
)


class Blend(NamedTuple):
    """How a batch is mixed.

    Attributes
    ----------
    share : ndarray of float64, shape (batch,)
        Share of the sample itself in its image and label; the rest comes from the other sample.
    boxes : ndarray of int64, shape (batch, 4), or None
        The box that comes from the other image: top, bottom, left, right. None: the images are added up.
    """

    share: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.int64] | None


class _Mixing:
    """A way of mixing batches, which the transforms of images and of labels share."""

    def draw(self, batch: BatchInfo) -> Blend:
        """Return how to mix this batch."""
        raise NotImplementedError

    def check(self, height: int, width: int) -> None:
        """Raise `OptionError` if images have another size than they must have."""


class _MixImages(Transform):
    any_device: ClassVar[bool] = True
    mixes: ClassVar[bool] = True

    def __init__(self, mixing: _Mixing) -> None:
        self.mixing = mixing

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        self.mixing.check(form.height, form.width)
        return None

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        height, width = x.shape[1:3] if channels_last(x) else x.shape[2:4]
        self.mixing.check(int(height), int(width))
        blend = self.mixing.draw(batch)
        if blend.boxes is not None:
            return _paste(x, blend.boxes)
        return _add_up(x, blend.share)

    def __repr__(self) -> str:
        return f"{self.mixing!r}.images"


class _MixLabels(Transform):
    light: ClassVar[bool] = True

    def __init__(self, mixing: _Mixing) -> None:
        self.mixing = mixing

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        labels = (x.numpy() if is_tensor(x) else x).reshape(len(x), -1)
        share = self.mixing.draw(batch).share
        if labels.shape[1] == 1:
            out = np.stack([labels[:, 0], np.roll(labels[:, 0], 1), share], axis=1).astype(np.float32)
        elif labels.dtype == np.float32:
            part = share.astype(np.float32)[:, None]
            out = part * labels + (1 - part) * np.roll(labels, 1, 0)
        else:
            raise OptionError(
                f"{self!r} mixes one label a sample, or float32 targets of several classes as MultiHot makes them; "
                f"this batch is {x.dtype} of shape {tuple(x.shape)}"
            )
        if not is_tensor(x):
            return out
        import torch

        return torch.from_numpy(out)

    def __repr__(self) -> str:
        return f"{self.mixing!r}.labels"


class Mixup(_Mixing):
    """Mixup for images and labels.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2017.

    Put ``.images`` into the images' pipeline and ``.labels`` into the labels'.

    Parameters
    ----------
    alpha : float
        Each image's own share is drawn from Beta(alpha, alpha).
    same_lambda : bool
        Draw once for the whole batch rather than for each sample.
    p : float
        Probability that a batch is mixed.

    Attributes
    ----------
    images : Transform
        ``share * image + (1 - share) * other``; uint8 images drop the fraction, as in ffcv.
    labels : Transform
        (batch, 3) float32: own label, other label, own share. `MixupToOneHot` turns them into class probabilities.
        Targets of several classes (`MultiHot`) are added up like the images and keep their shape.
    """

    def __init__(self, alpha: float, same_lambda: bool = True, p: float = 1.0) -> None:
        self.alpha = _positive(alpha, "alpha")
        self.same_lambda = bool(same_lambda)
        self.p = probability(p, "p")
        self.images, self.labels = _MixImages(self), _MixLabels(self)

    def draw(self, batch: BatchInfo) -> Blend:
        ids = np.ascontiguousarray(batch.keys, np.int64)
        one, key = ids[-1:], (signed(batch.seed), batch.epoch)
        if self.p < 1 and uniforms(*key, one, MIXUP_STREAM, 2 * DRAWS)[0] >= self.p:
            return Blend(np.ones(len(ids)), None)
        share = betas(self.alpha, *key, one if self.same_lambda else ids, MIXUP_STREAM)
        return Blend(np.broadcast_to(share, (len(ids),)), None)

    def __repr__(self) -> str:
        return f"Mixup({self.alpha:g}, same_lambda={self.same_lambda}, p={self.p:g})"


class CutMix(_Mixing):
    """CutMix for images and labels, with boxes drawn as in torchvision.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019.

    Put ``.images`` into the images' pipeline and ``.labels`` into the labels'.

    Parameters
    ----------
    alpha : float
        The box covers ``1 - share`` of the image, less what lies outside the image; the share is drawn from
        Beta(alpha, alpha).
    size : int or (height, width)
        Of the images at this place of the pipeline. The labels' shares follow from the exact areas of the boxes.
    p : float
        Probability that a batch is mixed.
    same_box : bool
        Draw one box for the whole batch rather than one for each sample.

    Attributes
    ----------
    images : Transform
    labels : Transform
        (batch, 3) float32: own label, other label, share of the pixels that are the image's own.
    """

    def __init__(self, alpha: float, size: int | Sequence[int], p: float = 1.0, same_box: bool = True) -> None:
        self.alpha = _positive(alpha, "alpha")
        self.size = size_pair(size)
        self.p = probability(p, "p")
        self.same_box = bool(same_box)
        self.images, self.labels = _MixImages(self), _MixLabels(self)

    def check(self, height: int, width: int) -> None:
        if (height, width) != self.size:
            raise OptionError(f"{self!r} got images of {height}x{width}; give it their size")

    def draw(self, batch: BatchInfo) -> Blend:
        ids = np.ascontiguousarray(batch.keys, np.int64)
        key = (signed(batch.seed), batch.epoch)
        if self.p < 1 and uniforms(*key, ids[-1:], CUTMIX_STREAM, 2 * DRAWS)[0] >= self.p:
            return Blend(np.ones(len(ids)), None)
        drawn = ids[-1:] if self.same_box else ids
        height, width = self.size
        half = 0.5 * np.sqrt(1.0 - betas(self.alpha, *key, drawn, CUTMIX_STREAM))
        y = (uniforms(*key, drawn, CUTMIX_STREAM, 2 * DRAWS + 1) * height).astype(np.int64)
        x = (uniforms(*key, drawn, CUTMIX_STREAM, 2 * DRAWS + 2) * width).astype(np.int64)
        rows, columns = (half * height).astype(np.int64), (half * width).astype(np.int64)
        edges = (y - rows, y + rows, x - columns, x + columns)
        limits = (height, height, width, width)
        boxes = np.stack([edge.clip(0, limit) for edge, limit in zip(edges, limits, strict=True)], axis=1)
        covered = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
        share = 1.0 - covered / (height * width)
        return Blend(np.broadcast_to(share, (len(ids),)), np.broadcast_to(boxes, (len(ids), 4)))

    def __repr__(self) -> str:
        return f"CutMix({self.alpha:g}, {self.size}, p={self.p:g}, same_box={self.same_box})"


class MixupOrCutMix(_Mixing):
    """Mixup or CutMix, chosen at random for each batch.

    Put ``.images`` into the images' pipeline and ``.labels`` into the labels'.

    Parameters
    ----------
    mixup : Mixup
    cutmix : CutMix
    cutmix_prob : float
        Probability of CutMix.
    """

    def __init__(self, mixup: Mixup, cutmix: CutMix, cutmix_prob: float = 0.5) -> None:
        self.mixup, self.cutmix = mixup, cutmix
        self.cutmix_prob = probability(cutmix_prob, "cutmix_prob")
        self.images, self.labels = _MixImages(self), _MixLabels(self)

    def check(self, height: int, width: int) -> None:
        self.cutmix.check(height, width)

    def draw(self, batch: BatchInfo) -> Blend:
        last = np.ascontiguousarray(batch.keys[-1:], np.int64)
        second = uniforms(signed(batch.seed), batch.epoch, last, CHOICE_STREAM, 0)[0] < self.cutmix_prob
        return (self.cutmix if second else self.mixup).draw(batch)

    def __repr__(self) -> str:
        return f"MixupOrCutMix({self.mixup!r}, {self.cutmix!r}, {self.cutmix_prob:g})"


class ImageMixup(_MixImages):
    """`Mixup` for images, under ffcv's name.

    Parameters
    ----------
    alpha : float
        Each image's own share is drawn from Beta(alpha, alpha).
    same_lambda : bool
        Draw once for the whole batch rather than for each sample.
    """

    def __init__(self, alpha: float, same_lambda: bool) -> None:
        super().__init__(Mixup(alpha, same_lambda))


class LabelMixup(_MixLabels):
    """`Mixup` for labels, under ffcv's name: (batch, 3) float32 of own label, other label, own share.

    Parameters
    ----------
    alpha, same_lambda
        The same as those of the `ImageMixup` that it belongs to.
    """

    def __init__(self, alpha: float, same_lambda: bool) -> None:
        super().__init__(Mixup(alpha, same_lambda))


class MixupToOneHot(Transform):
    """Turn mixed labels, (batch, 3) of own label, other label and own share, into probabilities (batch, classes).

    Parameters
    ----------
    num_classes : int

    Notes
    -----
    If both labels are the same class, its probability is 1; ffcv's transform makes it ``1 - share``.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise OptionError(f"num_classes is {num_classes}; there is at least one")
        self.num_classes = int(num_classes)

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        if len(x.shape) != 2 or x.shape[1] != 3:
            raise OptionError(f"{self!r} needs mixed labels (batch, 3), not {tuple(x.shape)}")
        if not is_tensor(x):
            rows = np.arange(len(x))
            out = np.zeros((len(x), self.num_classes), x.dtype)
            own, other = x[:, 0].astype(np.int64), x[:, 1].astype(np.int64)
            self._check(own, other)
            out[rows, own] += x[:, 2]
            out[rows, other] += 1 - x[:, 2]
            return out
        import torch

        labels = x[:, :2].long()
        if x.device.type == "cpu":
            self._check(labels[:, 0].numpy(), labels[:, 1].numpy())
        shares = torch.stack([x[:, 2], 1 - x[:, 2]], dim=1)
        probabilities = torch.zeros((len(x), self.num_classes), dtype=x.dtype, device=x.device)
        return probabilities.scatter_add_(1, labels, shares)

    def _check(self, *labels: npt.NDArray[np.int64]) -> None:
        for part in labels:
            if len(part) and not 0 <= part.min() <= part.max() < self.num_classes:
                wrong = part.max() if part.min() >= 0 else part.min()
                raise OptionError(f"{self!r}: there is a label {wrong}; num_classes must be larger than all labels")

    def __repr__(self) -> str:
        return f"MixupToOneHot({self.num_classes})"


def _positive(value: float, name: str) -> float:
    if not 0 < value < np.inf:
        raise OptionError(f"{name} is {value}; give a number above 0")
    return float(value)


def _by_kernel(x: Any) -> tuple[npt.NDArray[Any], Any] | None:
    """Return a batch on the CPU as a C-contiguous array, and the function that turns such an array into a batch again.

    Tensors with their channels last in memory become arrays with their channels last. Returns None for other devices.
    """
    if not is_tensor(x):
        return np.ascontiguousarray(x), lambda array: array
    import torch

    if x.device.type != "cpu":
        return None
    if x.dtype == torch.bfloat16:
        found = _by_kernel(x.view(torch.int16))
        return found and (found[0], lambda array: found[1](array).view(torch.bfloat16))
    if x.is_contiguous():
        return x.numpy(), torch.from_numpy
    rows = x.permute(0, 2, 3, 1)
    if not rows.is_contiguous():
        return np.ascontiguousarray(x.numpy()), torch.from_numpy
    return rows.numpy(), lambda array: torch.from_numpy(array).permute(0, 3, 1, 2)


def _add_up(x: Any, share: npt.NDArray[np.float64]) -> Any:
    """Return ``share * x + (1 - share) * (the image before)`` as new memory of x's kind and dtype."""
    share = np.array(share)
    found = _by_kernel(x)
    if found is not None and str(found[0].dtype) in ("uint8", "float32"):
        images, back = found
        kernel: Any = mix_levels if images.dtype == np.uint8 else mix_floats
        out = np.empty_like(images)
        kernel(images.reshape(len(images), -1), share, out.reshape(len(images), -1))
        return back(out)
    if not is_tensor(x):
        wider = x if x.dtype == np.float64 else x.astype(np.float32)
        part = share.astype(wider.dtype).reshape(-1, *[1] * (wider.ndim - 1))
        other = np.roll(wider, 1, 0)
        near_own, near_other = wider - (wider - other) * (1 - part), other + (wider - other) * part
        return np.where(part < 0.5, near_other, near_own).astype(x.dtype)  # torch.lerp's two ways to round
    import torch

    wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
    weight = torch.from_numpy(share).to(wide.device, wide.dtype).view(-1, 1, 1, 1)
    return torch.lerp(wide.roll(1, 0), wide, weight).to(x.dtype)


def _paste(x: Any, boxes: npt.NDArray[np.int64]) -> Any:
    """Return a copy of x in which a box of each image comes from the image before."""
    boxes = np.array(boxes)
    found = _by_kernel(x)
    if found is not None:
        images, back = found
        out = images.copy()
        last = channels_last(x) or out.shape[1:] != x.shape[1:]
        planes, width, pixel = (1, out.shape[2], out.shape[3]) if last else (out.shape[1], out.shape[3], 1)
        flat, target = (array.reshape(len(out), -1).view(np.uint8) for array in (images, out))
        paste(flat, boxes, planes, width, pixel * out.itemsize, target)
        return back(out)
    import torch

    last = channels_last(x)
    height, width = x.shape[1:3] if last else x.shape[2:4]
    box = torch.from_numpy(boxes).to(x.device)
    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    down = (rows >= box[:, :1]) & (rows < box[:, 1:2])
    across = (columns >= box[:, 2:3]) & (columns < box[:, 3:])
    inside = down[:, :, None] & across[:, None, :]
    return torch.where(inside[..., None] if last else inside[:, None], x.roll(1, 0), x)

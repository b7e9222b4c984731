"""Targets of several classes a sample."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ffprep.errors import OptionError
from ffprep.fields.decoders import Ragged
from ffprep.pipeline.form import BatchInfo
from ffprep.transforms.bases.transform import Transform, is_tensor


class MultiHot(Transform):
    """Turn lists of labels into float32 targets (batch, classes), 1 for each label of a sample and 0 elsewhere.

    It takes a `Ragged` of whole numbers, as a ``VariableArrayField("int64")`` gives, or rows padded with numbers below
    0, as `BoxValuesDecoder` does. Samples may have no label, or one twice. The result is what
    ``binary_cross_entropy_with_logits`` takes.

    Parameters
    ----------
    num_classes : int
    """

    light: ClassVar[bool] = True

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise OptionError(f"num_classes is {num_classes}; there is at least one")
        self.num_classes = int(num_classes)

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        data, lengths = x if isinstance(x, Ragged) else (x, None)
        tensor = is_tensor(data)
        labels = data.numpy() if tensor else data
        if labels.ndim != 2 or labels.dtype.kind not in "iu":
            raise OptionError(f"{self!r} takes rows of whole numbers, not {labels.dtype} of shape {labels.shape}")
        if lengths is None:
            present = labels >= 0
        else:
            present = np.arange(labels.shape[1]) < np.asarray(lengths)[:, None]
        wrong = present & ((labels < 0) | (labels >= self.num_classes))
        if wrong.any():
            row = int(np.flatnonzero(wrong.any(axis=1))[0])
            raise OptionError(
                f"{self!r}: sample {int(batch.ids[row])} has the label {labels[row][wrong[row]][0]}; labels are from 0 "
                f"to {self.num_classes - 1}"
            )
        out = np.zeros((len(labels), self.num_classes), np.float32)
        rows, places = np.nonzero(present)
        out[rows, labels[rows, places]] = 1
        if not tensor:
            return out
        import torch

        return torch.from_numpy(out)

    def __repr__(self) -> str:
        return f"MultiHot({self.num_classes})"

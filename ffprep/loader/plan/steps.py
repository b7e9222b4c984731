"""A step of a plan: one function that is applied to each finished batch of one output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.pipeline.form import BatchInfo
from ffprep.transforms.bases.transform import Transform
from ffprep.transforms.ops import ToDevice


@dataclass(frozen=True)
class Step:
    """One function that is applied to each batch of one output.

    Attributes
    ----------
    apply : callable of (batch, BatchInfo)
        Returns the batch for the next step.
    light : bool
        Cheap enough for the training thread.
    stream : int
        Random stream.
    label : str
        Name of the step in error messages.
    device : str or None
        Device to which the step moves the batch.
    """

    apply: Callable[[Any, BatchInfo], Any]
    light: bool
    stream: int
    label: str
    device: str | None = None

    def __call__(self, x: Any, batch: BatchInfo) -> Any:
        try:
            return self.apply(x, replace(batch, stream=self.stream))
        except Exception as error:
            note = f"in {self.label}, for a batch of samples {_first_few(batch.ids)} in epoch {batch.epoch}"
            if hasattr(error, "add_note"):
                error.add_note(note)
            raise


def transform_step(transform: Transform, stream: int, label: str) -> Step:
    """Return the step that applies a transform to batches."""
    if isinstance(transform, ToDevice):
        return Step(transform.apply, transform.target is None, stream, label, transform.target)
    return Step(transform.apply, transform.light, stream, label)


def make_step(item: Any, stream: int, output: str, stage: Callable[[Any, BatchInfo], Any] | None) -> Step:
    """Return the step for one entry of a pipeline.

    Parameters
    ----------
    item : Transform or operation
    stream : int
        Random stream.
    output : str
        Name of the pipeline's output, for messages.
    stage : OperationStage or None
        Runs the item if that is an operation.

    Raises
    ------
    OptionError
        The entry cannot be applied to a batch.
    """
    label = f"{item!r} of pipeline {output!r}"
    if stage is not None:
        return Step(stage, False, stream, label)
    if isinstance(item, Transform):
        return transform_step(item, stream, label)
    raise OptionError(f"pipeline {output!r} holds {item!r}, which is no transform, operation, torch module or function")


def _first_few(ids: npt.NDArray[np.int64]) -> str:
    shown = ", ".join(str(i) for i in ids[:3])
    return shown if len(ids) <= 3 else f"{shown}, ..."

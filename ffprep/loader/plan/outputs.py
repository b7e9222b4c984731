"""What a plan consists of: for each output its native operations, which workers run, and its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.fields.decoders import ImageDecoder
from ffprep.fields.dense import BoxesDecoder
from ffprep.loader.plan.steps import Step
from ffprep.pipeline.form import BatchInfo, ImageForm

Rows = tuple[tuple[int, ...], "np.dtype[Any]"]
"""Shape of one sample, and dtype, of an array that the workers fill."""


@dataclass(frozen=True)
class CaptionChoice:
    """Which captions an operation takes.

    Attributes
    ----------
    which : str
        ``all``, ``first`` or ``random``.
    columns : int
        Elements of a row of the batch: the most that any file stores.
    tokens : bool
        Whether it takes tokens rather than lengths.
    """

    which: str
    columns: int
    tokens: bool


@dataclass(frozen=True)
class Target:
    """What follows an image, and that image.

    Attributes
    ----------
    decoder : TargetDecoder
    form : ImageForm
        Of the image.
    image : ImageDecoder
    stream : int
        Random stream of the image's crop.
    field : str
        Of the image.
    boxes : (str, BoxesDecoder), optional
        Field and decoder of the boxes that this goes along with.
    sides : (int, int)
        Height and width of all of the images, where these are arrays of one shape.
    """

    decoder: Any
    form: ImageForm
    image: ImageDecoder
    stream: int
    field: str
    boxes: tuple[str, BoxesDecoder] | None
    sides: tuple[int, int] = (0, 0)

    def of_boxes(self, decoder: BoxesDecoder) -> Target:
        """Return what the boxes follow, that this goes along with."""
        return replace(self, decoder=decoder, boxes=None)


@dataclass(frozen=True)
class ArrayView:
    """What is shown of an image that is stored as an array.

    Attributes
    ----------
    decoder : ArrayImageDecoder
    form : ImageForm
        With the batch's dtype and layout.
    view : ImageDecoder
        Says which part is shown.
    stream : int
        Random stream of its crop.
    image : str, optional
        Field of the image that it follows.
    """

    decoder: Any
    form: ImageForm
    view: ImageDecoder
    stream: int
    image: str | None


@dataclass
class NativeOp:
    """An operation that the workers run on each sample: it fills that sample's row of one or two arrays.

    Attributes
    ----------
    kind : str
        ``value``, ``array``, ``tokens``, ``captions``, ``ragged``, ``image``, ``target`` or ``array_image``.
    field : str
        Field to read.
    rows : list of (shape, dtype)
        Arrays to fill: the values and, if the decoder asks for them, the lengths of ragged values.
    image : (ImageForm, ImageDecoder, int), for images
        The last is the random stream of the crop.
    fill : bytes
        One element of padding, for ragged values and captions.
    captions : CaptionChoice, for captions
    target : Target, for what follows an image
    array : ArrayView, for images that are stored as arrays
    """

    kind: str
    field: str
    rows: list[Rows]
    image: tuple[ImageForm, ImageDecoder, int] | None = None
    fill: bytes = b"\0"
    captions: CaptionChoice | None = None
    target: Target | None = None
    array: ArrayView | None = None


@dataclass
class Output:
    """The plan of one output, which is one member of the tuples that a loader yields.

    Attributes
    ----------
    name, source : str
        Its own name and that of its field.
    natives : tuple of NativeOp
        What the workers fill for it. Empty if a user's operation decodes the field, or if nothing has to be read.
    wrap : callable of (arrays, BatchInfo)
        Turns the filled arrays, whose first dimension counts rows, into what the first step takes.
    steps : list of Step
        Applied in this order.
    """

    name: str
    source: str
    natives: tuple[NativeOp, ...]
    wrap: Callable[[Sequence[npt.NDArray[Any]], BatchInfo], Any]
    steps: list[Step] = field(default_factory=list)

    @cached_property
    def heavy(self) -> int:
        """Number of steps, counted from the first, that run outside the training thread."""
        heavy = [i for i, step in enumerate(self.steps) if not step.light]
        return heavy[-1] + 1 if heavy else 0

    @cached_property
    def transfer(self) -> int | None:
        """Index of the step that moves the output to a device, if there is one."""
        return next((i for i, step in enumerate(self.steps) if step.device is not None), None)

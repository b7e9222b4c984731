"""What an image's operations are for its label mask, its boxes and keypoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep import abi
from ffprep.errors import OptionError
from ffprep.pipeline.form import ImageForm
from ffprep.transforms.image import ImageOp


def followers(form: ImageForm, what: str, fill: int = 0) -> list[tuple[ImageOp | None, int, tuple[int, int]]]:
    """Return what follows each of an image's operations, or None, its random stream and the size after it.

    Parameters
    ----------
    form : ImageForm
    what : {'labels', 'points'}
    fill : int
        Label of what lies outside the image.

    Raises
    ------
    OptionError
        Nothing can follow one of the operations.
    """
    size = form.rendered_size
    found = []
    for op, stream in form.ops:
        follower, before, size = op.follower(what, fill), size, op.size(*size)
        if follower is None and size != before:
            raise OptionError(f"{op!r} changes the size of images and does not say what follows it")
        found.append((follower, stream, size))
    return found


def build_followers(
    form: ImageForm, what: str, dtype: str = "uint8", fill: int = 0
) -> tuple[npt.NDArray[np.void], int, int, list[Any]]:
    """Return what follows the operations of an image.

    Parameters
    ----------
    form : ImageForm
    what : {'labels', 'points'}
    dtype : str
        Of labels.
    fill : int
        Label of what lies outside the image.

    Returns
    -------
    steps : array of ``abi.AUGMENTATION_STEP``
    largest : int
        Most pixels of an image before, between and after the steps.
    work : int
        Bytes that a step needs.
    owners : list
        Of the memory that the steps point into.
    """
    height, width = form.rendered_size
    largest, work = height * width, 0
    made: list[npt.NDArray[np.void]] = []
    owners: list[Any] = []
    for follower, stream, size in followers(form, what, fill):
        if follower is None:
            continue
        numbers = follower.numbers(height, width, dtype, 1)
        step = np.zeros(1, abi.AUGMENTATION_STEP)
        step["entry"], step["stream"], step["numbers"] = follower.entry(), stream, numbers.ctypes.data
        step["h"], step["w"], step["moves"] = height, width, int(follower.moves)
        step["out_h"], step["out_w"] = height, width = size
        owners += [numbers, follower]
        made.append(step)
        largest, work = max(largest, height * width), max(work, follower.work(height, width))
    steps = np.concatenate(made) if made else np.zeros(0, abi.AUGMENTATION_STEP)
    return steps, largest, work, [steps, *owners]

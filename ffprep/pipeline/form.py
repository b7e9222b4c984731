"""The form of the images that workers write, and the description of a batch that steps are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError

FUSED_DTYPES = ("uint8", "float32", "float16", "bfloat16")
"""dtypes of images that the workers can write."""


@dataclass(frozen=True)
class ImageForm:
    """The images of a batch after decoding, flip, operations, normalisation and layout, which are one pass.

    Each transform that can be folded into the pass changes the form of those before it; see `Transform.fuse`.

    Attributes
    ----------
    height, width : int
    dtype : str
        One of `FUSED_DTYPES`.
    planar : bool
        Stored as (channels, H, W) rather than (H, W, channels).
    channels_first : bool
        Has the shape (channels, H, W). If not ``planar``, that is torch's ``channels_last``.
    tensor : bool
        A torch tensor rather than a numpy array.
    flip : float or None
        Probability of a horizontal flip.
    flip_stream : int
        Random stream of the flip.
    mean, std : tuple of three floats, or None
        Of ``(v - mean) / std`` for levels v from 0 to 255; None writes v itself.
    device : str or None
        Device that normalises and lays out the images; None for the host.
    ops : tuple of (operation, random stream)
        Image operations, applied by the same thread to the rendered uint8 image before it is normalised.
    rendered : (height, width), or None
        Size before the first of these operations; None if there are none.
    channels : int
        3, or 1 for grey images.
    luma : bool
        Nothing needs the colours of the decoded image.
    """

    height: int
    width: int
    dtype: str = "uint8"
    planar: bool = False
    channels_first: bool = False
    tensor: bool = False
    flip: float | None = None
    flip_stream: int = 0
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    device: str | None = None
    ops: tuple[tuple[Any, int], ...] = ()
    rendered: tuple[int, int] | None = None
    channels: int = 3
    luma: bool = False

    @property
    def rendered_size(self) -> tuple[int, int]:
        """(height, width) of the image before any operation."""
        return self.rendered or (self.height, self.width)


@dataclass(frozen=True)
class BatchInfo:
    """What a step is told about its batch. Its randomness is a function of these numbers alone.

    Attributes
    ----------
    ids : ndarray of int64
        Sample numbers of the rows.
    epoch, seed : int
    stream : int
        Random stream of the step.
    mask : ndarray of bool, optional
        If the loader masks padding: whether a row is a sample rather than padding.
    draws : ndarray of int64, optional
        Keys of the rows' random draws, if they differ from `ids`; see `keys`.
    """

    ids: npt.NDArray[np.int64]
    epoch: int
    seed: int
    stream: int
    mask: npt.NDArray[np.bool_] | None = None
    draws: npt.NDArray[np.int64] | None = None

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """Keys of the rows' random draws, int64.

        They are the sample numbers, unless the order shows a sample more than once in an epoch: then each time has
        another key.
        """
        return self.ids if self.draws is None else self.draws


def dtype_name(dtype: Any) -> str:
    """Return the name that numpy and torch share for a dtype: ``float16`` for ``np.float16`` and ``torch.float16``.

    Raises
    ------
    OptionError
        It is neither a numpy nor a torch dtype.
    """
    text = str(dtype)
    if text.startswith("torch."):
        return text.removeprefix("torch.")
    if text == "bfloat16":
        return text
    try:
        if dtype is None:  # float64 to numpy
            raise TypeError
        return str(np.dtype(dtype).name)
    except TypeError:
        raise OptionError(f"{dtype!r} is not a numpy or torch dtype") from None


def torch_dtype(name: str) -> Any:
    """Return the torch dtype of a name."""
    import torch

    found = getattr(torch, {"bool": "bool"}.get(name, name), None)
    if not isinstance(found, torch.dtype):
        raise OptionError(f"torch has no dtype {name}")
    return found

"""What the fused image kernel is asked to write, and what a stage is told about its batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError

FUSED_DTYPES = ("uint8", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class ImageForm:
    """An image tensor as decoder, flip, normalisation and layout leave it, all done in one pass.

    Attributes
    ----------
    height, width : int
    dtype : str
        One of `FUSED_DTYPES`.
    planar : bool
        Stored (3, H, W) rather than (H, W, 3).
    channels_first : bool
        Shown as (3, H, W). With ``planar`` false that is torch's ``channels_last``.
    tensor : bool
        Handed over as a torch tensor rather than a numpy array.
    flip : float or None
        Probability of a horizontal flip.
    flip_stream : int
        Random stream of the flip.
    mean, std : tuple of three floats, or None
        ``(v - mean) / std`` for v in 0..255; None writes v.
    device : str or None
        Where it is finished; None is the host.
    ops : tuple of (operation, random stream)
        Applied to the rendered uint8 image before it becomes the batch's elements, in the same thread.
    rendered : (height, width), or None
        Size before the first of them, where one of them changes it.
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

    @property
    def rendered_size(self) -> tuple[int, int]:
        """(height, width) of the image that is rendered."""
        return self.rendered or (self.height, self.width)


@dataclass(frozen=True)
class BatchInfo:
    """What a stage may know of the batch it works on; its randomness is a function of these numbers.

    Attributes
    ----------
    ids : ndarray of int64
        Sample numbers of the rows.
    epoch, seed : int
    stream : int
        Random stream of the stage.
    mask : ndarray of bool, optional
        Of a loader that masks padding: whether a row is a sample of its own.
    draws : ndarray of int64, optional
        What the rows' random draws are keyed by; see `keys`.
    """

    ids: npt.NDArray[np.int64]
    epoch: int
    seed: int
    stream: int
    mask: npt.NDArray[np.bool_] | None = None
    draws: npt.NDArray[np.int64] | None = None

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """Numbers to draw by: the ids, unless an order shows a sample more than once an epoch, each time under another
        number.
        """
        return self.ids if self.draws is None else self.draws


def dtype_name(dtype: Any) -> str:
    """Name shared by numpy and torch dtypes: ``float16`` for ``np.float16`` and for ``torch.float16``.

    Raises
    ------
    OptionError
        It is neither.
    """
    text = str(dtype)
    if text.startswith("torch."):
        return text.removeprefix("torch.")
    if text == "bfloat16":
        return text
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        raise OptionError(f"{dtype!r} is no numpy or torch dtype") from None


def torch_dtype(name: str) -> Any:
    """Return the torch dtype of that name."""
    import torch

    found = getattr(torch, {"bool": "bool"}.get(name, name), None)
    if not isinstance(found, torch.dtype):
        raise OptionError(f"torch has no dtype {name}")
    return found

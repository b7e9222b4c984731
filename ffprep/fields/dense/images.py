"""Images of any type and number of channels, stored as arrays: 16-bit, floating-point, many bands.

The payload of an `ArrayImageField` is little-endian and begins with 16 bytes: ``FFA1``, the bytes of a value, three
zeros, height and width as uint32. The values follow, row by row, the channels of a pixel together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.errors import CorruptError, OptionError
from ffprep.fields.base import Encoded, refuse
from ffprep.fields.decoders import Decoder, ImageDecoder, SimpleRGBImageDecoder
from ffprep.fields.dense.marked import MarkedField

MAGIC = b"FFA1"
HEAD = 16
MAX_SIDE = 65535
MAX_CHANNELS = 4096
STORED = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
"""Types of elements that can be shown, by their number in the workers' tables."""
RESULTS = (*STORED, "bfloat16")


class ArrayImageDecoder(Decoder):
    """Crops, resizes and normalises images of any type and number of channels: (batch, height, width, channels).

    It reads an `ArrayImageField`, or an `NDArrayField` of shape (height, width), (height, width, channels) or, with
    `planes`, (channels, height, width). ``RandomHorizontalFlip`` directly after it, `ToTensor` and `ToTorchImage` are
    part of the same pass. Masks, boxes and keypoints can follow it as they follow an image.

    Parameters
    ----------
    shows : ImageDecoder, optional
        What is shown: ``RandomResizedCropRGBImageDecoder(224)``, for example, with its draws, size and interpolation.
        By default the whole array as it is. Not given where the output follows an image,
        ``PipelineSpec("depth", ArrayImageDecoder(), draws="image")``: then it goes through the crop and flip of that.
    dtype : numpy dtype or 'bfloat16', optional
        Of the result: float32, float16, bfloat16, or the stored one, which is the default. Whole numbers are rounded to
        the nearest one.
    mean, std : numbers, one or one for each channel
        The result is ``(value - mean) / std``, in units of what is stored. They need a floating-point `dtype`.
    interpolation : {'bilinear', 'bicubic', 'area', 'nearest'}, optional
        By default that of `shows`, or bilinear.
    planes : bool
        Arrays of three dimensions are stored with their channels first.

    Raises
    ------
    OptionError
        An argument is not of these.
    """

    type_ids: ClassVar[tuple[int, ...]] = (3, 4, 6)

    def __init__(
        self,
        shows: ImageDecoder | None = None,
        dtype: Any = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] = 1.0,
        interpolation: str | None = None,
        planes: bool = False,
    ) -> None:
        if shows is not None and not isinstance(shows, ImageDecoder):
            raise OptionError(f"ArrayImageDecoder shows what a decoder of images shows, and {shows!r} is none")
        if interpolation not in (None, "bilinear", "bicubic", "area", "nearest"):
            raise OptionError(f"interpolation {interpolation!r}; choose bilinear, bicubic, area or nearest")
        self.shows = shows
        self.view: ImageDecoder = SimpleRGBImageDecoder() if shows is None else shows
        self.dtype = None if dtype is None else _name(dtype)
        self.mean, self.std = _numbers(0.0 if mean is None else mean, "mean"), _numbers(std, "std")
        if (self.std == 0).any():
            raise OptionError("std holds a zero; values are divided by it")
        self.normalises = bool((self.mean != 0).any() or (self.std != 1).any())
        if self.normalises and (self.dtype is None or "float" not in self.dtype):
            raise OptionError("mean and std need a floating-point dtype, such as dtype=np.float32")
        self.interpolation = interpolation
        self.planes = bool(planes)

    def __repr__(self) -> str:
        return f"ArrayImageDecoder({self.shows!r}, {self.dtype})"


def _name(dtype: Any) -> str:
    text = str(dtype).removeprefix("torch.")
    if text == "bfloat16":
        return text
    try:
        name = str(np.dtype(dtype if not str(dtype).startswith("torch.") else text).name)
    except TypeError:
        name = text
    if name not in RESULTS:
        raise OptionError(f"ArrayImageDecoder cannot give {name}; choose {', '.join(RESULTS)}")
    return name


def _numbers(value: Any, name: str) -> npt.NDArray[np.float64]:
    numbers = np.asarray(value, np.float64).reshape(-1)
    if numbers.size == 0 or not np.isfinite(numbers).all():
        raise OptionError(f"{name} must be finite numbers, one or one for each channel, not {value!r}")
    return numbers


class ArrayImageField(MarkedField):
    """Images of any size, stored as they are: 16-bit, floating-point, or of many channels.

    Accepts arrays of shape (height, width, channels), or (height, width) of one channel, and Pillow images like these.
    Other programs see a field of bytes. Images that all have one size may as well be in an `NDArrayField`.

    Parameters
    ----------
    dtype : numpy dtype
        uint8 to int32, float16, float32 or float64.
    channels : int

    Raises
    ------
    OptionError
        Another dtype, or no such number of channels.
    """

    type_id: ClassVar[int] = 3
    parameters: ClassVar[str] = "type and channels of the images"
    mark: ClassVar[bytes] = b"ffprep image v1\0"

    def __init__(self, dtype: npt.DTypeLike = "uint16", channels: int = 1) -> None:
        self.dtype = np.dtype(dtype).newbyteorder("<")
        if self.dtype.name not in STORED:
            raise OptionError(f"ArrayImageField cannot hold {self.dtype}; choose {', '.join(STORED)}")
        if int(channels) != channels or not 1 <= channels <= MAX_CHANNELS:
            raise OptionError(f"ArrayImageField cannot hold {channels} channels; there are 1 to {MAX_CHANNELS}")
        self.channels = int(channels)

    @property
    def alignment(self) -> int:
        return int(self.dtype.itemsize)

    def to_text(self) -> str:
        return json.dumps([self.dtype.name, self.channels])

    @classmethod
    def from_text(cls, text: str) -> ArrayImageField:
        name, channels = json.loads(text)
        if name not in STORED or type(channels) is not int:
            raise ValueError(f"{name!r} and {channels!r}")
        return cls(name, channels)

    def encode(self, value: Any) -> Encoded:
        array = np.asarray(value)
        if array.ndim == 2 and self.channels == 1:
            array = array[:, :, None]
        sides = array.shape[:2]
        if (
            array.ndim != 3
            or array.dtype.kind not in "biuf"
            or array.shape[2] != self.channels
            or not 1 <= min(sides) <= max(sides) <= MAX_SIDE
        ):
            refuse(self, value, f"an array of shape (height, width, {self.channels}), sides up to {MAX_SIDE}")
        with np.errstate(over="ignore", invalid="ignore"):
            stored = array.astype(self.dtype)
            same = (stored.astype(array.dtype) == array) | (array != array)
        if not same.all():
            refuse(self, value, f"values that {self.dtype.name} holds exactly")
        head = MAGIC + bytes([self.dtype.itemsize, 0, 0, 0]) + np.array(sides, "<u4").tobytes()
        payload = head + stored.tobytes()
        return Encoded((0, len(payload)), payload)

    def decode(self, record: Any, payload: npt.NDArray[np.uint8] | None) -> npt.NDArray[Any]:
        assert payload is not None
        raw = payload.tobytes()
        if len(raw) < HEAD or raw[:4] != MAGIC or raw[4] != self.dtype.itemsize:
            raise CorruptError(f"this is no image of {self.dtype.name}")
        height, width = (int(side) for side in np.frombuffer(raw, "<u4", 2, 8))
        if not 1 <= min(height, width) <= max(height, width) <= MAX_SIDE:
            raise CorruptError(f"an image cannot have the size {height}x{width}")
        if len(raw) != HEAD + self.dtype.itemsize * height * width * self.channels:
            raise CorruptError(f"an image of {height}x{width}x{self.channels} does not take {len(raw)} bytes")
        return np.frombuffer(raw, self.dtype, offset=HEAD).reshape(height, width, self.channels)

    def options(self) -> Mapping[str, Any]:
        return {"dtype": self.dtype.name, "channels": self.channels}

    def get_decoder_class(self) -> Any:
        return ArrayImageDecoder

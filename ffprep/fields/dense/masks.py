"""Label masks: images of one channel whose values are classes, stored without loss as runs of equal values.

A mask's payload is little-endian and begins with 16 bytes: ``FFM1``, the bytes of a value (1, 2 or 4), the way it is
stored, two zeros, height and width as uint32. Stored as runs (1), there follow the number of each row's first run, as
uint32, and for each run its end, not included, as uint16 and its value. Equal rows share their runs. Where that would
be larger, the values follow as they are (0), row by row. Only the rows that a crop shows are read at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.errors import CorruptError, OptionError
from ffprep.fields.base import Encoded, refuse
from ffprep.fields.dense.decoders import MaskDecoder
from ffprep.fields.dense.marked import MarkedField

MAGIC = b"FFM1"
HEAD = 16
RAW, RUNS = 0, 1
MAX_SIDE = 65535
DTYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("<u1"), "uint16": np.dtype("<u2"), "int32": np.dtype("<i4")}


class MaskField(MarkedField):
    """Label masks, or other images of one channel that must be kept exactly, such as 16-bit depth.

    Accepts arrays of shape (height, width) or (height, width, 1) and Pillow images of one channel: those with a palette
    are taken by their indices. Other programs see a field of bytes; the format is in ``docs/format.md``.

    Parameters
    ----------
    dtype : {'uint8', 'uint16', 'int32'}

    Raises
    ------
    OptionError
        Another dtype.
    """

    type_id: ClassVar[int] = 3
    parameters: ClassVar[str] = "the mask's dtype"
    mark: ClassVar[bytes] = b"ffprep mask v1\0\0"

    def __init__(self, dtype: npt.DTypeLike = "uint8") -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype.name not in DTYPES:
            raise OptionError(f"MaskField cannot hold {self.dtype}; choose {', '.join(DTYPES)}")

    def to_text(self) -> str:
        return str(self.dtype.name)

    @classmethod
    def from_text(cls, text: str) -> MaskField:
        if text not in DTYPES:
            raise ValueError(f"{text[:20]!r} is none of {', '.join(DTYPES)}")
        return cls(text)

    def encode(self, value: Any) -> Encoded:
        array = np.asarray(value)
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[:, :, 0]
        if (
            array.ndim != 2
            or array.dtype.kind not in "biu"
            or not 1 <= min(array.shape) <= max(array.shape) <= MAX_SIDE
        ):
            refuse(self, value, f"whole numbers of shape (height, width), up to {MAX_SIDE} each")
        stored = array.astype(self.dtype)
        if not (stored == array).all():
            refuse(self, value, f"values that fit {self.dtype}")
        payload = encode_mask(stored)
        return Encoded((0, len(payload)), payload)

    def decode(self, record: Any, payload: npt.NDArray[np.uint8] | None) -> npt.NDArray[Any]:
        assert payload is not None
        return decode_mask(payload.tobytes(), self.dtype)

    def options(self) -> Mapping[str, Any]:
        return {"dtype": self.dtype.name}

    def get_decoder_class(self) -> Any:
        return MaskDecoder


def encode_mask(mask: npt.NDArray[Any]) -> bytes:
    """Return the payload of a mask of one of `DTYPES`, shape (height, width)."""
    height, width = mask.shape
    dtype = DTYPES[mask.dtype.name]
    head = MAGIC + bytes([dtype.itemsize, RAW, 0, 0])
    sides = np.array([height, width], "<u4").tobytes()
    new = np.ones(height, bool)
    new[1:] = (mask[1:] != mask[:-1]).any(1)
    kept = mask[new]
    last = np.ones(kept.shape, bool)
    last[:, :-1] = kept[:, 1:] != kept[:, :-1]
    rows, columns = np.nonzero(last)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(kept)))])
    runs = np.empty(len(rows), np.dtype([("end", "<u2"), ("value", dtype)]))
    runs["end"], runs["value"] = columns + 1, kept[rows, columns]
    if 4 * height + runs.nbytes >= mask.nbytes:
        return bytes(head + sides + mask.astype(dtype).tobytes())
    firsts = starts[np.cumsum(new) - 1].astype("<u4")
    return bytes(head[:5] + bytes([RUNS, 0, 0]) + sides + firsts.tobytes() + runs.tobytes())


def decode_mask(payload: bytes, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the mask of a payload, (height, width) of `dtype`.

    Raises
    ------
    CorruptError
        The payload is not what `encode_mask` writes for this dtype.
    """
    stored = DTYPES[dtype.name]
    if len(payload) < HEAD or payload[:4] != MAGIC or payload[4] != stored.itemsize:
        raise CorruptError(f"this is no mask of {dtype}")
    height, width = (int(side) for side in np.frombuffer(payload, "<u4", 2, 8))
    if not 1 <= min(height, width) <= max(height, width) <= MAX_SIDE:
        raise CorruptError(f"a mask cannot have the size {height}x{width}")
    if payload[5] == RAW:
        if len(payload) != HEAD + stored.itemsize * height * width:
            raise CorruptError(f"a mask of {height}x{width} {dtype} does not take {len(payload)} bytes")
        return np.frombuffer(payload, stored, offset=HEAD).reshape(height, width).astype(dtype)
    kind = np.dtype([("end", "<u2"), ("value", stored)])
    size = len(payload) - HEAD - 4 * height
    if payload[5] != RUNS or size < 0 or size % kind.itemsize:
        raise CorruptError("the mask's runs cannot be read")
    firsts = np.frombuffer(payload, "<u4", height, HEAD)
    runs = np.frombuffer(payload, kind, offset=HEAD + 4 * height)
    out = np.empty((height, width), dtype)
    for y in range(height):
        x, run = 0, int(firsts[y])
        while x < width:
            if run >= len(runs) or not x < (end := int(runs["end"][run])) <= width:
                raise CorruptError(f"the runs of the mask's row {y} do not fill it")
            out[y, x:end] = runs["value"][run]
            x, run = end, run + 1
    return out

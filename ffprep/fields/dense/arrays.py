"""Arrays of which each sample has its own length, stored as bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.fields.base import Encoded, refuse
from ffprep.fields.dense.decoders import VariableArrayDecoder
from ffprep.fields.dense.marked import MarkedField

_KINDS = "biuf"


class VariableArrayField(MarkedField):
    """Arrays of one dtype whose first dimension differs from sample to sample, such as boxes of shape (n, 4).

    Other programs see a field of bytes: the array's elements in C order, little-endian.

    Parameters
    ----------
    dtype : numpy dtype
        Booleans, integers or floating numbers.
    shape : tuple of int
        Of one element of the first dimension: ``(4,)`` for boxes, ``()`` for labels.

    Raises
    ------
    OptionError
        The dtype or the shape cannot be stored.
    """

    type_id: ClassVar[int] = 3
    parameters: ClassVar[str] = "the array's dtype and shape"
    mark: ClassVar[bytes] = b"ffprep array v1\0"

    def __init__(self, dtype: npt.DTypeLike, shape: Sequence[int] | int = ()) -> None:
        self.dtype = np.dtype(dtype).newbyteorder("<")
        if self.dtype.kind not in _KINDS or self.dtype.itemsize > 8:
            raise OptionError(f"VariableArrayField cannot hold {self.dtype}; use numbers of up to 8 bytes")
        self.shape = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(int(side) for side in shape)
        if len(self.shape) > 7 or any(side < 1 for side in self.shape) or math.prod(self.shape) > 1 << 31:
            raise OptionError(f"VariableArrayField cannot hold rows of shape {self.shape}; sides are at least 1")

    @property
    def row_elements(self) -> int:
        """Elements of one row."""
        return math.prod(self.shape)

    def to_text(self) -> str:
        return json.dumps([self.dtype.str, *self.shape])

    @classmethod
    def from_text(cls, text: str) -> VariableArrayField:
        dtype, *shape = json.loads(text)
        if not isinstance(dtype, str) or not all(type(side) is int for side in shape):
            raise ValueError(f"{dtype!r} and {shape!r}")
        return cls(dtype, shape)

    def encode(self, value: Any) -> Encoded:
        array = np.asarray(value)
        if array.size == 0 and array.ndim <= 1:
            array = array.reshape((0, *self.shape))
        if array.dtype.kind not in _KINDS or array.shape[1:] != self.shape or array.ndim != len(self.shape) + 1:
            refuse(self, value, f"an array of shape (n, {', '.join(map(str, self.shape))})")
        stored = array.astype(self.dtype)
        if array.dtype.kind in "iu" and self.dtype.kind in "iu" and not (stored == array).all():
            refuse(self, value, f"values that fit {self.dtype}")
        payload = stored.tobytes()
        return Encoded((0, len(payload)), payload)

    def bad_records(self, column: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], str] | None:
        wrong = np.asarray(column["size"] % np.uint64(self.dtype.itemsize * self.row_elements) != 0)
        return wrong, f"does not hold whole rows of {self.shape} elements of {self.dtype}"

    def decode(self, record: Any, payload: npt.NDArray[np.uint8] | None) -> npt.NDArray[Any]:
        assert payload is not None
        return np.frombuffer(payload.tobytes(), self.dtype).reshape((-1, *self.shape))

    def options(self) -> Mapping[str, Any]:
        return {"dtype": self.dtype.str, "shape": list(self.shape)}

    def get_decoder_class(self) -> Any:
        return VariableArrayDecoder

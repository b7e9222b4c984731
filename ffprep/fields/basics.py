"""Numbers: one float64 or int64 for each sample, stored in the sample table itself."""

from __future__ import annotations

import numbers
import operator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.fields.base import ARG_TYPE, Encoded, Field, refuse
from ffprep.fields.decoders import BasicDecoder, FloatDecoder, IntDecoder
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.state import State

__all__ = [
    "ARG_TYPE",
    "AllocationQuery",
    "BasicDecoder",
    "FloatDecoder",
    "FloatField",
    "IntDecoder",
    "IntField",
    "Operation",
    "State",
]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def _scalar(value: Any) -> Any:
    """Unwrap arrays and tensors of no dimension."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


class FloatField(Field):
    """A float64. Accepts real numbers and 0-dimensional arrays or tensors of them."""

    type_id: ClassVar[int] = 0

    @property
    def metadata_type(self) -> np.dtype[Any]:
        return np.dtype("<f8")

    def encode(self, value: Any) -> Encoded:
        number = _scalar(value)
        if not isinstance(number, numbers.Real):
            refuse(self, value, "a real number")
        try:
            return Encoded((float(number),))
        except OverflowError:
            refuse(self, value, "a number that fits a float64")

    def decode(self, record: Any, payload: npt.NDArray[np.uint8] | None) -> float:
        return float(record)

    def get_decoder_class(self) -> Any:
        return FloatDecoder


class IntField(Field):
    """An int64. Accepts integers and 0-dimensional arrays or tensors of them; floats are refused."""

    type_id: ClassVar[int] = 1

    @property
    def metadata_type(self) -> np.dtype[Any]:
        return np.dtype("<i8")

    def encode(self, value: Any) -> Encoded:
        try:
            number = operator.index(_scalar(value))
        except TypeError:
            refuse(self, value, "an integer")
        if not INT64_MIN <= number <= INT64_MAX:
            refuse(self, value, "an integer of 64 bits")
        return Encoded((number,))

    def decode(self, record: Any, payload: npt.NDArray[np.uint8] | None) -> int:
        return int(record)

    def get_decoder_class(self) -> Any:
        return IntDecoder

"""Arrays with the same dtype and shape for all samples."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.errors import CorruptError, OptionError
from ffprep.fields.base import ARGUMENTS_SIZE, Encoded, Field, refuse
from ffprep.fields.decoders import NDArrayDecoder

__all__ = ["NDArrayDecoder", "NDArrayField", "TorchTensorField"]

MAX_DIMENSIONS = 32
_MOST_BYTES = 1 << 63  # of a file
_SHAPE_BYTES = 8 * MAX_DIMENSIONS
_TEXT_START = _SHAPE_BYTES + 8

# No objects, no records, no sub-arrays: plain elements of a fixed size only.
_PLAIN_DTYPE = re.compile(r"[<>|](b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SU][1-9]\d{0,5}|[mM]8(\[\w{1,12}\])?)")


class NDArrayField(Field):
    """A C-ordered array of fixed dtype and shape.

    Parameters
    ----------
    dtype : numpy dtype
        Booleans, integers, floats, complex numbers, fixed-size strings or dates, stored in the byte order of the dtype.
    shape : tuple of int
        One to 32 dimensions, each at least 1. Use ``(1,)`` for a scalar.

    Raises
    ------
    OptionError
        The file format cannot hold such an array.
    """

    type_id: ClassVar[int] = 4
    pointer: ClassVar[str | None] = ""

    def __init__(self, dtype: npt.DTypeLike, shape: Sequence[int]) -> None:
        self.dtype = np.dtype(dtype)
        if _PLAIN_DTYPE.fullmatch(self.dtype.str) is None:
            raise OptionError(
                f"{type(self).__name__} cannot hold dtype {self.dtype}; use plain numbers, dates or strings"
            )
        sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        self.shape = tuple(int(size) for size in sizes)
        if not 1 <= len(self.shape) <= MAX_DIMENSIONS or min(self.shape) < 1:
            raise OptionError(
                f"{type(self).__name__} cannot hold shape {self.shape}: "
                "a .beton file needs 1 to 32 dimensions of at least 1 each; use (1,) for a scalar"
            )
        self.nbytes = self.dtype.itemsize * math.prod(self.shape)
        if self.nbytes >= _MOST_BYTES:
            raise OptionError(f"{type(self).__name__} cannot hold shape {self.shape}: it does not fit any file")

    @property
    def metadata_type(self) -> np.dtype[Any]:
        return np.dtype("<u8")

    @property
    def alignment(self) -> int:
        return math.gcd(self.dtype.itemsize, 8)

    def to_binary(self) -> bytes:
        shape = np.zeros(MAX_DIMENSIONS, "<u8")
        shape[: len(self.shape)] = self.shape
        text = json.dumps(self.dtype.descr).encode("ascii")
        head = shape.tobytes() + len(text).to_bytes(8, "little") + text
        return head.ljust(ARGUMENTS_SIZE, b"\0")

    @classmethod
    def from_binary(cls, arguments: npt.NDArray[np.uint8]) -> NDArrayField:
        """Parse the descriptor's arguments without trusting them.

        Raises
        ------
        CorruptError
            They do not describe an array of plain elements.
        """
        raw = bytes(arguments)
        sizes = [int(size) for size in np.frombuffer(raw, "<u8", MAX_DIMENSIONS)]
        while sizes and sizes[-1] == 0:
            sizes.pop()
        length = int.from_bytes(raw[_SHAPE_BYTES:_TEXT_START], "little")
        if length > len(raw) - _TEXT_START:
            raise CorruptError(f"the dtype takes {length} bytes of the {len(raw) - _TEXT_START} there are")
        made = cls.__new__(cls)
        made.dtype = _parse_dtype(raw[_TEXT_START : _TEXT_START + length])
        made.shape = tuple(sizes)
        made.nbytes = made.dtype.itemsize * math.prod(sizes)
        if made.nbytes >= _MOST_BYTES:
            raise CorruptError(f"an array of shape {made.shape} does not fit any file")
        return made

    def encode(self, value: Any) -> Encoded:
        return self._encode_array(value, value)

    def _encode_array(self, array: Any, value: Any) -> Encoded:
        if not isinstance(array, (np.ndarray, np.generic)) or array.dtype != self.dtype:
            refuse(self, value, f"a numpy array of dtype {self.dtype}")
        if array.shape != self.shape and [n for n in array.shape if n != 1] != [n for n in self.shape if n != 1]:
            refuse(self, value, f"an array of shape {self.shape}")
        return Encoded((0,), array.tobytes())

    def payload_sizes(self, column: npt.NDArray[Any]) -> npt.NDArray[np.uint64] | None:
        return np.broadcast_to(np.uint64(self.nbytes), column.shape)

    def decode(self, record: Any, payload: npt.NDArray[np.uint8] | None) -> npt.NDArray[Any]:
        assert payload is not None
        return np.frombuffer(payload.tobytes(), self.dtype).reshape(self.shape)

    def options(self) -> Mapping[str, Any]:
        return {"dtype": self.dtype.str, "shape": list(self.shape)}

    def get_decoder_class(self) -> Any:
        return NDArrayDecoder


class TorchTensorField(NDArrayField):
    """A torch tensor of fixed dtype and shape, which is read back as a numpy array.

    Parameters
    ----------
    dtype : torch dtype
        Any that numpy has as well, so not ``bfloat16``. A numpy dtype is accepted too.
    shape : tuple of int
    """

    type_id: ClassVar[int] = 6

    def __init__(self, dtype: Any, shape: Sequence[int]) -> None:
        name = str(dtype)
        if name.startswith("torch."):
            try:
                dtype = np.dtype(name.removeprefix("torch."))
            except TypeError:
                raise OptionError(f"TorchTensorField cannot hold {name}: numpy has no such dtype") from None
        super().__init__(dtype, shape)

    def encode(self, value: Any) -> Encoded:
        if not hasattr(value, "detach"):
            return self._encode_array(value, value)
        try:
            array = value.detach().cpu().numpy()
        except TypeError:
            refuse(self, value, f"a tensor of dtype {self.dtype}")
        return self._encode_array(array, value)


def _parse_dtype(text: bytes) -> np.dtype[Any]:
    """Parse ``[["", "<i4"]]``, the JSON of a plain dtype's ``descr``."""
    try:
        parsed = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"the dtype {text[:40]!r} is not JSON") from error
    plain = (
        isinstance(parsed, list)
        and len(parsed) == 1
        and isinstance(parsed[0], list)
        and len(parsed[0]) == 2
        and isinstance(parsed[0][1], str)
        and _PLAIN_DTYPE.fullmatch(parsed[0][1]) is not None
    )
    if not plain:
        raise CorruptError(f"the dtype {text[:40]!r} is not one of plain numbers, dates or strings")
    try:
        dtype: np.dtype[Any] = np.dtype(parsed[0][1])
    except (TypeError, ValueError) as error:
        raise CorruptError(f"numpy has no dtype {parsed[0][1]!r}") from error
    return dtype

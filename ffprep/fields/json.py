"""JSON documents, stored as UTF-8 text followed by one NUL."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.errors import DecodeError
from ffprep.fields.base import Encoded, refuse
from ffprep.fields.bytes import BytesField

ENCODING, SEPARATOR = "utf8", "\0"
"""Of the stored text, and what ends it; ffcv's names."""


class JSONField(BytesField):
    """Any value that the ``json`` module can write."""

    type_id: ClassVar[int] = 5

    def encode(self, value: Any) -> Encoded:
        try:
            text = json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            refuse(self, value, f"a value that JSON can hold ({error})")
        payload = text.encode("utf-8") + b"\0"
        return Encoded((0, len(payload)), payload)

    def decode(self, record: Any, payload: npt.NDArray[np.uint8] | None) -> Any:
        assert payload is not None
        return parse_document(payload.tobytes())

    @staticmethod
    def unpack(batch: Any) -> Any:
        """Turn a batch that a loader returned for this field back into Python objects.

        Parameters
        ----------
        batch : uint8 array or tensor of shape (samples, bytes) or (bytes,)

        Returns
        -------
        list of objects for a batch, an object for a single sample
        """
        if hasattr(batch, "numpy"):
            batch = batch.numpy()
        batch = np.asarray(batch)
        if batch.ndim == 1:
            return parse_document(batch.tobytes())
        return [parse_document(row.tobytes()) for row in batch]


def parse_document(payload: bytes) -> Any:
    """Parse the text up to the first NUL.

    Raises
    ------
    DecodeError
        There is no NUL, or the text is not JSON.
    """
    end = payload.find(b"\0")
    if end < 0:
        raise DecodeError("the JSON text has no end mark (NUL)")
    try:
        return json.loads(payload[:end].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"the payload is not JSON: {error}") from error

"""The numbers that annotations give their images: whole numbers, as such or as decimal or hexadecimal strings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_DECIMAL = re.compile(r"[+-]?[0-9]{1,40}")
_HEXADECIMAL = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,40}")


class ImageIds:
    """Turns the ids of one annotation file into integers.

    Parameters
    ----------
    ids : iterable
        All ids of the file. Strings are decimal, unless one of them is not and all are hexadecimal.
    """

    def __init__(self, ids: Iterable[Any] = ()) -> None:
        texts = [value.strip() for value in ids if isinstance(value, str)]
        decimal = all(_DECIMAL.fullmatch(text) for text in texts)
        self._base = 10 if decimal or not all(_HEXADECIMAL.fullmatch(text) for text in texts) else 16

    def number(self, value: Any) -> int:
        """The integer that an id stands for.

        Raises
        ------
        ValueError
            When it is no whole number or does not fit in 64 bits; the message says so.
        """
        if type(value) is int and -(2**63) <= value < 2**63:
            return value
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, float) and value.is_integer():
            number = int(value)
        elif isinstance(value, str):
            text = value.strip()
            if (_DECIMAL if self._base == 10 else _HEXADECIMAL).fullmatch(text):
                number = int(text, self._base)
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        if number is None:
            raise ValueError(f"id is no whole number: {shown}")
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"id does not fit in 64 bits: {shown}")
        return number

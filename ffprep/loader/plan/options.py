"""Checks of a loader's arguments."""

from __future__ import annotations

import operator
from typing import TypeVar

import numpy as np

from ffprep.errors import OptionError

Choice = TypeVar("Choice", str, "str | None")


def at_least(value: int, low: int, name: str) -> int:
    """Return `value` if it is a whole number and at least `low`; messages call it `name`.

    Raises
    ------
    OptionError
        It is not.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise OptionError(f"{name} is {value!r}; give a whole number") from None
    if number < low:
        raise OptionError(f"{name} is {number}; it must be at least {low}")
    return number


def one_of(value: Choice, choices: tuple[Choice, ...], name: str) -> Choice:
    """Return `value` if it is one of the choices; messages call it `name`.

    Raises
    ------
    OptionError
        It is none of them.
    """
    if value not in choices:
        raise OptionError(f"{name} is {value!r}; choose {' or '.join(map(repr, choices))}")
    return value


def drawn_seed(distributed: bool) -> int:
    """Return the seed of a loader that was given none: 0 if all ranks must agree, else one of numpy's generator."""
    return 0 if distributed else int(np.random.randint(0, np.iinfo(np.int32).max))  # noqa: NPY002

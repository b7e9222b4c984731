"""Checks of a loader's arguments."""

from __future__ import annotations

import operator

from ffprep.errors import OptionError


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


def one_of(value: str | None, choices: tuple[str | None, ...], name: str) -> str | None:
    """Return `value` if it is one of the choices; messages call it `name`.

    Raises
    ------
    OptionError
        It is none of them.
    """
    if value not in choices:
        raise OptionError(f"{name} is {value!r}; choose {' or '.join(map(repr, choices))}")
    return value

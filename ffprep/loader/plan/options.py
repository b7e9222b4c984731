"""Checks of a loader's arguments."""

from __future__ import annotations

import operator

from ffprep.errors import OptionError
from ffprep.loader.order.order import Share


def at_least(value: int, low: int, name: str) -> int:
    """Return a whole number that is not below `low`.

    Raises
    ------
    OptionError
        It is none.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise OptionError(f"{name} is {value!r}; give a whole number") from None
    if number < low:
        raise OptionError(f"{name} is {number}; it must be at least {low}")
    return number


def one_of(value: str | None, choices: tuple[str | None, ...], name: str) -> str | None:
    """Return one of the choices.

    Raises
    ------
    OptionError
        It is none of them.
    """
    if value not in choices:
        raise OptionError(f"{name} is {value!r}; choose {' or '.join(map(repr, choices))}")
    return value


def check_enough(total: int, share: Share, drop_last: bool, label: str) -> None:
    """See that an epoch of `total` samples has a batch.

    Raises
    ------
    OptionError
        It has none.
    """
    if total == 0:
        raise OptionError(f"{label}: no samples to load: the file or indices is empty")
    if drop_last and total < share.step:
        ranks = f" on each of {share.world_size} ranks" if share.world_size > 1 else ""
        raise OptionError(
            f"{label}: {total} samples do not fill one batch of {share.batch_size}{ranks}; "
            "use a smaller batch_size, or drop_last=False"
        )

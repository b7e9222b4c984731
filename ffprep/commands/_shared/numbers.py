"""The types of options that take a number."""

from __future__ import annotations

import math
from typing import Any

import click

from ffprep.common.formatting import size_of


class Whole(click.IntRange):
    """A whole number in a range; what is none is refused in words that say which numbers are.

    Parameters
    ----------
    least : int
    most : int, optional
    """

    name = "integer"

    def __init__(self, least: int, most: int | None = None) -> None:
        super().__init__(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        try:
            number = int(value)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not a whole number; {self._wanted()}", param, ctx)
        if (self.min is not None and number < self.min) or (self.max is not None and number > self.max):
            self.fail(f"{number} is not possible; {self._wanted()}", param, ctx)
        return number

    def _wanted(self) -> str:
        return f"give at least {self.min:g}" if self.max is None else f"give one from {self.min:g} to {self.max:g}"


class Number(click.FloatRange):
    """A number in an open range; a text that means none, such as ``nan``, is refused like one outside it.

    Parameters
    ----------
    low : float
    high : float, optional
    """

    def __init__(self, low: float, high: float | None = None) -> None:
        super().__init__(low, high, min_open=True, max_open=high is not None)
        self.low, self.high = low, math.inf if high is None else high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        wanted = f"give one above {self.low:g}" + (f" and below {self.high:g}" if self.max is not None else "")
        try:
            number = float(value)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not a number; {wanted}", param, ctx)
        if not (self.low < number < self.high):  # as nan never is
            self.fail(f"{number:g} is not possible; {wanted}", param, ctx)
        return number


class Size(click.IntRange):
    """A number of bytes, such as ``1GB`` or ``512MiB``."""

    name = "size"

    def __init__(self) -> None:
        super().__init__(1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        try:
            return size_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


WORKERS = Whole(1, 1024)
"""Threads or processes: more would only wait for one another."""

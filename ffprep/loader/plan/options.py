"""Checks of a loader's arguments."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from ffprep.beton.sets import SetFile
from ffprep.common.workers.cpus import usable_cpus
from ffprep.errors import OptionError

MOST_WORKERS = 4096
"""Threads that a loader starts at most."""
MOST_AHEAD = 4096
"""Batches that a loader makes in advance at most."""
MOST_SAMPLES = 1 << 36
"""Samples of an epoch at most, when its length is given."""

Choice = TypeVar("Choice", str, "str | None")


def at_least(value: int, low: int, name: str, high: int = 1 << 62) -> int:
    """Return `value` if it is a whole number from `low` to `high`; messages call it `name`.

    Raises
    ------
    OptionError
        It is not.
    """
    number = whole_number(value, name)
    if number < low:
        raise OptionError(f"{name} is {number}; it must be at least {low}")
    if number > high:
        raise OptionError(f"{name} is {number}; it must be at most {high}")
    return number


def whole_number(value: int, name: str) -> int:
    """Return `value` if it is a whole number; messages call it `name`.

    Raises
    ------
    OptionError
        It is not.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise OptionError(f"{name} is {value!r}; give a whole number") from None


def yes_or_no(value: bool, name: str) -> bool:
    """Return `value` if it is True or False, or 1 or 0; messages call it `name`.

    Raises
    ------
    OptionError
        It is something else, such as the word ``'no'``, which Python counts as true.
    """
    if not isinstance(value, (bool, int, np.bool_)) or value not in (0, 1):
        raise OptionError(f"{name} is {value!r}; give True or False")
    return bool(value)


def paths_of(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> str | list[str | SetFile]:
    """Return one path or several as text; files that were looked up stay what they are.

    Raises
    ------
    OptionError
        It is something else.
    """
    try:
        if isinstance(given, (str, os.PathLike)):
            return os.fspath(given)
        if hasattr(given, "read"):  # an open file, whose lines would be taken for paths
            raise TypeError
        found = [path if isinstance(path, SetFile) else os.fspath(path) for path in given]
        if not all(isinstance(path, (str, SetFile)) for path in found):
            raise TypeError
    except TypeError:
        raise OptionError(f"{given!r} is no path; give that of a .beton file, or a list of them") from None
    return found


def worker_threads(num_workers: int) -> int:
    """Return how many threads the argument `num_workers` asks for; below 1 it asks for one on each usable CPU.

    Raises
    ------
    OptionError
        It is no whole number, or more than `MOST_WORKERS`.
    """
    number = at_least(num_workers, -sys.maxsize, "num_workers", MOST_WORKERS)
    return usable_cpus() if number < 1 else number


def processors_to_pin(pin_threads: bool | Sequence[int]) -> list[int]:
    """Return the processors to keep worker threads on, in turn; none where threads may run anywhere.

    Raises
    ------
    OptionError
        The system cannot do so, or the process may not use one of the processors.
    """
    if pin_threads is False:
        return []
    if not hasattr(os, "sched_setaffinity"):
        raise OptionError("pin_threads works on Linux only; leave it out")
    usable = sorted(os.sched_getaffinity(0))
    if pin_threads is True:
        return usable
    if isinstance(pin_threads, (str, bytes)) or not isinstance(pin_threads, Iterable):
        raise OptionError(f"pin_threads is {pin_threads!r}; give True, or a list of processors such as [0, 2, 4, 6]")
    wanted = [at_least(number, 0, "a processor of pin_threads") for number in pin_threads]
    if not wanted or not set(wanted) <= set(usable):
        raise OptionError(f"pin_threads is {wanted}; this process may use the processors {usable}")
    return wanted


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


OF_DATALOADER = {
    "shuffle": "order=OrderOption.RANDOM",
    "sampler": "order or indices",
    "batch_sampler": "batch_size and order",
    "prefetch_factor": "batches_ahead",
    "pin_memory": "device",
    "collate_fn": "pipelines to Loader",
    "transform": "pipelines to Loader",
    "dataset": "the path of a .beton file",
    "world": "world_size",
}
"""What stands for the options of torch's loader and data sets."""


def chosen_seed(seed: int | None, distributed: bool) -> int:
    """Return the seed; of a loader that was given none, 0 if all ranks must agree, else one of numpy's generator."""
    if seed is not None:
        return whole_number(seed, "seed")
    return 0 if distributed else int(np.random.randint(0, np.iinfo(np.int32).max))  # noqa: NPY002

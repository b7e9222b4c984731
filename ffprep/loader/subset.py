"""How `Loader.filter` finds samples: by a second loader, which yields one output of every sample, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ffprep.errors import OptionError
from ffprep.loader.files import Files, Ids
from ffprep.loader.order.order import OrderOption

IN_ORDER = {
    "order": OrderOption.SEQUENTIAL, "drop_last": False, "distributed": False, "rank": None, "world_size": None,
    "on_error": "raise", "pad": None, "device": None, "weights": None, "epoch_samples": None,
    "with_index": False, "custom_field_mapper": None,
}  # fmt: skip
"""Arguments with which a loader yields each of its samples once, in the order of ``indices``, on the CPU."""


def filtered(loader: Any, field_name: str, condition: Callable[[Any], bool]) -> Any:
    """Return a loader of those samples of `loader` that fulfil a condition; see `Loader.filter`."""
    if not callable(condition):
        raise OptionError(
            f"condition is {condition!r}; give a function of one row of the output that says True or False"
        )
    outputs = [pipeline.name for pipeline in loader._checked_pipelines]
    pipelines = single_output(field_name, loader._pipelines, outputs, loader.files)
    arguments = {**loader._arguments, "seed": loader.seed, "indices": loader.indices}
    with type(loader)(loader.fname, **{**arguments, **IN_ORDER, "pipelines": pipelines}) as values:
        place = [pipeline.name for pipeline in values._checked_pipelines].index(field_name)
        arguments["indices"] = fulfilling(condition, (batch[place] for batch in values), loader.indices)
    if len(arguments["indices"]) == 0:
        raise OptionError(f"{loader.files}: no sample fulfils the condition on {field_name!r}")
    return type(loader)(loader.fname, **arguments)


def single_output(name: str, pipelines: Mapping[str, Any], outputs: Sequence[str], files: Files) -> dict[str, Any]:
    """Return the pipelines of a loader that yields the output called `name`, and those whose draws it shares.

    Parameters
    ----------
    name : str
    pipelines : mapping
        Those that the user gave for all outputs.
    outputs : sequence of str
        Names of all outputs.
    files : Files

    Raises
    ------
    OptionError
        There is no such output.
    """
    if name not in outputs and name not in files.fields:
        raise OptionError(f"{files} has no output {name!r}; it has {', '.join(outputs)}")
    needed = [name]
    while (draws := getattr(pipelines.get(needed[-1]), "draws", None)) is not None and draws not in needed:
        needed.append(draws)
    single: dict[str, Any] = {other: None for other in files.fields if other not in needed}
    single.update({other: pipelines[other] for other in needed if pipelines.get(other) is not None})
    return single


def fulfilling(condition: Callable[[Any], bool], batches: Iterable[Any], indices: Ids) -> Ids:
    """Return those of the samples `indices` whose row in the batches of one output fulfils a condition."""
    fulfilled = [bool(condition(row)) for rows in batches for row in _rows_of(rows)]
    chosen: Ids = indices[np.array(fulfilled, dtype=bool)]
    return chosen


def _rows_of(member: Any) -> Iterator[Any]:
    """Go through the samples of a member of a batch; those of a named tuple, such as boxes, are named tuples, too."""
    if isinstance(member, tuple) and hasattr(member, "_make"):
        return (member._make(parts) for parts in zip(*member, strict=True))
    return iter(member)

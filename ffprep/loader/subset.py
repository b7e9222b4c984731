"""How `Loader.filter` finds samples: by a second loader, which yields one output of every sample, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    outputs = [pipeline.name for pipeline in loader._checked_pipelines]
    pipelines = single_output(field_name, loader._pipelines, outputs, loader.files)
    arguments = {**loader._arguments, "seed": loader.seed, "indices": loader.indices}
    with type(loader)(loader.fname, **{**arguments, **IN_ORDER, "pipelines": pipelines}) as values:
        arguments["indices"] = fulfilling(condition, values, loader.indices)
    if len(arguments["indices"]) == 0:
        raise OptionError(f"{loader.files}: no sample fulfils the condition on {field_name!r}")
    return type(loader)(loader.fname, **arguments)


def single_output(name: str, pipelines: Mapping[str, Any], outputs: Sequence[str], files: Files) -> dict[str, Any]:
    """Return the pipelines of a loader that yields only the output called `name`.

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
    single: dict[str, Any] = {other: None for other in files.fields if other != name}
    if pipelines.get(name) is not None:
        single[name] = pipelines[name]
    return single


def fulfilling(condition: Callable[[Any], bool], batches: Iterable[tuple[Any, ...]], indices: Ids) -> Ids:
    """Return those of the samples `indices` whose row in the batches of one output fulfils a condition."""
    fulfilled = [bool(condition(row)) for (rows,) in batches for row in rows]
    chosen: Ids = indices[np.array(fulfilled, dtype=bool)]
    return chosen

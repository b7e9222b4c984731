"""The samples of a loader that fulfil a condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ffprep.errors import OptionError
from ffprep.loader.order.order import Ids, OrderOption

if TYPE_CHECKING:
    from ffprep.loader.loader import Loader


def fulfilling(
    loader: Loader,
    arguments: dict[str, Any],
    outputs: Sequence[str],
    pipeline: Any,
    name: str,
    condition: Callable[[Any], bool],
) -> Ids:
    """Return those of a loader's samples that fulfil a condition.

    Parameters
    ----------
    loader : Loader
    arguments : dict
        What it was made with.
    outputs : sequence of str
        Names of its outputs.
    pipeline : pipeline or None
        Of the output that is looked at; None for the field's default.
    name : str
        Of this output.
    condition : callable
        Gets one row.

    Raises
    ------
    OptionError
        There is no such output, or no sample is left.
    """
    files = loader.files
    if name not in outputs and name not in files.fields:
        raise OptionError(f"{files} has no output {name!r}; it has {', '.join(outputs)}")
    pipelines: dict[str, Any] = {other: None for other in files.fields if other != name}
    if pipeline is not None:
        pipelines[name] = pipeline
    whole = {
        "order": OrderOption.SEQUENTIAL, "drop_last": False, "distributed": False, "rank": None, "world_size": None,
        "indices": loader.indices, "on_error": "raise", "pad": None, "device": None, "weights": None,
        "epoch_samples": None, "seed": loader.seed, "pipelines": pipelines,
    }  # fmt: skip
    kept: list[bool] = []
    with type(loader)(loader.fname, **{**arguments, **whole}) as looked:
        for (rows,) in looked:
            kept += [bool(condition(row)) for row in rows]
    chosen: Ids = loader.indices[np.array(kept, dtype=bool)]
    if len(chosen) == 0:
        raise OptionError(f"{files}: no sample fulfils the condition on {name!r}")
    return chosen

"""How `Loader.filter` reads the values that it decides by: the arguments of a loader that yields a single output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffprep.loader.files import Files, Ids
from ffprep.loader.order.order import OrderOption


def single_output(
    arguments: Mapping[str, Any], files: Files, indices: Ids, seed: int, name: str, pipeline: Any
) -> dict[str, Any]:
    """Change a loader's arguments so that it yields one output of each sample of `indices`, in this order, on the CPU.

    Parameters
    ----------
    arguments : mapping
        Keyword arguments that the loader was made with.
    files : Files
    indices : ndarray of int64
    seed : int
    name : str
        Name of the output.
    pipeline : pipeline or None
        Of the output; None for the field's default.
    """
    pipelines: dict[str, Any] = {other: None for other in files.fields if other != name}
    if pipeline is not None:
        pipelines[name] = pipeline
    changes = {
        "order": OrderOption.SEQUENTIAL, "drop_last": False, "distributed": False, "rank": None, "world_size": None,
        "indices": indices, "on_error": "raise", "pad": None, "device": None, "weights": None,
        "epoch_samples": None, "seed": seed, "pipelines": pipelines,
    }  # fmt: skip
    return {**arguments, **changes}

"""The options that presets share, named for type checkers, editors and messages; and the types of their batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from ffprep.common.names import check_keywords
from ffprep.errors import UnknownOptionError
from ffprep.loader import ClipOrder, ErrorBudget, NodeOrder, OrderOption, RepeatedOrder, WeightedOrder
from ffprep.loader.order.order import HasSampleOrder
from ffprep.loader.plan.options import OF_DATALOADER

if TYPE_CHECKING:
    from typing import TypeAlias

    import torch
    from torch import Tensor
    from typing_extensions import TypeVar, Unpack

    DType: TypeAlias = npt.DTypeLike | torch.dtype
    Device: TypeAlias = torch.device | str | int | None

    # The type of a batch is what the preset makes by default, and whatever else was asked for. A call says it more
    # exactly by the type of what it is assigned to: `loader: Loader[tuple[Tensor, Tensor]] = imagenet_train(...)`.
    Labelled = TypeVar("Labelled", bound="tuple[Any, ...]", default="tuple[Tensor, Tensor, Unpack[tuple[Any, ...]]]")
    Captioned = TypeVar(
        "Captioned",
        bound="tuple[Any, ...]",
        default="tuple[Tensor, Tensor, Tensor, Tensor, Unpack[tuple[Any, ...]]]",
    )
    Blocks = TypeVar("Blocks", bound="tuple[Any, ...]", default="tuple[Tensor, Unpack[tuple[Any, ...]]]")
    Rows = TypeVar("Rows", bound="tuple[Any, ...]", default="tuple[Tensor, Tensor, Unpack[tuple[Any, ...]]]")

Interpolation = Literal["bilinear", "bicubic", "area"]
Captions = Literal["random", "first", "all"]


class LoaderOptions(TypedDict, total=False):
    """Options of `Loader` that presets pass on."""

    os_cache: bool
    distributed: bool
    indices: Sequence[int] | npt.NDArray[np.integer[Any]] | None
    custom_fields: Mapping[str, type[Any]] | None
    drop_last: bool
    batches_ahead: int
    recompile: bool
    rank: int | None
    world_size: int | None
    on_error: Literal["raise", "skip", "replace"]
    window_pages: int
    pad: Literal["repeat", "mask"] | None
    index: bool | str | os.PathLike[str] | None
    weights: Sequence[float] | Literal["balanced", "equal"] | None
    epoch_samples: int | None
    check: Literal["first", "always", "off"]
    error_budget: ErrorBudget | int | float | None
    with_index: bool
    cache: str | os.PathLike[str] | None
    cache_limit: int | None
    framework: Literal["torch", "numpy", "jax"]
    pin_threads: bool | Sequence[int]


class EvaluationOptions(LoaderOptions, total=False):
    """The same, and what the presets of training name themselves."""

    seed: int | None
    order: OrderOption | WeightedOrder | NodeOrder | RepeatedOrder | ClipOrder | HasSampleOrder


def further_options(preset: Callable[..., Any], options: Mapping[str, object], **defaults: object) -> dict[str, Any]:
    """Check the further options of a call, and return them with the defaults of those that it leaves out.

    Raises
    ------
    UnknownOptionError
        One of them is none that the preset takes or passes on.
    """
    if "pipelines" in options:
        raise UnknownOptionError(f"{preset.__name__} makes the pipelines itself; give pipelines of your own to Loader")
    passed_on = EvaluationOptions if preset.__name__.endswith("_val") else LoaderOptions
    check_keywords(preset.__name__, preset, options, passed_on.__optional_keys__, OF_DATALOADER)
    return {**defaults, **options}

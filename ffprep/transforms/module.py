"""Torch modules and plain functions as steps of a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ffprep.errors import OptionError
from ffprep.pipeline.form import BatchInfo
from ffprep.transforms.bases.transform import Transform


class ModuleWrapper(Transform):
    """Apply a ``torch.nn.Module``, or any function of one argument, to whole batches.

    Parameters
    ----------
    module : torch.nn.Module or callable
        Modules and functions that are listed in a pipeline are wrapped in this automatically. Any randomness inside
        is their own and does not follow the loader's seed.
    """

    def __init__(self, module: Callable[[Any], Any]) -> None:
        if not callable(module):
            raise OptionError(f"ModuleWrapper takes a torch module or a function, not {module!r}")
        self.module = module

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        return self.module(x)

    def __repr__(self) -> str:
        return f"ModuleWrapper({self.module!r})"

"""Batches for other frameworks than torch: pipelines are rewritten so that no step of them needs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ffprep.errors import OptionError
from ffprep.loader.plan.pipelines import Pipeline
from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms import ModuleWrapper, ToDevice, ToTensor, ToTorchImage
from ffprep.transforms.bases.transform import Transform, each

FRAMEWORKS = ("torch", "numpy", "jax")


def for_framework(pipeline: Pipeline, framework: str) -> Pipeline:
    """Return the pipeline with what is torch's alone taken out, and, for JAX, a step that makes JAX's arrays.

    Random streams stay as they are, so the values are the same for every framework.

    Raises
    ------
    OptionError
        The pipeline holds a torch module or a torch device.
    """
    if framework == "torch":
        return pipeline
    transforms: list[tuple[Any, int]] = []
    for item, stream in pipeline.transforms:
        where = f"pipeline {pipeline.name!r} holds {item!r}, which works on torch tensors; leave it out with framework="
        if isinstance(item, ToTensor) or (isinstance(item, ToDevice) and item.target is None):
            continue
        if isinstance(item, ToDevice) or (isinstance(item, ModuleWrapper) and _is_module(item.module)):
            raise OptionError(f"{where}{framework!r}")
        transforms.append((_ChannelsFirst(item.channels_last) if isinstance(item, ToTorchImage) else item, stream))
    if framework == "jax":
        transforms.append((_to_jax(), 0))
    return replace(pipeline, transforms=tuple(transforms))


def mask_steps(framework: str, device: Any) -> list[Transform]:
    """Return the transforms of the output that tells samples from padding."""
    if framework == "numpy":
        return []
    if framework == "jax":
        return [_to_jax()]
    return [ToTensor()] if device is None else [ToTensor(), ToDevice(device)]


def _is_module(module: Any) -> bool:
    return any(kind.__module__.startswith("torch.nn") for kind in type(module).__mro__)


class _ChannelsFirst(ToTorchImage):
    """`ToTorchImage` for arrays."""

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        fused = super().fuse(form, stream)
        return fused and replace(fused, tensor=form.tensor)

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        images = x.transpose(0, 3, 1, 2)
        return images if self.channels_last else np.ascontiguousarray(images)


class _ToJax(Transform):
    """Turn arrays into JAX's, on its default device, by its rules for types. What is no array is left as it is."""

    def __init__(self, convert: Any) -> None:
        self._convert = convert

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        return each(x, lambda y: self._convert(y) if isinstance(y, np.ndarray) else y)

    def __repr__(self) -> str:
        return "the conversion to JAX's arrays"


def _to_jax() -> Transform:
    try:
        from jax.numpy import asarray
    except ImportError as error:
        raise OptionError(f"framework='jax' needs JAX: pip install jax ({error})") from None
    return _ToJax(asarray)

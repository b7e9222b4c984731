"""Every public name a script imports from ffcv 1.0.2 is here, and takes the arguments it takes there."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

pytestmark = pytest.mark.ffcv

MODULES = {
    "ffcv": "Loader DatasetWriter",
    "ffcv.fields": "",
    "ffcv.fields.base": "Field",
    "ffcv.fields.basics": "IntField FloatField IntDecoder FloatDecoder BasicDecoder",
    "ffcv.fields.bytes": "BytesField BytesDecoder",
    "ffcv.fields.decoders": "",
    "ffcv.fields.json": "JSONField",
    "ffcv.fields.ndarray": "NDArrayField TorchTensorField NDArrayDecoder",
    "ffcv.fields.rgb_image": "RGBImageField SimpleRGBImageDecoder CenterCropRGBImageDecoder "
    "RandomResizedCropRGBImageDecoder",
    "ffcv.loader": "",
    "ffcv.pipeline": "PipelineSpec Compiler",
    "ffcv.pipeline.allocation_query": "AllocationQuery",
    "ffcv.pipeline.compiler": "Compiler",
    "ffcv.pipeline.operation": "Operation AllocationQuery State",
    "ffcv.pipeline.pipeline_spec": "PipelineSpec",
    "ffcv.pipeline.state": "State",
    "ffcv.reader": "Reader",
    "ffcv.transforms": "",
    "ffcv.transforms.color_jitter": "RandomBrightness RandomContrast RandomSaturation",
    "ffcv.transforms.common": "Squeeze",
    "ffcv.transforms.cutout": "Cutout",
    "ffcv.transforms.mixup": "ImageMixup LabelMixup MixupToOneHot",
    "ffcv.transforms.poisoning": "Poison",
    "ffcv.transforms.random_resized_crop": "RandomResizedCrop",
    "ffcv.transforms.replace_label": "ReplaceLabel",
    "ffcv.transforms.translate": "RandomTranslate",
    "ffcv.transforms.ops": "ToTensor ToDevice ToTorchImage Convert View",
    "ffcv.transforms.flip": "RandomHorizontalFlip",
    "ffcv.transforms.normalize": "NormalizeImage",
    "ffcv.transforms.module": "ModuleWrapper",
    "ffcv.traversal_order": "Random Sequential",
    "ffcv.writer": "DatasetWriter",
}
"""Modules and what scripts import from them; all of ``__all__`` where nothing is named."""

METHODS = {
    "Loader": "filter __iter__ __len__",
    "DatasetWriter": "from_indexed_dataset from_webdataset",
    "Operation": "accept_field accept_globals generate_code declare_shared_memory generate_code_for_shared_state "
    "declare_state_and_memory",
    "JSONField": "unpack",
    "Compiler": "set_enabled set_num_threads compile get_iterator",
    "TraversalOrder": "sample_order",
}

CASES = [
    (module, name)
    for module, names in MODULES.items()
    for name in (names.split() or pytest.importorskip(module).__all__)
]


def takes(stock: Any, ours: Any) -> None:
    """Check that ours can be called in every way in which stock can."""
    theirs = list(inspect.signature(stock).parameters.values())
    mine = list(inspect.signature(ours).parameters.values())
    named = {p.name for p in mine}
    position = 0
    for p in theirs:
        if p.kind is p.VAR_POSITIONAL:
            assert any(q.kind is q.VAR_POSITIONAL for q in mine), f"no *{p.name}"
            continue
        assert p.name in named, f"no argument {p.name}"
        assert mine[position].name == p.name, f"{p.name} is at another place"
        position += 1
        if p.default is not p.empty:
            assert mine[position - 1].default is not p.empty, f"{p.name} has no default"
    for q in mine[len(theirs) :]:
        assert q.kind in (q.VAR_POSITIONAL, q.VAR_KEYWORD) or q.default is not q.empty, f"{q.name} is needed here only"


@pytest.mark.parametrize(("module", "name"), CASES, ids=[f"{m}.{n}" for m, n in CASES])
def test_name_and_signature(module: str, name: str) -> None:
    stock = getattr(importlib.import_module(module), name)
    ours = getattr(importlib.import_module(module.replace("ffcv", "ffprep", 1)), name)
    if not (inspect.isclass(stock) and issubclass(stock, __import__("enum").Enum)):
        takes(stock, ours)
    for method in METHODS.get(name, "").split():
        takes(getattr(stock, method), getattr(ours, method))


def test_orders_have_the_same_members() -> None:
    from ffcv.loader import OrderOption as Stock

    from ffprep.loader import OrderOption

    assert set(Stock.__members__) <= set(OrderOption.__members__)


def test_what_is_internal_to_ffcv_is_an_import_error() -> None:
    for name in ("memory_managers", "memory_allocator", "pipeline.graph", "loader.epoch_iterator"):
        with pytest.raises(ModuleNotFoundError, match=f"ffprep.{name}"):
            importlib.import_module(f"ffprep.{name}")

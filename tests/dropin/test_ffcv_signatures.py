"""Every public name a script imports from ffcv 1.0.2 is here, and takes the arguments it takes there."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path
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


NOT_HERE = {
    "ffcv.memory_allocator": "the writer's placement of values: a file of ours is written by beton/writing",
    "ffcv.memory_managers.process_cache.context": "of reading ahead, which is loader/engine/readahead.py",
    "ffcv.memory_managers.process_cache.manager": "the same; the manager itself is in memory_managers",
    "ffcv.memory_managers.process_cache.page_reader": "the same",
    "ffcv.memory_managers.process_cache.schedule": "the same",
    "ffcv.pipeline.graph": "the compiler of pipelines, which are planned by loader/plan here",
}
"""Modules of ffcv's insides that are not here, and why."""

NAMES_NOT_HERE = {
    "ffcv.loader.epoch_iterator": "IS_CUDA QUASIRANDOM_ERROR_MSG select_buffer",
    "ffcv.fields.ndarray": "NDArrayArgsType",
    "ffcv.libffcv": "ctypes_imdecode ctypes_memcopy ctypes_resize lib",
    "ffcv.memory_managers.process_cache": "ProcessCacheContext",
    "ffcv.pipeline.allocation_query": "allocate_query",
    "ffcv.pipeline.pipeline": "BAD_COLLATION_MESSAGE",
    "ffcv.transforms.normalize": "ch_dtype_from_numpy",
    "ffcv.traversal_order.quasi_random": "generate_order_inner",
    "ffcv.utils": "cast_int_to_byte_ptr s_print_lock",
    "ffcv.writer": "count_samples_in_shard from_shard handle_sample worker_job_indexed_dataset worker_job_webdataset",
}
"""Names of ffcv's insides that are not here: helpers of code that is not here either."""


def stock_modules() -> list[str]:
    stock = pytest.importorskip("ffcv")
    names = [module.name for module in pkgutil.walk_packages(stock.__path__, "ffcv.")]
    return ["ffcv", *(n for n in names if not n.startswith(("ffcv.benchmarks", "ffcv._")))]


def names_of(module: Any) -> set[str]:
    """The public names that a module defines, and those that its ``__all__`` lists."""
    assigned = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.col_offset == 0:
            assigned.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.col_offset == 0:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            assigned |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {n for n in assigned | set(getattr(module, "__all__", ())) if not n.startswith("_")}


@pytest.mark.parametrize("name", stock_modules())
def test_every_module_and_name_of_ffcv_is_here_or_decided_against(name: str) -> None:
    ours = name.replace("ffcv", "ffprep", 1)
    if name in NOT_HERE:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(ours)
        return
    stock, here = importlib.import_module(name), importlib.import_module(ours)
    left_out = set(NAMES_NOT_HERE.get(name, "").split())
    assert {n for n in names_of(stock) if not hasattr(here, n)} == left_out


IMPORTED_BY_SCRIPTS = {
    "ffprep.fields.base": "ARG_TYPE Operation",
    "ffprep.fields.basics": "ARG_TYPE AllocationQuery Operation State",
    "ffprep.fields.bytes": "ARG_TYPE AllocationQuery Compiler Operation State",
    "ffprep.fields.ndarray": "ARG_TYPE AllocationQuery Compiler Operation State",
    "ffprep.fields.rgb_image": "ARG_TYPE AllocationQuery Compiler IMAGE_MODES Operation State imdecode resize_crop",
    "ffprep.traversal_order": "TraversalOrder",
}


@pytest.mark.parametrize("module", IMPORTED_BY_SCRIPTS)
def test_what_ffcvs_modules_import_can_be_imported_from_them(module: str) -> None:
    for name in IMPORTED_BY_SCRIPTS[module].split():
        assert hasattr(importlib.import_module(module), name)

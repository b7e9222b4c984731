"""Checks the pipelines that a loader is given: what decodes each output, what follows, and the random streams."""

from __future__ import annotations

import operator
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ffprep.errors import OptionError
from ffprep.fields.decoders import CaptionTextDecoder, Decoder, ImageDecoder, JSONDecoder, PlaceDecoder
from ffprep.fields.dense import ArrayImageDecoder, BoxesDecoder, BoxValuesDecoder, KeypointsDecoder, TargetDecoder
from ffprep.fields.ffcv_decoding import overridden
from ffprep.loader.files import Files
from ffprep.loader.plan.operations import OperationStage, is_operation
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import ModuleWrapper, ToDevice, ToTensor
from ffprep.transforms.bases.transform import Transform


@dataclass(frozen=True)
class Pipeline:
    """What the user wrote for one output, checked and complete; the same for all epochs.

    Attributes
    ----------
    name : str
        Of the output.
    source : str
        Field to read; empty if no field is read.
    decoder : Decoder or operation
    stream : int
        Random stream of the decoder.
    transforms : tuple of (transform or operation, random stream)
    draws : str or None
        Name of the output whose draws this one shares.
    follows : Pipeline or None
        That of the output whose draws this one shares, if what this one decodes follows its geometry.
    stages : dict of random stream to OperationStage
        Keeps the compiled code of user-written operations from epoch to epoch.
    """

    name: str
    source: str
    decoder: Any
    stream: int
    transforms: tuple[tuple[Any, int], ...]
    draws: str | None = None
    follows: Pipeline | None = None
    stages: dict[int, OperationStage] = field(default_factory=dict, compare=False, repr=False)


def copied(pipelines: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of what a loader was given, which later changes of the lists do not reach.

    Raises
    ------
    OptionError
        It is no mapping.
    """
    if pipelines is not None and not isinstance(pipelines, Mapping):
        raise OptionError(f"pipelines is a {type(pipelines).__name__}; give a dict with a pipeline for each output")
    return {name: list(given) if isinstance(given, list) else given for name, given in (pipelines or {}).items()}


def read_pipelines(pipelines: Mapping[str, Any], files: Files) -> list[Pipeline]:
    """Check ``pipelines`` and complete them with the fields' defaults, without changing what was given.

    Parameters
    ----------
    pipelines : mapping
        From an output's name to a sequence of operations, a PipelineSpec, or None to leave a field out.
    files : Files

    Returns
    -------
    list of Pipeline
        Fields in the file's order, then outputs under other names.

    Raises
    ------
    OptionError
        A name, a decoder or an entry does not fit; the message says which.
    """
    specs: dict[str, PipelineSpec] = {}
    for name in (*files.fields, *(n for n in pipelines if n not in files.fields)):
        given = pipelines.get(name, PipelineSpec(name))
        if given is None:
            continue
        if _is_spec(given):
            specs[name] = given
        elif isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
            if given and isinstance(given[0], PlaceDecoder):
                specs[name] = PipelineSpec("", decoder=given[0], transforms=given[1:])
                continue
            if name not in files.fields:
                raise OptionError(
                    f"pipelines has {name!r}, but {files} has the fields {', '.join(files.fields)}; "
                    "for a second output of a field give PipelineSpec(field, transforms=[...])"
                )
            specs[name] = PipelineSpec(name, transforms=given)
        else:
            raise OptionError(
                f"the pipeline of {name!r} must be a list of operations, a PipelineSpec or None, not {given!r}"
            )
    if not specs:
        raise OptionError("every field is switched off in pipelines; a loader needs at least one output")
    checked: dict[str, Pipeline] = {}
    for name, spec in specs.items():
        if isinstance(spec.source, str):
            checked[name] = _read_spec(name, spec, files)
    for name, spec in specs.items():
        if not isinstance(spec.source, str):
            checked[name] = _continue(name, spec, checked)
    along = BoxValuesDecoder, KeypointsDecoder  # these may follow boxes, which have to know their image by then
    for name in sorted(specs, key=lambda name: isinstance(checked[name].decoder, along)):
        checked[name] = _follow(checked[name], getattr(specs[name], "draws", None), checked)
    return [checked[name] for name in specs]


def is_stock_decoder(item: Any) -> bool:
    """Return whether something is one of stock ffcv's decoders, without importing ffcv."""
    return any(kind.__module__.startswith("ffcv.fields") for kind in type(item).__mro__)


def _is_spec(given: Any) -> bool:
    return all(hasattr(given, name) for name in ("source", "decoder", "transforms"))


def _streams(name: str, items: Sequence[Any], seen: dict[str, int]) -> list[tuple[Any, int]]:
    """Pair each item with its random stream: a hash of the output, the class and the number of its kind before it.

    Items with a seed have a stream of their class and that seed. `seen` counts the items of each class and is updated.
    """
    out = []
    for item in items:
        kind = type(item).__name__
        number = seen[kind] = seen.get(kind, -1) + 1
        draws = f"{name}:{kind}:{number}"
        if isinstance(item, (Transform, Decoder)) and item.seed is not None:
            draws = f"seed {operator.index(item.seed)}:{kind}"
        out.append((item, zlib.crc32(draws.encode()) & 0x7FFFFFFF))
    return out


def _wrap_module(item: Any, name: str) -> Any:
    if isinstance(item, Decoder) or is_stock_decoder(item):
        raise OptionError(f"pipeline {name!r}: {type(item).__name__} must come first, and only once")
    if isinstance(item, type):
        raise OptionError(f"pipeline {name!r} holds the class {item.__name__}; make an object of it: {item.__name__}()")
    if isinstance(item, Transform) or is_operation(item):
        return item
    if callable(item):
        return ModuleWrapper(item)
    raise OptionError(f"pipeline {name!r} holds {item!r}, which is no transform, operation, torch module or function")


def _read_spec(name: str, spec: PipelineSpec, files: Files) -> Pipeline:
    if isinstance(spec.decoder, PlaceDecoder):
        transforms = _streams(name, [_wrap_module(item, name) for item in spec.transforms], {})
        return Pipeline(name, "", spec.decoder, 0, tuple(transforms))
    if spec.source not in files.fields:
        raise OptionError(
            f"pipeline {name!r} reads the field {spec.source!r}, but {files} has the fields {', '.join(files.fields)}"
        )
    own = files.fields[spec.source]
    default = own.get_decoder_class()
    decoder, rest = spec.decoder, list(spec.transforms)
    if decoder is None and rest and (isinstance(rest[0], (Decoder, default)) or is_stock_decoder(rest[0])):
        decoder = rest.pop(0)
    if decoder is None:
        try:
            decoder = default()
        except TypeError as error:
            raise OptionError(
                f"pipeline {name!r}: {default.__name__} needs arguments; begin the pipeline with one ({error})"
            ) from None
    if isinstance(decoder, Decoder) and not is_operation(decoder):
        if unused := overridden(decoder):
            raise OptionError(
                f"pipeline {name!r}: {type(decoder).__name__} has {' and '.join(unused)} and would be run without; an "
                "operation of ffcv's protocol needs both generate_code and declare_state_and_memory"
            )
        if own.type_id not in decoder.type_ids:
            raise OptionError(
                f"pipeline {name!r}: {type(decoder).__name__} cannot read {spec.source!r}, a {type(own).__name__}"
            )
    elif not is_operation(decoder):
        raise OptionError(f"pipeline {name!r}: {decoder!r} is not a decoder")
    elif len(files) > 1:
        raise OptionError(f"pipeline {name!r}: {type(decoder).__name__}, an Operation, decodes a single file only")
    files.check(name, spec.source, decoder)
    if not rest and spec.default_pipeline and not isinstance(decoder, (JSONDecoder, CaptionTextDecoder)):
        rest = [ToTensor()]
    seen: dict[str, int] = {}
    drawn = getattr(spec, "draws", None) or name
    [(decoder, stream)] = _streams(drawn, [decoder], seen)
    transforms = _streams(drawn, [_wrap_module(item, name) for item in rest], seen)
    return Pipeline(name, spec.source, decoder, stream, tuple(transforms))


def _continue(name: str, spec: PipelineSpec, others: Mapping[str, Pipeline]) -> Pipeline:
    """Make the pipeline that continues another one after one of its operations.

    It repeats that part of the other pipeline with the same random draws.
    """
    if spec.decoder is not None:
        raise OptionError(f"pipeline {name!r} continues {spec.source!r}, so it cannot have a decoder of its own")
    found = [
        (other, i)
        for other in others.values()
        for i, item in enumerate([other.decoder, *(t for t, _ in other.transforms)])
        if item is spec.source or (isinstance(item, ModuleWrapper) and item.module is spec.source)
    ]
    if len(found) != 1:
        problem = "is in no other pipeline" if not found else "occurs more than once, so it is ambiguous"
        raise OptionError(f"pipeline {name!r} continues {spec.source!r}, which {problem}")
    other, place = found[0]
    rest = _streams(name, [_wrap_module(item, name) for item in spec.transforms], {})
    return Pipeline(name, other.source, other.decoder, other.stream, (*other.transforms[:place], *rest))


def _follow(pipeline: Pipeline, draws: str | None, others: Mapping[str, Pipeline]) -> Pipeline:
    """Return the pipeline with the one whose draws it shares, if it decodes what follows an image."""
    if draws is not None and draws not in others:
        raise OptionError(
            f"pipeline {pipeline.name!r} shares the draws of {draws!r}, which is no output; there are "
            f"{', '.join(others)}"
        )
    pipeline, decoder = replace(pipeline, draws=draws), pipeline.decoder
    array = isinstance(decoder, ArrayImageDecoder)
    if not isinstance(decoder, TargetDecoder) and not (array and draws is not None):
        return pipeline
    if array and decoder.shows is not None:
        raise OptionError(f"pipeline {pipeline.name!r}: {decoder!r} shows what {draws!r} shows, or a crop of its own")
    images = (ImageDecoder,) if array else (ImageDecoder, ArrayImageDecoder)
    wanted: tuple[tuple[type[Any], ...], str] = images, "an image"
    if isinstance(decoder, BoxValuesDecoder):
        wanted = (BoxesDecoder,), "boxes"
    elif isinstance(decoder, KeypointsDecoder):
        wanted = (*images, BoxesDecoder), "an image or boxes"
    if draws is None:
        raise OptionError(
            f"pipeline {pipeline.name!r}: {type(decoder).__name__} follows {wanted[1]}; name that output with "
            f"PipelineSpec({pipeline.source!r}, {type(decoder).__name__}(...), draws=...)"
        )
    other = others[draws]
    if not isinstance(other.decoder, wanted[0]) or is_operation(other.decoder):
        raise OptionError(
            f"pipeline {pipeline.name!r}: {type(decoder).__name__} follows {wanted[1]} of ffprep's decoders, and "
            f"{draws!r} begins with {type(other.decoder).__name__}"
        )
    if isinstance(other.decoder, ArrayImageDecoder) and other.draws is not None:
        raise OptionError(f"pipeline {pipeline.name!r}: {draws!r} itself follows {other.draws!r}; follow that instead")
    return replace(pipeline, follows=other)


def on_device(pipeline: Pipeline, device: Any) -> Pipeline:
    """Return the pipeline with its output on a device, unless it has a `ToDevice` of its own or gives no tensor.

    Images move before they are mixed with others, if the device can do all that follows; else at the end.
    """
    transforms = pipeline.transforms
    decides = any(isinstance(item, ToDevice) for item, _ in transforms)
    if decides or isinstance(pipeline.decoder, (JSONDecoder, CaptionTextDecoder)):
        return pipeline
    place = len(transforms)
    if isinstance(pipeline.decoder, ImageDecoder) and not is_operation(pipeline.decoder):
        mixing = next((i for i, (item, _) in enumerate(transforms) if getattr(item, "mixes", False)), place)
        if all(getattr(item, "any_device", False) for item, _ in transforms[mixing:]):
            place = mixing
    return replace(pipeline, transforms=(*transforms[:place], (ToDevice(device), 0), *transforms[place:]))

"""From pipelines to the plan: what the workers do in one pass, and which steps are left for the finished batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.fields import VariableArrayField
from ffprep.fields.decoders import (
    BasicDecoder,
    BytesDecoder,
    CaptionDecoder,
    CaptionTextDecoder,
    FileDecoder,
    ImageDecoder,
    JSONDecoder,
    NDArrayDecoder,
    PlaceDecoder,
    Ragged,
    TokensDecoder,
)
from ffprep.fields.dense import ArrayImageDecoder, TargetDecoder, VariableArrayDecoder
from ffprep.loader.files import Files
from ffprep.loader.plan.captions import check_tokens, plan_captions, text_of_captions
from ffprep.loader.plan.documents import parse_row
from ffprep.loader.plan.finish import Finish, on_host
from ffprep.loader.plan.forms import image_form
from ffprep.loader.plan.frameworks import mask_steps
from ffprep.loader.plan.operations import OperationStage, is_operation
from ffprep.loader.plan.outputs import NativeOp, Output, Rows
from ffprep.loader.plan.pipelines import Pipeline
from ffprep.loader.plan.steps import Step, make_step, transform_step
from ffprep.loader.plan.targets import longest, plan_array, plan_target
from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms import ToDevice
from ffprep.transforms.bases.transform import Transform

STORED_DTYPES = {"uint8": np.uint8, "float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
"""For each dtype of images, that of the array they are written to: numpy itself has no bfloat16."""


def plan_output(pipeline: Pipeline, files: Files, epoch: int = 0) -> Output:
    """Plan the output of a pipeline for one epoch: decide what the workers do and what is left as steps.

    Raises
    ------
    OptionError
        The pipeline does not fit the files.
    """
    decoder = pipeline.decoder
    if is_operation(decoder):
        output = _plan_operation(pipeline, decoder, files)
    elif isinstance(decoder, TargetDecoder):
        output = plan_target(pipeline, files, epoch)
    elif isinstance(decoder, ArrayImageDecoder):
        form, op, rest = plan_array(pipeline, files, epoch)
        if form.dtype == "bfloat16" and not form.tensor:
            _bfloat16(pipeline)
        steps = _steps(pipeline, rest, files)
        return Output(pipeline.name, pipeline.source, (op,), lambda arrays, batch: show(arrays[0], form), steps)
    elif isinstance(decoder, ImageDecoder):
        return _plan_image(pipeline, decoder, files, epoch)
    else:
        output = _plan_plain(pipeline, decoder, files)
    output.steps += _steps(pipeline, pipeline.transforms, files)
    return output


def mask_output(device: Any = None, framework: str = "torch") -> Output:
    """Plan the output that is True for rows that are samples and False for those that are padding."""
    steps = [transform_step(transform, 0, "the mask") for transform in mask_steps(framework, device)]
    return Output("mask", "", (), lambda arrays, batch: batch.mask, steps)


def _steps(pipeline: Pipeline, transforms: Sequence[tuple[Any, int]], files: Files) -> list[Step]:
    return [make_step(t, stream, pipeline.name, _stage_of(pipeline, t, stream, files)) for t, stream in transforms]


def _stage_of(pipeline: Pipeline, item: Any, stream: int, files: Files) -> OperationStage | None:
    if isinstance(item, Transform) or not is_operation(item):
        return None
    if stream not in pipeline.stages:
        pipeline.stages[stream] = OperationStage(item, pipeline.source, files)
    pipeline.stages[stream].renew()
    return pipeline.stages[stream]


def _plan_operation(pipeline: Pipeline, decoder: Any, files: Files) -> Output:
    stage = _stage_of(pipeline, decoder, pipeline.stream, files)
    assert stage is not None
    label = f"decoder {decoder!r} of {pipeline.name!r}"
    step = Step(lambda x, batch: stage.decode(batch), False, pipeline.stream, label)
    return Output(pipeline.name, pipeline.source, (), lambda arrays, batch: batch.ids, [step])


def _plan_plain(pipeline: Pipeline, decoder: Any, files: Files) -> Output:
    name, source = pipeline.name, pipeline.source
    if isinstance(decoder, FileDecoder):
        return Output(name, source, (), lambda arrays, batch: files.file_of(batch.ids))
    if isinstance(decoder, PlaceDecoder):
        return Output(name, source, (), lambda arrays, batch: batch.ids)
    if isinstance(decoder, BasicDecoder):
        return Output(name, source, (NativeOp("value", source, [((1,), decoder.dtype)]),), _first)
    own: Any = files.fields[source]
    if isinstance(decoder, TokensDecoder):
        check_tokens(np.dtype(own.dtype), decoder.dtype, f"pipeline {name!r}: field {source!r}")
        shape = tuple(int(side) for side in own.shape)
        return Output(name, source, (NativeOp("tokens", source, [(shape, decoder.dtype)]),), _first)
    if isinstance(decoder, CaptionTextDecoder):
        op = _ragged(source, files, BytesDecoder(lengths=True))
        texts = text_of_captions(source, decoder.captions, files)
        step = Step(texts, False, pipeline.stream, f"CaptionTextDecoder of pipeline {name!r}")
        return Output(name, source, (op,), lambda arrays, batch: Ragged(*arrays), [step])
    if isinstance(decoder, CaptionDecoder):
        natives, wrap = plan_captions(source, decoder, files)
        return Output(name, source, natives, wrap)
    if isinstance(decoder, NDArrayDecoder):
        dtype = np.dtype(own.dtype)
        native = dtype.newbyteorder("=")
        wrap = _first if dtype == native else (lambda arrays, batch: arrays[0].astype(native))
        op = NativeOp("array", source, [(tuple(int(s) for s in own.shape), dtype)])
        return Output(name, source, (op,), wrap)
    if isinstance(decoder, JSONDecoder):
        op = _ragged(source, files, BytesDecoder(lengths=True))
        return Output(name, source, (op,), lambda arrays, batch: Ragged(*arrays), [_parse_json(pipeline, files)])
    if isinstance(decoder, VariableArrayDecoder):
        return _plan_arrays(name, source, decoder, files)
    op = _ragged(source, files, decoder)
    return Output(name, source, (op,), (lambda arrays, batch: Ragged(*arrays)) if decoder.lengths else _first)


def _plan_arrays(name: str, source: str, decoder: VariableArrayDecoder, files: Files) -> Output:
    own: Any = files.fields[source]
    if not isinstance(own, VariableArrayField):
        raise OptionError(
            f"pipeline {name!r}: VariableArrayDecoder reads a VariableArrayField, and {source!r} is a "
            f"{type(own).__name__}"
        )
    each = own.row_elements
    count = decoder.count or longest(source, each * own.dtype.itemsize, files)
    op = _ragged(source, files, BytesDecoder(count * each, own.dtype, decoder.fill, lengths=True))
    return Output(
        name,
        source,
        (op,),
        lambda arrays, batch: Ragged(arrays[0].reshape(-1, count, *own.shape), arrays[1] // each),
    )


def _first(arrays: Sequence[npt.NDArray[Any]], batch: BatchInfo) -> Any:
    return arrays[0]


def _parse_json(pipeline: Pipeline, files: Files) -> Step:
    def parse(x: Ragged, batch: BatchInfo) -> list[Any]:
        rows = enumerate(zip(x.data, x.lengths, strict=True))
        return [parse_row(row, int(length), n, batch, pipeline.source, files) for n, (row, length) in rows]

    return Step(parse, False, pipeline.stream, f"JSONDecoder of pipeline {pipeline.name!r}")


def _ragged(source: str, files: Files, decoder: BytesDecoder) -> NativeOp:
    """Plan the reading of values of different lengths: rows are as long as `max_length` or the longest value."""
    size = decoder.dtype.itemsize
    length = decoder.max_length
    if length is None:
        length = max(1, -(-_longest(source, files) // size))
    fill = np.array([decoder.fill]).astype(decoder.dtype).tobytes()
    rows: list[Rows] = [((length,), decoder.dtype)]
    if decoder.lengths:
        rows.append(((), np.dtype(np.int64)))
    return NativeOp("ragged", source, rows, fill=fill)


def _longest(source: str, files: Files) -> int:
    """Return the bytes of the longest value, looked up once."""
    key = ("longest", source)
    if key not in files.tables:
        files.tables[key] = max(int(reader.extents(source)[1].max(initial=np.uint64(0))) for reader in files.readers)
    return int(files.tables[key])


def _plan_image(pipeline: Pipeline, decoder: ImageDecoder, files: Files, epoch: int) -> Output:
    form, rest = image_form(pipeline, decoder, files, epoch)
    steps = []
    if form.device is not None:
        move = ToDevice(form.device)
        label = f"of pipeline {pipeline.name!r}"
        steps.append(transform_step(move, 0, f"{move!r} {label}"))
        steps.append(Step(Finish(form), False, 0, f"normalisation and layout {label}"))
        form = on_host(form)
    if form.dtype == "bfloat16" and not form.tensor:
        _bfloat16(pipeline)
    size, channels = (form.height, form.width), form.channels
    shape = (channels, *size) if form.planar else (*size, channels)
    op = NativeOp(
        "image", pipeline.source, [(shape, np.dtype(STORED_DTYPES[form.dtype]))], (form, decoder, pipeline.stream)
    )
    steps += _steps(pipeline, rest, files)
    return Output(pipeline.name, pipeline.source, (op,), lambda arrays, batch: show(arrays[0], form), steps)


def show(stored: npt.NDArray[Any], form: ImageForm) -> Any:
    """Return a view of an array that workers filled, as the tensor or array that its form describes."""
    shown = stored.transpose(0, 3, 1, 2) if form.channels_first and not form.planar else stored
    if not form.tensor:
        return shown.view(_bfloat16()) if form.dtype == "bfloat16" else shown
    import torch

    if form.dtype == "bfloat16":
        return torch.from_numpy(shown.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(shown)


def _bfloat16(pipeline: Pipeline | None = None) -> Any:
    """Return the dtype that ml_dtypes, which comes with JAX, adds to numpy."""
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        where = "" if pipeline is None else f"pipeline {pipeline.name!r}: "
        raise OptionError(
            f"{where}numpy has no bfloat16; put ToTensor() into the pipeline, or install ml_dtypes"
        ) from None
    return bfloat16

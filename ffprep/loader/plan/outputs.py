"""From pipelines to a plan: what the workers' fused kernels write, and which steps are left for the finished batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
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
    size_at,
)
from ffprep.loader.files import Files
from ffprep.loader.plan.captions import CaptionArray, CaptionChoice, plan_captions, text_of_captions
from ffprep.loader.plan.finish import Finish, on_host
from ffprep.loader.plan.pipelines import Recipe
from ffprep.loader.plan.stages import OperationStage, Step, is_operation, make_step
from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms import ToDevice, ToTensor
from ffprep.transforms.base import Transform

Rows = tuple[tuple[int, ...], "np.dtype[Any]"]
"""Shape of one sample and dtype of an array the workers fill."""

STORED_DTYPES = {"uint8": np.uint8, "float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}


@dataclass
class NativeOp:
    """One operation of the workers.

    Attributes
    ----------
    kind : str
        ``value``, ``array``, ``tokens``, ``captions``, ``ragged`` or ``image``.
    field : str
    rows : list of (shape, dtype)
        Arrays that are filled.
    image : (form, decoder, crop stream), for images
    fill : bytes of one padding element, for ragged rows and captions
    captions : CaptionChoice, for captions
    """

    kind: str
    field: str
    rows: list[Rows]
    image: tuple[ImageForm, ImageDecoder, int] | None = None
    fill: bytes = b"\0"
    captions: CaptionChoice | None = None


@dataclass
class Output:
    """One member of the tuples a loader yields.

    Attributes
    ----------
    name, source : str
        Its own name and its field's.
    natives : tuple of NativeOp
        What the workers fill for it; empty when a user's operation decodes.
    wrap : callable
        Turns the filled arrays into what the first step gets.
    steps : list of Step
    """

    name: str
    source: str
    natives: tuple[NativeOp, ...]
    wrap: Callable[[Sequence[npt.NDArray[Any]], BatchInfo], Any]
    steps: list[Step] = field(default_factory=list)

    @property
    def heavy(self) -> int:
        """How many steps, from the first, to run outside the training thread."""
        heavy = [i for i, step in enumerate(self.steps) if not step.light]
        return heavy[-1] + 1 if heavy else 0

    @property
    def transfer(self) -> int | None:
        """Which step moves it to a device, if one does."""
        return next((i for i, step in enumerate(self.steps) if step.device is not None), None)


def plan_output(recipe: Recipe, files: Files, epoch: int = 0) -> Output:
    """Decide what of a recipe the kernels do and what is left as steps.

    Raises
    ------
    OptionError
        The recipe does not fit the file.
    """
    decoder = recipe.decoder
    if is_operation(decoder):
        output = _plan_operation(recipe, decoder, files)
    elif isinstance(decoder, ImageDecoder):
        return _plan_image(recipe, decoder, files, epoch)
    else:
        output = _plan_plain(recipe, decoder, files)
    output.steps += _steps(recipe, recipe.transforms, files)
    return output


def mask_output(device: Any = None) -> Output:
    """Plan the output that says which rows are no padding."""
    steps = [Step(ToTensor().apply, True, 0, "the mask")]
    if device is not None:
        move = ToDevice(device)
        steps.append(Step(move.apply, move.target is None, 0, "the mask", move.target))
    return Output("mask", "", (), lambda arrays, batch: batch.mask, steps)


def _steps(recipe: Recipe, transforms: Sequence[tuple[Any, int]], files: Files) -> list[Step]:
    return [make_step(t, stream, recipe.name, _stage_of(recipe, t, stream, files)) for t, stream in transforms]


def _stage_of(recipe: Recipe, item: Any, stream: int, files: Files) -> OperationStage | None:
    if isinstance(item, Transform) or not is_operation(item):
        return None
    if stream not in recipe.stages:
        recipe.stages[stream] = OperationStage(item, recipe.source, files)
    recipe.stages[stream].renew()
    return recipe.stages[stream]


def _plan_operation(recipe: Recipe, decoder: Any, files: Files) -> Output:
    stage = _stage_of(recipe, decoder, recipe.stream, files)
    assert stage is not None
    label = f"decoder {decoder!r} of {recipe.name!r}"
    step = Step(lambda x, batch: stage.decode(batch), False, recipe.stream, label)
    return Output(recipe.name, recipe.source, (), lambda arrays, batch: batch.ids, [step])


def _plan_plain(recipe: Recipe, decoder: Any, files: Files) -> Output:
    name, source = recipe.name, recipe.source
    if isinstance(decoder, FileDecoder):
        return Output(name, source, (), lambda arrays, batch: files.file_of(batch.ids))
    if isinstance(decoder, PlaceDecoder):
        return Output(name, source, (), lambda arrays, batch: batch.ids)
    if isinstance(decoder, BasicDecoder):
        return Output(name, source, (NativeOp("value", source, [((1,), decoder.dtype)]),), _first)
    own: Any = files.fields[source]
    if isinstance(decoder, TokensDecoder):
        if np.dtype(own.dtype) != np.dtype("<u2"):
            raise OptionError(f"pipeline {name!r}: TokensDecoder reads 16-bit tokens, and {source!r} holds {own.dtype}")
        shape = tuple(int(side) for side in own.shape)
        return Output(name, source, (NativeOp("tokens", source, [(shape, decoder.dtype)]),), _first)
    if isinstance(decoder, CaptionTextDecoder):
        op = _ragged(source, files, BytesDecoder(lengths=True))
        texts = text_of_captions(source, decoder.captions, files)
        step = Step(texts, False, recipe.stream, f"CaptionTextDecoder of pipeline {name!r}")
        return Output(name, source, (op,), lambda arrays, batch: Ragged(*arrays), [step])
    if isinstance(decoder, CaptionDecoder):
        arrays, wrap = plan_captions(source, decoder, files)
        return Output(name, source, tuple(_caption_op(array) for array in arrays), wrap)
    if isinstance(decoder, NDArrayDecoder):
        dtype = np.dtype(own.dtype)
        native = dtype.newbyteorder("=")
        wrap = _first if dtype == native else (lambda arrays, batch: arrays[0].astype(native))
        op = NativeOp("array", source, [(tuple(int(s) for s in own.shape), dtype)])
        return Output(name, source, (op,), wrap)
    if isinstance(decoder, JSONDecoder):
        op = _ragged(source, files, BytesDecoder(lengths=True))
        return Output(name, source, (op,), lambda arrays, batch: Ragged(*arrays), [_parse_json(recipe)])
    op = _ragged(source, files, decoder)
    return Output(name, source, (op,), (lambda arrays, batch: Ragged(*arrays)) if decoder.lengths else _first)


def _caption_op(array: CaptionArray) -> NativeOp:
    fill = array.fill.to_bytes(8, "little")
    return NativeOp("captions", array.field, [(array.shape, array.dtype)], fill=fill, captions=array.choice)


def _first(arrays: Sequence[npt.NDArray[Any]], batch: BatchInfo) -> Any:
    return arrays[0]


def _parse_json(recipe: Recipe) -> Step:
    from ffprep.fields.json import parse_document

    def parse(x: Ragged, batch: BatchInfo) -> list[Any]:
        return [parse_document(row[:length].tobytes()) for row, length in zip(x.data, x.lengths, strict=True)]

    return Step(parse, False, recipe.stream, f"JSONDecoder of pipeline {recipe.name!r}")


def _ragged(source: str, files: Files, decoder: BytesDecoder) -> NativeOp:
    size = decoder.dtype.itemsize
    length = decoder.max_length
    if length is None:
        longest = max(int(reader.extents(source)[1].max(initial=np.uint64(0))) for reader in files.readers)
        length = max(1, -(-longest // size))
    fill = np.array([decoder.fill]).astype(decoder.dtype).tobytes()
    rows: list[Rows] = [((length,), decoder.dtype)]
    if decoder.lengths:
        rows.append(((), np.dtype(np.int64)))
    return NativeOp("ragged", source, rows, fill=fill)


def _plan_image(recipe: Recipe, decoder: ImageDecoder, files: Files, epoch: int) -> Output:
    size = decoder.output_size
    height, width = _only_size(recipe, files) if size is None else size_at(size, epoch)
    form = ImageForm(height, width)
    rest = list(recipe.transforms)
    while rest:
        transform, stream = rest[0]
        fused = transform.fuse(form, stream) if isinstance(transform, Transform) else None
        if fused is None:
            break
        form = fused
        rest.pop(0)
    steps = []
    if form.device is not None:
        move = ToDevice(form.device)
        label = f"of pipeline {recipe.name!r}"
        steps.append(Step(move.apply, False, 0, f"{move!r} {label}", move.target))
        steps.append(Step(Finish(form), False, 0, f"normalisation and layout {label}"))
        form = on_host(form)
    if form.dtype == "bfloat16" and not form.tensor:
        raise OptionError(f"pipeline {recipe.name!r}: numpy has no bfloat16; put ToTensor() into the pipeline")
    shape = (3, form.height, form.width) if form.planar else (form.height, form.width, 3)
    op = NativeOp(
        "image", recipe.source, [(shape, np.dtype(STORED_DTYPES[form.dtype]))], (form, decoder, recipe.stream)
    )
    steps += _steps(recipe, rest, files)
    return Output(recipe.name, recipe.source, (op,), lambda arrays, batch: show(arrays[0], form), steps)


def show(stored: npt.NDArray[Any], form: ImageForm) -> Any:
    """Turn a filled image array into the tensor or array its form promises; a view."""
    if not form.tensor:
        return stored
    import torch

    if form.dtype == "bfloat16":
        images = torch.from_numpy(stored.view(np.int16)).view(torch.bfloat16)
    else:
        images = torch.from_numpy(stored)
    return images.permute(0, 3, 1, 2) if form.channels_first and not form.planar else images


def _only_size(recipe: Recipe, files: Files) -> tuple[int, int]:
    column = files.column(recipe.source)
    if len(column) == 0:
        return 1, 1
    heights, widths = column["height"], column["width"]
    low, high = (int(heights.min()), int(widths.min())), (int(heights.max()), int(widths.max()))
    if low != high:
        raise OptionError(
            f"pipeline {recipe.name!r}: the images of {recipe.source!r} differ in size, from {low[0]}x{low[1]} to "
            f"{high[0]}x{high[1]} (height x width); use RandomResizedCropRGBImageDecoder, "
            "CenterCropRGBImageDecoder or ResizeRGBImageDecoder"
        )
    return high

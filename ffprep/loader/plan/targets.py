"""Plans what follows an image: label masks, boxes, what goes with the boxes, keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.fields import MaskField, VariableArrayField
from ffprep.fields.dense import ArrayImageDecoder, Boxes, BoxesDecoder, BoxValuesDecoder, KeypointsDecoder, MaskDecoder
from ffprep.fields.dense.images import STORED
from ffprep.loader.files import Files
from ffprep.loader.plan.forms import array_form, array_shape, image_form, leader_form
from ffprep.loader.plan.outputs import ArrayView, NativeOp, Output, Rows, Target
from ffprep.loader.plan.pipelines import Pipeline
from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms.image import ImageOp
from ffprep.transforms.image.following import followers

FLOATS = np.dtype("<f4")


def plan_target(pipeline: Pipeline, files: Files, epoch: int) -> Output:
    """Plan the output of a pipeline that follows an image.

    Raises
    ------
    OptionError
        The field holds something else, or nothing can follow the image.
    """
    boxes = pipeline.follows if pipeline.follows and isinstance(pipeline.follows.decoder, BoxesDecoder) else None
    image = boxes.follows if boxes else pipeline.follows
    assert image is not None
    form, rest = leader_form(image, files, epoch)
    for transform, _ in rest:
        if isinstance(transform, ImageOp) and transform.follower("labels") is not None:
            raise OptionError(
                f"pipeline {pipeline.name!r} cannot follow {transform!r} of {image.name!r}, which is applied to "
                "finished batches; put it before NormalizeImage, Convert and torch modules"
            )
    decoder, source = pipeline.decoder, pipeline.source
    own: Any = files.fields[source]
    where = f"pipeline {pipeline.name!r}: {decoder!r}"
    together = (boxes.source, boxes.decoder) if boxes else None
    try:
        followers(form, "labels" if isinstance(decoder, MaskDecoder) else "points")
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from error
    sides = array_shape(image, files)[:2] if isinstance(image.decoder, ArrayImageDecoder) else (0, 0)
    view = getattr(image.decoder, "view", image.decoder)
    target = Target(decoder, form, view, image.stream, image.source, together, sides)
    if isinstance(decoder, MaskDecoder):
        return _plan_mask(pipeline, own, target, where)
    if isinstance(decoder, BoxesDecoder):
        _check_array(own, FLOATS, (4,), where, "boxes are a VariableArrayField('float32', (4,))")
        count = decoder.count or longest(source, 16, files)
        rows: list[Rows] = [((count, 4), FLOATS), ((), np.dtype(np.int64))]
        return Output(pipeline.name, source, (NativeOp("target", source, rows, target=target),), _boxes)
    if isinstance(decoder, BoxValuesDecoder):
        assert boxes is not None
        dtype = getattr(own, "dtype", FLOATS)
        _check_array(own, dtype, (), where, "values of boxes are a VariableArrayField of whole or floating numbers")
        rows = [((_count_of(boxes, files),), dtype)]
        fill = np.array([decoder.fill]).astype(dtype).tobytes()
        op = NativeOp("target", source, rows, fill=fill, target=target)
        return Output(pipeline.name, source, (op,), lambda arrays, batch: arrays[0])
    assert isinstance(decoder, KeypointsDecoder)
    shape: tuple[int, ...] = getattr(own, "shape", ())
    points = int(shape[0]) if len(shape) == 2 else 0
    _check_array(own, FLOATS, (points, 3), where, "keypoints are a VariableArrayField('float32', (points, 3))")
    if any(not 0 <= point < points for pair in decoder.swap for point in pair):
        raise OptionError(f"{where}: swap names points that are not among the {points} of a row")
    count = _count_of(boxes, files) if boxes else decoder.count or longest(source, 12 * points, files)
    rows = [((count, points, 3), FLOATS), ((), np.dtype(np.int64))]
    op = NativeOp("target", source, rows, target=target)
    return Output(pipeline.name, source, (op,), lambda arrays, batch: arrays[0])


def plan_array(pipeline: Pipeline, files: Files, epoch: int) -> tuple[ImageForm, NativeOp, list[Any]]:
    """Plan an output of images that are stored as arrays: its form, what workers do, and the transforms that are left.

    Raises
    ------
    OptionError
        The field holds something else, or the image that it follows is moved in ways that it cannot follow.
    """
    decoder, source, image = pipeline.decoder, pipeline.source, pipeline.follows
    own: Any = files.fields[source]
    where = f"pipeline {pipeline.name!r}: {decoder!r}"
    channels = array_shape(pipeline, files)[2]
    for numbers, name in ((decoder.mean, "mean"), (decoder.std, "std")):
        if numbers.size not in (1, channels):
            raise OptionError(f"{where}: {name} has {numbers.size} numbers for {channels} channels")
    view, stream = decoder.view, pipeline.stream
    if image is not None:
        view, stream = image.decoder, image.stream
    form, rest = array_form(pipeline, view, files, epoch)
    if image is not None:
        shown, others = image_form(image, image.decoder, files, epoch)
        moving = [
            op for op, _ in (*shown.ops, *others) if isinstance(op, ImageOp) and op.follower("labels") is not None
        ]
        if moving or form.flip is not None:
            what = repr(moving[0]) if moving else "its own flip"
            raise OptionError(f"{where} follows crop and flip of {image.name!r}, and cannot go with {what}")
        form = replace(form, flip=shown.flip, flip_stream=shown.flip_stream)
    stored = np.dtype(own.dtype)
    if stored.name not in STORED or stored.byteorder == ">":
        raise OptionError(f"{where} cannot show elements of {stored}; it shows {', '.join(STORED)}")
    dtype = decoder.dtype or stored.name
    if "float" not in dtype and dtype != stored.name:
        raise OptionError(f"{where}: {source!r} holds {stored.name}; dtype is that or a floating-point type")
    size = (form.height, form.width)
    rows: list[Rows] = [
        ((channels, *size) if form.planar else (*size, channels), np.dtype("uint16" if dtype == "bfloat16" else dtype))
    ]
    seen = ArrayView(decoder, replace(form, dtype=dtype), view, stream, image.source if image else None)
    return seen.form, NativeOp("array_image", source, rows, array=seen), rest


def longest(source: str, size: int, files: Files) -> int:
    """Return how many rows of `size` bytes the longest value of a field has, at least 1."""
    most = max(int(reader.extents(source)[1].max(initial=np.uint64(0))) for reader in files.readers)
    return max(1, most // size)


def _count_of(boxes: Pipeline, files: Files) -> int:
    return boxes.decoder.count or longest(boxes.source, 16, files)


def _plan_mask(pipeline: Pipeline, own: Any, target: Target, where: str) -> Output:
    if not isinstance(own, MaskField):
        raise OptionError(f"{where} reads a MaskField, and {pipeline.source!r} is a {type(own).__name__}")
    decoder, form = target.decoder, target.form
    dtype = decoder.dtype or own.dtype
    if dtype != own.dtype and (dtype.itemsize <= own.dtype.itemsize or dtype == np.uint16):
        raise OptionError(f"{where}: labels are stored as {own.dtype}, for which {dtype} is too narrow")
    if decoder.fill > np.iinfo(own.dtype).max:
        raise OptionError(f"{where}: the label {decoder.fill} does not fit {own.dtype}")
    rows: list[Rows] = [((form.height, form.width), dtype)]
    op = NativeOp("target", pipeline.source, rows, target=target)
    return Output(pipeline.name, pipeline.source, (op,), lambda arrays, batch: arrays[0])


def _check_array(own: Any, dtype: np.dtype[Any], shape: tuple[int, ...], where: str, wanted: str) -> None:
    if not isinstance(own, VariableArrayField) or own.dtype != dtype or own.shape != shape:
        raise OptionError(f"{where} cannot read {own!r}; {wanted}")


def _boxes(arrays: Sequence[npt.NDArray[Any]], batch: BatchInfo) -> Boxes:
    boxes, lengths = arrays
    return Boxes(boxes, np.arange(boxes.shape[1]) < lengths[:, None])

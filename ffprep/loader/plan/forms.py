"""What of an image's pipeline the workers do in one pass with decoding: its form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ffprep.errors import OptionError
from ffprep.fields import ArrayImageField, NDArrayField
from ffprep.fields.decoders import ImageDecoder, size_at
from ffprep.fields.dense import ArrayImageDecoder
from ffprep.fields.sizes import common_size
from ffprep.loader.files import Files
from ffprep.loader.plan.pipelines import Pipeline
from ffprep.pipeline.form import ImageForm
from ffprep.transforms import RandomHorizontalFlip, ToTensor, ToTorchImage
from ffprep.transforms.bases.transform import Transform
from ffprep.transforms.operations.canvas import CanvasDecoder, PlaceOnCanvas


def leader_form(pipeline: Pipeline, files: Files, epoch: int) -> tuple[ImageForm, list[tuple[Any, int]]]:
    """Return :func:`image_form` of an image, or :func:`array_form` of one that is stored as an array."""
    if isinstance(pipeline.decoder, ArrayImageDecoder):
        return array_form(pipeline, pipeline.decoder.view, files, epoch)
    return image_form(pipeline, pipeline.decoder, files, epoch)


def array_shape(pipeline: Pipeline, files: Files) -> tuple[int, int, int]:
    """Return height, width and channels of a field's arrays; height and width are 0 if each sample has its own.

    Raises
    ------
    OptionError
        The field does not hold images.
    """
    own, where = files.fields[pipeline.source], f"pipeline {pipeline.name!r}: field {pipeline.source!r}"
    if isinstance(own, ArrayImageField):
        return 0, 0, own.channels
    shape = own.shape if isinstance(own, NDArrayField) else ()
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) != 3:
        raise OptionError(
            f"{where} is {own!r}; ArrayImageDecoder reads an ArrayImageField, or an NDArrayField of two or three "
            "dimensions"
        )
    if pipeline.decoder.planes:
        return shape[1], shape[2], shape[0]
    return shape[0], shape[1], shape[2]


def array_form(
    pipeline: Pipeline, view: ImageDecoder, files: Files, epoch: int
) -> tuple[ImageForm, list[tuple[Any, int]]]:
    """Return the form of a pipeline's arrays that are images, and the transforms that are left for finished batches.

    Its dtype is uint8, whatever theirs is: it says where pixels go and not what they are.
    """
    height, width, channels = array_shape(pipeline, files)
    if view.crop().kind not in ("whole", "random", "center", "resize_center"):
        raise OptionError(f"pipeline {pipeline.name!r}: an array cannot be shown as {view!r} shows an image")
    if view.output_size is not None:
        height, width = size_at(view.output_size, epoch)
    elif height == 0:
        raise OptionError(
            f"pipeline {pipeline.name!r}: images of {pipeline.source!r} may differ in size; give ArrayImageDecoder a "
            "decoder that resizes, such as RandomResizedCropRGBImageDecoder(224)"
        )
    form, rest = ImageForm(height, width, channels=channels), list(pipeline.transforms)
    while rest and isinstance(rest[0][0], (RandomHorizontalFlip, ToTensor, ToTorchImage)):
        fused = rest[0][0].fuse(form, rest[0][1])
        if fused is None or fused.ops:
            break
        form = fused
        rest.pop(0)
    return replace(form, planar=form.channels_first and (form.planar or channels == 1)), rest


def image_form(
    pipeline: Pipeline, decoder: ImageDecoder, files: Files, epoch: int
) -> tuple[ImageForm, list[tuple[Any, int]]]:
    """Return the form of a pipeline's images in an epoch, and the transforms that cannot be folded into it."""
    size = decoder.output_size
    where = f"pipeline {pipeline.name!r}: field {pipeline.source!r}"
    height, width = common_size(files.column(pipeline.source), where) if size is None else size_at(size, epoch)
    form = ImageForm(height, width)
    if isinstance(decoder, CanvasDecoder):
        form = replace(form, ops=((PlaceOnCanvas(decoder.fill), 0),), rendered=(height, width))
    rest = list(pipeline.transforms)
    # As long as transforms can be folded into the form, the workers do them in one pass with decoding.
    while rest:
        transform, stream = rest[0]
        fused = transform.fuse(form, stream) if isinstance(transform, Transform) else None
        if fused is None:
            break
        form = fused
        rest.pop(0)
    if form.channels == 1 and form.channels_first:
        form = replace(form, planar=True)  # one channel lies in memory as its only plane
    return form, rest

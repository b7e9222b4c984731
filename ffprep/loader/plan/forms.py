"""What of an image's pipeline the workers do in one pass with decoding: its form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ffprep.fields.decoders import ImageDecoder, size_at
from ffprep.fields.sizes import common_size
from ffprep.loader.files import Files
from ffprep.loader.plan.pipelines import Pipeline
from ffprep.pipeline.form import ImageForm
from ffprep.transforms.base import Transform
from ffprep.transforms.operations.canvas import CanvasDecoder, PlaceOnCanvas


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
    return form, rest

"""What goes with an image pixel by pixel or object by object: label masks, boxes, keypoints, lists of values."""

from __future__ import annotations

from ffprep.fields.dense.arrays import VariableArrayField
from ffprep.fields.dense.decoders import (
    Boxes,
    BoxesDecoder,
    BoxValuesDecoder,
    KeypointsDecoder,
    MaskDecoder,
    TargetDecoder,
    VariableArrayDecoder,
)
from ffprep.fields.dense.images import ArrayImageDecoder, ArrayImageField
from ffprep.fields.dense.masks import MaskField

__all__ = [
    "ArrayImageDecoder",
    "ArrayImageField",
    "BoxValuesDecoder",
    "Boxes",
    "BoxesDecoder",
    "KeypointsDecoder",
    "MaskDecoder",
    "MaskField",
    "TargetDecoder",
    "VariableArrayDecoder",
    "VariableArrayField",
]

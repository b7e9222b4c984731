"""Ready-made loaders for the data sets that ffprep converts: one call each.

Every function returns a :class:`ffprep.Loader`. Keywords that it does not name are passed on to `Loader`.
"""

from ffprep.presets.image_text import image_text_train, image_text_val
from ffprep.presets.images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    image_pipeline,
    imagenet_train,
    imagenet_val,
    normalized,
    scalar_pipeline,
)
from ffprep.presets.text import array_pipeline, number_pipelines, text_blocks, tokens_pipeline
from ffprep.presets.text_rows import text_rows

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "array_pipeline",
    "image_pipeline",
    "image_text_train",
    "image_text_val",
    "imagenet_train",
    "imagenet_val",
    "normalized",
    "number_pipelines",
    "scalar_pipeline",
    "text_blocks",
    "text_rows",
    "tokens_pipeline",
]

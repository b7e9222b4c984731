"""ffcv's module path of functions of `ffprep.fields.ffcv_images`."""

from ffprep.fields.ffcv_images import compiled_center_crop as get_center_crop
from ffprep.fields.ffcv_images import compiled_random_crop as get_random_crop
from ffprep.fields.ffcv_images import resize_crop

__all__ = ["get_center_crop", "get_random_crop", "resize_crop"]

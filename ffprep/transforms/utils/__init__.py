"""ffcv's module path of `ffprep.fields.ffcv_images`: what its `fast_crop` has."""

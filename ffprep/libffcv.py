"""ffcv's module path of `ffprep.jpeg.ffcv_calls`."""

from ffprep.jpeg.ffcv_calls import imdecode, memcpy, read, resize_crop

__all__ = ["imdecode", "memcpy", "read", "resize_crop"]

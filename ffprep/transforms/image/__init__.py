"""Operations on one image at a time: in the loader's workers, before normalisation, or on finished batches.

`operation` is what they all derive from, `program` writes them into the records that workers go by, `following` does
the same for what goes with an image (masks, boxes, keypoints), and `pixels` says how pixels lie in batches.
"""

from ffprep.transforms.image.operation import ChanceOp, ImageOp, apply_to_batch
from ffprep.transforms.image.pixels import Numbers, channels_last, element_table, pixel_bytes, with_pixel
from ffprep.transforms.image.program import build_program

__all__ = [
    "ChanceOp",
    "ImageOp",
    "Numbers",
    "apply_to_batch",
    "build_program",
    "channels_last",
    "element_table",
    "pixel_bytes",
    "with_pixel",
]

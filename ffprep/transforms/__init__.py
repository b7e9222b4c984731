"""Transforms under ffcv's names. They are declarations: the loader fuses what it can into one pass over each image."""

from ffprep.transforms.base import Transform
from ffprep.transforms.common import Squeeze
from ffprep.transforms.flip import RandomHorizontalFlip
from ffprep.transforms.module import ModuleWrapper
from ffprep.transforms.normalize import NormalizeImage
from ffprep.transforms.ops import Convert, ToDevice, ToTensor, ToTorchImage, View

__all__ = [
    "Convert",
    "ModuleWrapper",
    "NormalizeImage",
    "RandomHorizontalFlip",
    "Squeeze",
    "ToDevice",
    "ToTensor",
    "ToTorchImage",
    "Transform",
    "View",
]

"""Transforms under ffcv's names, and more: declarations, which the loader folds into its workers' pass if it can.

There is a module for each of the twelve that ``ffcv.transforms`` has, since scripts also import from these by name:
`color_jitter`, `common`, `cutout`, `flip`, `mixup`, `module`, `normalize`, `ops`, `poisoning`, `random_resized_crop`,
`replace_label` and `translate`. ffprep's own are `blur` and `levels` (more operations), `resized_crop` (decoders of
FFCV-SSL), `base` (what a transform is), `image` (operations on one image at a time) and the folder `compiled` (their
code).
"""

from ffprep.transforms.base import Transform
from ffprep.transforms.blur import GaussianBlur
from ffprep.transforms.color_jitter import (
    ColorJitter,
    RandomBrightness,
    RandomColorJitter,
    RandomContrast,
    RandomSaturation,
)
from ffprep.transforms.common import Squeeze
from ffprep.transforms.cutout import Cutout, RandomErasing
from ffprep.transforms.flip import RandomHorizontalFlip, RandomVerticalFlip
from ffprep.transforms.levels import (
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarization,
    RandomSolarize,
)
from ffprep.transforms.mixup import CutMix, ImageMixup, LabelMixup, Mixup, MixupOrCutMix, MixupToOneHot
from ffprep.transforms.module import ModuleWrapper
from ffprep.transforms.normalize import NormalizeImage
from ffprep.transforms.ops import Convert, ToDevice, ToTensor, ToTorchImage, View
from ffprep.transforms.poisoning import Poison
from ffprep.transforms.random_resized_crop import RandomResizedCrop, Resize
from ffprep.transforms.replace_label import ReplaceLabel
from ffprep.transforms.resized_crop import CornerCrop, PadRGBImageDecoder
from ffprep.transforms.translate import CenterCrop, RandomCrop, RandomTranslate

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Convert",
    "CornerCrop",
    "CutMix",
    "Cutout",
    "GaussianBlur",
    "ImageMixup",
    "LabelMixup",
    "Mixup",
    "MixupOrCutMix",
    "MixupToOneHot",
    "ModuleWrapper",
    "NormalizeImage",
    "PadRGBImageDecoder",
    "Poison",
    "RandomAutocontrast",
    "RandomBrightness",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomSaturation",
    "RandomSolarization",
    "RandomSolarize",
    "RandomTranslate",
    "RandomVerticalFlip",
    "ReplaceLabel",
    "Resize",
    "Squeeze",
    "ToDevice",
    "ToTensor",
    "ToTorchImage",
    "Transform",
    "View",
]

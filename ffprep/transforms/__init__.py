"""Transforms under ffcv's names, and more: declarations, which the loader folds into its workers' pass if it can.

There is a module for each of the twelve that ``ffcv.transforms`` has, since scripts also import from these by name:
`color_jitter`, `common`, `cutout`, `flip`, `mixup`, `module`, `normalize`, `ops`, `poisoning`, `random_resized_crop`,
`replace_label` and `translate`. `resized_crop` is such a module of FFCV-SSL. ffprep's own are the folders `bases` (what
a transform is), `image` (operations on one image at a time), `operations` (these, beyond ffcv's, and those made of
others), `policies` (RandAugment and its kin) and `compiled` (their code).
"""

from ffprep.transforms.bases.transform import Transform
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
from ffprep.transforms.mixup import CutMix, ImageMixup, LabelMixup, Mixup, MixupOrCutMix, MixupToOneHot
from ffprep.transforms.module import ModuleWrapper
from ffprep.transforms.normalize import NormalizeImage
from ffprep.transforms.operations.blur import GaussianBlur
from ffprep.transforms.operations.canvas import (
    LetterboxRGBImageDecoder,
    RandomResizeRGBImageDecoder,
    ScaleJitterRGBImageDecoder,
)
from ffprep.transforms.operations.compose import RandomApply, RandomChoice, RandomOrder
from ffprep.transforms.operations.enhance import (
    AutoContrast,
    Brightness,
    Color,
    Contrast,
    Equalize,
    Invert,
    Posterize,
    Sharpness,
    Solarize,
    SolarizeAdd,
)
from ffprep.transforms.operations.geometry import (
    RandomAffine,
    RandomPerspective,
    RandomRotation,
    Rotate,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
)
from ffprep.transforms.operations.grayscale import Grayscale
from ffprep.transforms.operations.levels import (
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarization,
    RandomSolarize,
)
from ffprep.transforms.operations.mosaic import Mosaic
from ffprep.transforms.operations.multi_hot import MultiHot
from ffprep.transforms.operations.shapes import Affine, ElasticTransform, Perspective
from ffprep.transforms.ops import Convert, ToDevice, ToTensor, ToTorchImage, View
from ffprep.transforms.poisoning import Poison
from ffprep.transforms.policies import (
    AugMix,
    AutoAugment,
    AutoAugmentPolicy,
    RandAugment,
    ThreeAugment,
    TrivialAugmentWide,
    timm_policy,
)
from ffprep.transforms.random_resized_crop import RandomResizedCrop, Resize
from ffprep.transforms.replace_label import ReplaceLabel
from ffprep.transforms.resized_crop import CornerCrop, PadRGBImageDecoder
from ffprep.transforms.translate import CenterCrop, RandomCrop, RandomTranslate

__all__ = [
    "Affine",
    "AugMix",
    "AutoAugment",
    "AutoAugmentPolicy",
    "AutoContrast",
    "Brightness",
    "CenterCrop",
    "Color",
    "ColorJitter",
    "Contrast",
    "Convert",
    "CornerCrop",
    "CutMix",
    "Cutout",
    "ElasticTransform",
    "Equalize",
    "GaussianBlur",
    "Grayscale",
    "ImageMixup",
    "Invert",
    "LabelMixup",
    "LetterboxRGBImageDecoder",
    "Mixup",
    "MixupOrCutMix",
    "MixupToOneHot",
    "ModuleWrapper",
    "Mosaic",
    "MultiHot",
    "NormalizeImage",
    "PadRGBImageDecoder",
    "Perspective",
    "Poison",
    "Posterize",
    "RandAugment",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomBrightness",
    "RandomChoice",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomOrder",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizeRGBImageDecoder",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSaturation",
    "RandomSolarization",
    "RandomSolarize",
    "RandomTranslate",
    "RandomVerticalFlip",
    "ReplaceLabel",
    "Resize",
    "Rotate",
    "ScaleJitterRGBImageDecoder",
    "Sharpness",
    "ShearX",
    "ShearY",
    "Solarize",
    "SolarizeAdd",
    "Squeeze",
    "ThreeAugment",
    "ToDevice",
    "ToTensor",
    "ToTorchImage",
    "Transform",
    "TranslateX",
    "TranslateY",
    "TrivialAugmentWide",
    "View",
    "timm_policy",
]

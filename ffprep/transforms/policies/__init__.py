"""Policies: RandAugment, TrivialAugment, AutoAugment, AugMix and 3-Augment, by parameters or by timm's strings."""

from ffprep.transforms.policies.auto import AutoAugment, AutoAugmentPolicy
from ffprep.transforms.policies.mixing import AugMix
from ffprep.transforms.policies.policy import Policy
from ffprep.transforms.policies.rand import RandAugment, ThreeAugment, TrivialAugmentWide
from ffprep.transforms.policies.timm import timm_policy

__all__ = [
    "AugMix",
    "AutoAugment",
    "AutoAugmentPolicy",
    "Policy",
    "RandAugment",
    "ThreeAugment",
    "TrivialAugmentWide",
    "timm_policy",
]

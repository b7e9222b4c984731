"""timm's strings for policies: ``rand-m9-mstd0.5-inc1``, ``original``, ``v0``, ``3a``, ``augmix-m3-w3``."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ffprep.errors import OptionError
from ffprep.transforms.operations.blur import GaussianBlur
from ffprep.transforms.policies.auto import IMAGENET, V0, read_rows
from ffprep.transforms.policies.mixing import Mixing
from ffprep.transforms.policies.policy import Candidate, Policy, PolicyStep
from ffprep.transforms.policies.spaces import timm_space

TOP = 10.0
"""Greatest magnitude, unless ``mmax`` says otherwise."""
ALWAYS_UNIFORM = 100.0
"""A deviation greater than this stands for magnitudes that are uniform from 0."""
RAND = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast",
    "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel",
)  # fmt: skip
INCREASING = {"Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness"}
"""Operations that have a form whose strength grows with the magnitude."""
AUGMIX = (
    "AutoContrast", "ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing", "Equalize",
    "Rotate", "PosterizeIncreasing", "SolarizeIncreasing", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel",
)  # fmt: skip
WEIGHTS = {
    "Rotate": 0.3, "ShearX": 0.2, "ShearY": 0.2, "TranslateXRel": 0.1, "TranslateYRel": 0.1, "Color": 0.025,
    "Sharpness": 0.025, "AutoContrast": 0.025, "Solarize": 0.005, "SolarizeAdd": 0.005, "Contrast": 0.005,
    "Brightness": 0.005, "Equalize": 0.005, "Posterize": 0.0, "Invert": 0.0,
}  # fmt: skip
KEYS = {
    "rand": {"m", "n", "p", "w", "mstd", "mmax", "inc", "t"},
    "augmix": {"m", "w", "d", "a", "b", "mstd"},
    "auto": {"mstd"},
}


def timm_policy(config: str, interpolation: Any = "random", fill: Any = 128) -> Policy:
    """Return the policy that a string of timm's ``--aa`` option stands for.

    Parameters
    ----------
    config : str
        A policy and parameters, joined by hyphens:

        - ``rand`` with ``m`` (magnitude, 10), ``n`` (operations, 2), ``p`` (probability of each, 0.5), ``mstd``
          (deviation of the magnitude, 0; above 100: uniform), ``mmax`` (greatest magnitude, 10), ``inc1`` (forms whose
          strength grows with the magnitude), ``w0`` or ``tweights`` (timm's weights, without replacement), ``t3a``;
        - ``original``, ``originalr``, ``v0``, ``v0r``, ``3a`` with ``mstd``;
        - ``augmix`` with ``m`` (3), ``w`` (chains, 3), ``d`` (depth, -1: one to three), ``a`` (alpha, 1), ``mstd``
          (uniform by default).
    interpolation : {'random', 'bilinear', 'bicubic', 'nearest'}
        ``random`` draws bilinear or bicubic for each operation, as timm does.
    fill : float or sequence of three
        Levels of what lies outside the image. timm's own default is 128; its training script takes the mean,
        (124, 116, 104) for ImageNet.

    Raises
    ------
    OptionError
        The string has a part that timm does not have, or one that is not supported, and the message names it.
    """
    name, _, rest = config.partition("-")
    kind = name if name in ("rand", "augmix") else "auto"
    options = _options(config, rest, KEYS[kind])
    space = timm_space(interpolation, fill)
    noise = _noise(options.get("mstd"), options.get("mmax", TOP) or TOP, "uniform" if kind == "augmix" else "fixed")
    if kind == "rand":
        return _rand(config, options, space, noise)
    if kind == "augmix":
        if options.get("b"):
            raise OptionError(f"{config!r}: 'b' is not supported; without it chains are blended as in the paper")
        depth, width = int(options.get("d", -1)), int(options.get("w", 3))
        names = [space[part] for part in AUGMIX]
        return Mixing(names, options.get("m", 3), width, depth, options.get("a", 1.0), **noise)
    return _auto(config, name, space, noise)


def _options(config: str, rest: str, keys: set[str]) -> dict[str, Any]:
    """Read the parts of a string after the first: letters, then a number (or, after ``t``, a name)."""
    options: dict[str, Any] = {}
    for part in re.split(r"-(?!\d)", rest) if rest else []:
        if part.startswith("t") and "t" in keys:
            options["t"] = part[1:]
            continue
        found = re.fullmatch(r"([a-z]+)(-?[\d.]+|inf)", part)
        if found is None or found[1] not in keys:
            known = ", ".join(sorted(keys))
            raise OptionError(f"{config!r} has the part {part!r}; parts of this policy are a number after {known}")
        try:
            options[found[1]] = float(found[2])
        except ValueError:
            raise OptionError(f"{config!r} has the part {part!r}, which is no number after letters") from None
    return options


def _noise(mstd: float | None, greatest: float, default: str) -> dict[str, Any]:
    if mstd is None or mstd > ALWAYS_UNIFORM:
        return {"noise": default if mstd is None else "uniform", "greatest": greatest}
    return {"noise": "gauss" if mstd > 0 else "fixed", "deviation": mstd, "greatest": greatest}


def _rand(config: str, options: dict[str, Any], space: dict[str, Candidate], noise: dict[str, Any]) -> Policy:
    forms = {name: f"{name}Increasing" for name in INCREASING} if options.get("inc") else {}
    weights = dict.fromkeys(RAND, 1.0)
    choice = options.get("t", "weights" if "w" in options else "")
    if options.get("w"):
        raise OptionError(f"{config!r}: timm has only the weights w0")
    if choice == "weights":
        weights = WEIGHTS
    elif choice == "3a":
        weights, forms = {"SolarizeIncreasing": 1.0, "Desaturate": 1.0, "GaussianBlur": 1.0}, {}
    elif choice:
        raise OptionError(f"{config!r}: the operations {choice!r} are not known; choose tweights or t3a")
    chosen = [replace(space[forms.get(name, name)], weight=weight) for name, weight in weights.items()]
    step = PolicyStep("", options.get("p", 0.5), options.get("m", TOP))
    return Policy(chosen, [[step] * int(options.get("n", 2))], replace=choice != "weights", **noise)


def _auto(config: str, name: str, space: dict[str, Candidate], noise: dict[str, Any]) -> Policy:
    if name == "3a":
        space["GaussianBlur"] = replace(space["GaussianBlur"], op=GaussianBlur(13, (0.1, 2.0)))
        rows = [[PolicyStep("Solarize", 1.0, 5)], [PolicyStep("Desaturate", 1.0, 10)], [PolicyStep("GaussianBlur")]]
    elif name in ("v0", "v0r", "original", "originalr"):
        table = V0 if name.startswith("v0") else IMAGENET
        forms = {"Posterize": "PosterizeIncreasing"} if name.endswith("r") else {}
        if name == "original":
            forms = {"Posterize": "PosterizeOriginal"}
        rows = read_rows(table, forms)
    else:
        raise OptionError(f"{config!r} names no policy; choose rand, augmix, original, originalr, v0, v0r or 3a")
    used = {step.candidate for row in rows for step in row}
    return Policy([candidate for candidate in space.values() if candidate.name in used], rows, **noise)

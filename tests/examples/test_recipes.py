"""Every recipe takes some steps on the demo data, and says whose it is."""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.py") if path.stem != "common")
DENSE = ("segmentation", "detection")


@pytest.fixture(scope="module")
def imported() -> Iterator[Any]:
    """Import a module of the recipes by its name."""
    before, threads = (set(sys.modules), list(sys.path)), torch.get_num_threads()
    torch.set_num_threads(1)  # models so small are slowed down by more
    sys.path.insert(0, str(RECIPES))
    yield importlib.import_module
    torch.set_num_threads(threads)
    sys.path[:] = before[1]
    for name in set(sys.modules) - before[0]:
        if str(RECIPES.parent) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture(scope="module")
def files(imported: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The demo photographs, without and with objects."""
    folder = tmp_path_factory.mktemp("recipes")
    common = imported("common")
    return {True: common.objects(folder), False: folder / "images-48-0.beton"}


def test_all_that_are_asked_for_are_there() -> None:
    assert {
        "resnet50", "deit3", "convnext", "simclr", "byol", "dino", "fixmatch", "segmentation", "detection", "cifar10",
    } <= set(NAMES)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_recipe(name: str, imported: Any, files: dict[bool, Path], capsys: pytest.CaptureFixture[str]) -> None:
    recipe = imported(name)
    assert re.search(r'"[^"]+"[^.]*, 20\d\d', recipe.__doc__)  # a title in quotes, and the year
    arguments = ["--steps", 2, "--size", 32, "--batch-size", 6, "--classes", 6, "--data", files[name in DENSE]]
    losses = recipe.main([str(argument) for argument in arguments])
    assert len(losses) == 2 and all(math.isfinite(loss) and loss > 0 for loss in losses)
    assert f"step 2: loss {losses[1]:.3f}" in capsys.readouterr().out


def test_fixmatchs_operations_have_the_papers_ranges(imported: Any) -> None:
    found = {}
    for one in imported("fixmatch").rand_augment().candidates:
        slope = one.slope(40, 40) / 40 if callable(one.slope) else one.slope
        found[one.name] = None if slope is None else tuple(sorted((one.offset, round(one.offset + 10 * slope, 9))))
    enhanced = dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), (0.05, 0.95))
    moved = dict.fromkeys(("ShearX", "ShearY", "TranslateX", "TranslateY"), (0, 0.3))
    plain = dict.fromkeys(("Identity", "AutoContrast", "Equalize"))
    assert found == {**plain, **enhanced, **moved, "Posterize": (4, 8), "Rotate": (0, 30), "Solarize": (0, 256)}

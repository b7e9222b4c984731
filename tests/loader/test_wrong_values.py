"""Arguments of the wrong kind, which Python itself would take or fail on somewhere inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import ffprep
from ffprep import Dataset, Loader, RepeatedOrder, WeightedOrder, presets, transforms
from ffprep.cli import main
from ffprep.fields import decoders

IMAGE = "pipelines={'image': [decoders.RandomResizedCropRGBImageDecoder(32)]}"
"""Of a loader that would be right but for its mistake."""

MISTAKES = [
    (
        f"Loader('images.beton', 2, drop_last='no', {IMAGE})",
        ffprep.errors.OptionError,
        "drop_last is 'no'; give True or",
    ),
    (
        f"Loader('images.beton', 2, os_cache='yes', {IMAGE})",
        ffprep.errors.OptionError,
        "os_cache is 'yes'; give True or",
    ),
    (
        f"Loader('images.beton', 2, with_index=3, {IMAGE})",
        ffprep.errors.OptionError,
        "with_index is 3; give True or Fal",
    ),
    (f"Loader('images.beton', True, {IMAGE})", ffprep.errors.OptionError, "batch_size is True; give a whole number"),
    (
        f"Loader('images.beton', 2, rank='0', world_size=2, {IMAGE})",
        ffprep.errors.OptionError,
        "rank is '0'; give a who",
    ),
    (
        f"Loader('images.beton', 2, {IMAGE}).filter('label', 3)",
        ffprep.errors.OptionError,
        "condition is 3; give a funct",
    ),
    (
        "presets.imagenet_train(2, 'images.beton')",
        ffprep.errors.OptionError,
        "2 is no path; give that of a .beton file",
    ),
    (
        "presets.imagenet_val('images.beton', 2, resize='256', crop='center')",
        ffprep.errors.OptionError,
        "ResizeCenterCropRGBImageDecoder(224, '256', ",
    ),
    (
        "presets.text_blocks('blocks.beton', 2, block='32')",
        ffprep.errors.OptionError,
        "block is '32'; give a whole numb",
    ),
    ("Dataset('images.beton', raw=True, indices_=[1])", ffprep.errors.UnknownOptionError, "did you mean indices?"),
    ("Dataset('images.beton', transform=str)", ffprep.errors.UnknownOptionError, "transform'; give pipelines instead"),
    (
        "transforms.Cutout('a')",
        ffprep.errors.OptionError,
        "Cutout('a'): invalid literal for int() with base 10: 'a'; it ",
    ),
    ("transforms.RandAugment('hard')", ffprep.errors.OptionError, "RandAugment('hard'): "),
    (
        "transforms.ColorJitter(brightness='x')",
        ffprep.errors.OptionError,
        "ColorJitter(brightness='x'): could not conve",
    ),
    (
        "transforms.RandomErasing(p='a')",
        ffprep.errors.OptionError,
        "it takes (p: float = 0.5, scale: Sequence[float] = ",
    ),
    ("transforms.RandomResizedCrop(0.5)", ffprep.errors.OptionError, "RandomResizedCropRGBImageDecoder(0.5): "),
    ("transforms.Convert(None)", ffprep.errors.OptionError, "None is not a numpy or torch dtype"),
    (
        "transforms.ModuleWrapper(3)",
        ffprep.errors.OptionError,
        "ModuleWrapper takes a torch module or a function, not 3",
    ),
    (
        "WeightedOrder('a')",
        ffprep.errors.OptionError,
        "WeightedOrder('a'): could not convert string to float: 'a'; it ",
    ),
    (
        "RepeatedOrder('a')",
        ffprep.errors.OptionError,
        "RepeatedOrder('a'): '<' not supported between instances of 'str'",
    ),
    ("RepeatedOrder(repeat=2)", ffprep.errors.UnknownOptionError, "did you mean repeats?"),
]

NAMES: dict[str, Any] = {
    "Dataset": Dataset, "Loader": Loader, "RepeatedOrder": RepeatedOrder, "WeightedOrder": WeightedOrder,
    "decoders": decoders, "presets": presets, "transforms": transforms,
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_data: Path, vocabulary: object) -> Path:
    """A folder with the files that the mistakes are made with."""
    folder = tmp_path_factory.mktemp("mistakes")
    for words in (
        ["imagenet", "--source", demo_data / "imagenet", "--out", folder / "images.beton"],
        ["openwebtext", "--source", demo_data / "text", "--block", 32, "--out", folder / "blocks.beton"],
    ):
        done = CliRunner().invoke(main, ["convert", *map(str, words), "--quiet"])
        assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES, ids=[call for call, _, _ in MISTAKES])
def test_what_would_be_taken_is_said_in_one_line(
    call: str, kind: type[Exception], message: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(kind) as caught:
        eval(call, dict(NAMES))
    assert message in str(caught.value) and "\n" not in str(caught.value)


class Shouting(transforms.Transform):
    def __init__(self, times: int) -> None:
        self.times = int(times)

    def apply(self, x: Any, batch: Any) -> Any:
        return x


def test_what_the_constructor_of_a_users_own_class_raises_is_left_alone() -> None:
    with pytest.raises(ValueError, match="^invalid literal for int"):
        Shouting("loud")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        transforms.Cutout()  # type: ignore[call-arg]

"""Names of FFCV-SSL, a fork of ffcv."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep import Loader
from ffprep.errors import OptionError
from ffprep.fields import IntField, RGBImageField
from ffprep.fields.decoders import (
    CenterCropRGBImageDecoder,
    IntDecoder,
    RandomResizedCropRGBImageDecoder,
    SimpleRGBImageDecoder,
)
from ffprep.kernels.both import InBoth
from ffprep.libffcv import resize_crop
from ffprep.pipeline import PipelineSpec
from ffprep.pipeline.compiler import Compiler
from ffprep.transforms import (
    CenterCrop,
    ColorJitter,
    CornerCrop,
    GaussianBlur,
    PadRGBImageDecoder,
    RandomApply,
    RandomColorJitter,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomSolarization,
    RandomSolarize,
    Rotate,
    ToTensor,
)
from ffprep.writer import DatasetWriter

SIDES = [(40, 60), (50, 30)]


def picture(height: int, width: int) -> Any:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([3 * rows + columns, 5 * columns, 255 - rows], axis=2).astype(np.uint8)


def images_of(path: Path, pipeline: list[Any], mode: str = "raw") -> list[Any]:
    class Pictures:
        def __len__(self) -> int:
            return len(SIDES)

        def __getitem__(self, i: int) -> tuple[Any]:
            return (picture(*SIDES[i]),)

    writer = DatasetWriter(path, {"image": RGBImageField(mode)}, num_workers=1, processes=False)
    writer.from_indexed_dataset(Pictures())
    with Loader(path, len(SIDES), 1, pipelines={"image": pipeline}, seed=5) as loader:
        [(images,)] = loader
        return list(np.asarray(images))


@pytest.mark.parametrize("corner", ["top_left", "top_right", "bottom_left", "bottom_right"])
def test_corners(tmp_path: Path, corner: str) -> None:
    for image, (height, width) in zip(images_of(tmp_path / "x", [CornerCrop((8, 9), 0.5, corner)]), SIDES, strict=True):
        side = min(height, width) // 2
        top, left = (height - side) * ("bottom" in corner), (width - side) * ("right" in corner)
        wanted = np.empty((8, 9, 3), np.uint8)
        resize_crop(picture(height, width), top, top + side, left, left + side, wanted)
        assert (image == wanted).all()


def test_corners_and_padding_compile_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(*arguments: Any) -> Any:
        raise AssertionError(f"{arguments} was to be compiled")

    monkeypatch.setattr(Compiler, "compile", compiled)
    monkeypatch.setattr(InBoth, "made", property(compiled))
    for decoder in (CornerCrop((8, 9), 0.5), PadRGBImageDecoder()):
        assert len(images_of(tmp_path / "x", [decoder], "jpg")) == len(SIDES)


def test_what_corners_refuse() -> None:
    for arguments in ((0.5, "middle"), (0.0, "top_left"), (1.5, "top_left")):
        with pytest.raises(OptionError):
            CornerCrop((8, 8), *arguments)


@pytest.mark.parametrize("mode", ["raw", "jpg"])
def test_padding(tmp_path: Path, mode: str) -> None:
    for image, (height, width) in zip(images_of(tmp_path / "x", [PadRGBImageDecoder()], mode), SIDES, strict=True):
        wanted = np.zeros((50, 60, 3), int)
        wanted[:height, :width] = picture(height, width)
        assert image.shape == (50, 60, 3) and not image[height:].any() and not image[:, width:].any()
        assert np.abs(image - wanted).mean() < (1e-9 if mode == "raw" else 8)


def test_colour_jitter(tmp_path: Path) -> None:
    def jittered(*operations: Any) -> list[Any]:
        return images_of(tmp_path / "x", [CenterCropRGBImageDecoder((16, 16), 1.0), *operations])

    plain = jittered()
    for a, b in zip(plain, jittered(RandomColorJitter(0.0, 0.8, 0.4, 0.4, 0.2)), strict=True):
        assert (a == b).all()
    for a, b in zip(plain, jittered(RandomColorJitter(1.0, (2, 2), 0, 0, 0, seed=7)), strict=True):
        assert (np.minimum(2 * a.astype(int), 255) == b).all()
    assert (
        RandomColorJitter().numbers(1, 1, "u1").tolist()
        == ColorJitter(0.8, 0.4, 0.4, 0.2, 0.5).numbers(1, 1, "u1").tolist()
    )


def views(path: Path, mapper: dict[str, str] | None, pipelines: dict[str, Any], **options: Any) -> list[Any]:
    class Samples:
        def __len__(self) -> int:
            return 6

        def __getitem__(self, i: int) -> tuple[Any, int]:
            return np.roll(picture(36, 48), 5 * i, axis=1), i

    writer = DatasetWriter(path, {"image": RGBImageField("raw"), "label": IntField()}, num_workers=1, processes=False)
    writer.from_indexed_dataset(Samples())
    with Loader(path, 3, 1, pipelines=pipelines, custom_field_mapper=mapper, seed=4, **options) as loader:
        return [[np.asarray(output) for output in batch] for batch in loader]


def test_outputs_mapped_to_fields(tmp_path: Path) -> None:
    def view() -> list[Any]:
        return [RandomResizedCrop(output_size=(16, 12), scale=(0.3, 1.0)), RandomColorJitter(), ToTensor()]

    given = {"b": view(), "label": [IntDecoder()], "image": view(), "a": view()}
    batches = views(tmp_path / "x", {"a": "image", "b": "image"}, given)
    specs = {
        name: given[name] if name in ("image", "label") else PipelineSpec("image", transforms=view()) for name in given
    }
    wanted = views(tmp_path / "x", None, {name: specs[name] for name in ("image", "label", "a", "b")})
    for batch, expected in zip(batches, wanted, strict=True):
        image, label, a, b = batch
        assert label.shape == (3, 1) and image.shape == a.shape == b.shape == (3, 16, 12, 3)
        assert (a != b).any() and (image != a).any()
        for mine, theirs in zip(batch, expected, strict=True):
            assert (mine == theirs).all()


def test_mapped_outputs_are_defaults_or_left_out(tmp_path: Path) -> None:
    (batch, _) = views(tmp_path / "x", {"again": "label", "off": "image"}, {"image": None, "off": None})
    assert [output.tolist() for output in batch] == [[[0], [1], [2]]] * 2


@pytest.mark.parametrize("mapper", [{"second": "picture"}, {"label": "image"}])
def test_what_cannot_be_mapped(tmp_path: Path, mapper: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="custom_field_mapper maps"):
        views(tmp_path / "x", mapper, {})


def test_mapped_outputs_are_filtered(tmp_path: Path) -> None:
    views(tmp_path / "x", None, {})
    pipelines = {"image": None, "again": [SimpleRGBImageDecoder(), ToTensor()]}
    with Loader(tmp_path / "x", 2, 1, pipelines=pipelines, custom_field_mapper={"again": "image"}, seed=4) as loader:
        odd = loader.filter("label", lambda label: int(label) % 2 == 1)
        bright = loader.filter("again", lambda image: int(image[0, 0, 1]) > 60)
    with odd, bright:
        [(labels, images)] = list(odd)
        assert labels.tolist() == [[1], [3]] and images.shape == (2, 36, 48, 3)
        assert all(int(image[0, 0, 1]) > 60 for _, images in bright for image in images)


def test_one_seed_draws_alike(tmp_path: Path) -> None:
    def view(crop: int | None, flip: int | None, jitter: int | None) -> list[Any]:
        return [
            RandomResizedCrop((16, 16), seed=crop),
            RandomHorizontalFlip(seed=flip),
            RandomColorJitter(1, seed=jitter),
        ]

    def differ(*seeds: int | None) -> bool:
        pipelines = {"image": view(1, 2, 3), "second": view(*seeds)}
        batches = views(tmp_path / "x", {"second": "image"}, pipelines)
        return any((first != second).any() for first, _, second in batches)

    assert not differ(1, 2, 3)
    assert all(differ(*seeds) for seeds in ((4, 2, 3), (None, 2, 3), (1, 9, 3), (1, None, 3), (1, 2, 4), (1, 2, None)))


def test_names_with_two_meanings() -> None:
    for decoder in (
        RandomResizedCrop((20, 30), ratio=(0.5, 1)),
        RandomResizedCrop(output_size=(20, 30), scale=(0.2, 1)),
    ):
        assert type(decoder) is RandomResizedCropRGBImageDecoder and decoder.output_size == (20, 30)
    center = CenterCrop((20, 20), 224 / 256)
    assert type(center) is CenterCropRGBImageDecoder and center.ratio == CenterCrop((20, 20), ratio=0.875).ratio
    for turned in (Rotate(0.3, 0.2), Rotate(rotate_prob=0.3, angle=0.2, seed=1)):
        assert type(turned) is RandomApply and turned.p == 0.3
        assert turned.transforms[0].degrees == pytest.approx((-11.459, 11.459), abs=1e-3)
    for ours in (RandomResizedCrop((0.2, 1), (1, 1), 20), RandomResizedCrop((0.2, 1), (1, 1), size=20), Rotate(20)):
        assert type(ours) in (RandomResizedCrop, Rotate) and repr(copy.deepcopy(ours)) == repr(ours)
    assert type(CenterCrop(20)) is type(CenterCrop(20, 0)) is type(CenterCrop(20, fill=(1, 2, 3))) is CenterCrop
    with pytest.raises(OptionError, match="second_seed"):
        RandomResizedCrop((20, 20), seed=1, second_seed=2)


def test_subclasses_have_their_own_arguments() -> None:
    class Crop(RandomResizedCrop):
        def __init__(self, output_size: Any) -> None:
            super().__init__((0.5, 1), (1, 1), output_size)

    assert type(Crop(output_size=8)) is Crop and Crop(8).output_size == (8, 8)


def test_arguments_under_other_names() -> None:
    pairs: list[tuple[Any, Any]] = [
        (RandomSolarization(0.2, 100), RandomSolarize(100, 0.2)),
        (RandomSolarization(p=0.2), RandomSolarize(p=0.2)),
        (RandomGrayscale(gray_prob=0.2), RandomGrayscale(0.2)),
        (GaussianBlur(blur_prob=0.2, kernel_size=5), GaussianBlur(5, p=0.2)),
        (RandomErasing(erase_prob=0.2, mean=[128, 128, 128]), RandomErasing(0.2, value=[128, 128, 128])),
    ]
    for theirs, ours in pairs:
        assert theirs.numbers(8, 8, "uint8").tolist() == ours.numbers(8, 8, "uint8").tolist()
    with pytest.warns(FutureWarning, match="begins with a threshold"):
        before = RandomSolarization(100, 0.2)
    assert before.numbers(8, 8, "uint8").tolist() == RandomSolarize(100, 0.2).numbers(8, 8, "uint8").tolist()
    with pytest.raises(OptionError, match="a probability as p="):
        GaussianBlur(0.2, 5)

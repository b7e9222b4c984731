"""Names of FFCV-SSL, a fork of ffcv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep import Loader
from ffprep.errors import OptionError
from ffprep.fields import RGBImageField
from ffprep.fields.decoders import CenterCropRGBImageDecoder
from ffprep.libffcv import resize_crop
from ffprep.transforms import ColorJitter, CornerCrop, PadRGBImageDecoder, RandomColorJitter
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

"""Pictures that are handed out as they are stored: several at a time, read ahead, copied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ffprep import Loader, OrderOption
from ffprep import transforms as T
from ffprep.beton.writing.writer import Writer
from ffprep.fields import IntField, RGBImageField
from ffprep.fields.decoders import SimpleRGBImageDecoder

COUNT, SIDE = 150, 8


def picture(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def write(path: Path, mode: str, first: int = 0) -> Path:
    fields = {"image": RGBImageField(mode), "number": IntField()}
    with Writer(path, fields, COUNT) as writer:
        for i in range(first, first + COUNT):
            writer.write([fields["image"].encode(picture(i)), fields["number"].encode(i)])
    return path


@pytest.mark.parametrize("threads", [1, 3])
def test_raw_pictures_of_several_files_are_copied(tmp_path: Path, threads: int) -> None:
    files = [write(tmp_path / "a.beton", "raw"), write(tmp_path / "b.beton", "raw", COUNT)]
    given = {"image": [SimpleRGBImageDecoder(), T.ToTensor(), T.ToTorchImage()], "number": [T.ToTensor()]}
    seen = []
    with Loader(files, 75, threads, order=OrderOption.RANDOM, pipelines=given, seed=1) as loader:
        for images, numbers in loader:
            assert images.shape[1:] == (3, SIDE, SIDE)
            for image, number in zip(images, numbers.flatten().tolist(), strict=True):
                np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), picture(number))
                seen.append(number)
    assert sorted(seen) == list(range(2 * COUNT)) and seen != sorted(seen)


def test_jpegs_between_raw_pictures_are_decoded(tmp_path: Path) -> None:
    raw, coded = write(tmp_path / "a.beton", "raw"), write(tmp_path / "b.beton", "jpg")
    given = {"image": [SimpleRGBImageDecoder()], "number": None}
    with Loader(coded, COUNT, 1, pipelines=given) as loader:
        [expected] = loader.batch(range(COUNT))
    with Loader([raw, coded], 2 * COUNT, 2, pipelines=given) as loader:
        order = np.random.default_rng(0).permutation(2 * COUNT)
        [got] = loader.batch(order)
    for image, i in zip(got, order, strict=True):
        np.testing.assert_array_equal(image, picture(i) if i < COUNT else expected[i - COUNT])


def test_a_flip_is_no_copy(tmp_path: Path) -> None:
    given = {"image": [SimpleRGBImageDecoder(), T.RandomHorizontalFlip(1.0)], "number": None}
    with Loader(write(tmp_path / "a.beton", "raw"), COUNT, 1, pipelines=given) as loader:
        [got] = loader.batch(range(COUNT))
    np.testing.assert_array_equal(got, np.stack([picture(i)[:, ::-1] for i in range(COUNT)]))

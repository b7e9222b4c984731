"""Functions of ``libffcv`` and of ``fields.rgb_image``, and decoders whose crop is the user's own function."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ffprep import DatasetWriter, Loader
from ffprep.fields import RGBImageField
from ffprep.fields.rgb_image import (
    IMAGE_MODES,
    ResizedCropRGBImageDecoder,
    encode_jpeg,
    get_center_crop,
    get_random_crop,
    resizer,
)
from ffprep.libffcv import imdecode, memcpy, read, resize_crop
from ffprep.pipeline.compiler import Compiler
from ffprep.transforms.utils import fast_crop


def picture(height: int = 45, width: int = 62) -> Any:
    small = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def pillows(data: Any) -> Any:
    return np.asarray(Image.open(io.BytesIO(data.tobytes())).convert("RGB")).astype(int)


def test_imdecode_is_pillows_decoding() -> None:
    data = encode_jpeg(picture(), 90)
    whole = np.empty((45, 62, 3), np.uint8)
    assert imdecode(data, whole, 45, 62, 45, 62, 0, 0, 1, 1, False, False) == 0
    assert np.abs(whole - pillows(data)).max() <= 2
    scratch = np.full(45 * 62 * 3 + 7, 9, np.uint8)  # as in ffcv's decoders: room for a larger image
    assert imdecode(data, scratch, 45, 62) == 0
    assert np.array_equal(scratch[:-7].reshape(whole.shape), whole) and (scratch[-7:] == 9).all()
    mirrored, part = np.empty_like(whole), np.empty((20, 30, 3), np.uint8)
    assert imdecode(data, mirrored, 45, 62, do_flip=True) == 0
    assert np.array_equal(mirrored, whole[:, ::-1])
    assert imdecode(data, part, 45, 62, 20, 30, 7, 11, 1, 1, True, False) == 0
    assert np.array_equal(part, whole[11:31, 7:37])


def test_imdecode_says_what_it_cannot_do() -> None:
    data = encode_jpeg(picture(), 90)
    out = np.full((45, 62, 3), 7, np.uint8)
    assert imdecode(data[:400], out, 45, 62) != 0
    assert not out.any()
    assert imdecode(data, out, 44, 62) != 0
    with pytest.raises(ValueError, match="no room"):
        imdecode(data, out[:40], 45, 62)
    with pytest.raises(ValueError, match="not in the image"):
        imdecode(data, out, 45, 62, 20, 30, 40, 0, 1, 1, True, False)
    with pytest.raises(ValueError, match="full scale"):
        imdecode(data, out, 45, 62, scale_factor_num=1, scale_factor_denom=2)


@pytest.mark.parametrize("size", [(10, 12), (31, 40), (60, 90)])
def test_resize_crop_takes_means_of_areas(size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    image, out = picture(), np.empty((*size, 3), np.uint8)
    resize_crop(image, 3, 40, 5, 60, out)
    wanted = cv2.resize(image[3:40, 5:60], size[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(out.astype(int) - wanted).max() <= 1
    with pytest.raises(ValueError, match="not in the image"):
        resize_crop(image, 3, 46, 5, 60, out)


def test_compiled_code_calls_them() -> None:
    decode, resize, copy = Compiler.compile(imdecode), Compiler.compile(resize_crop), Compiler.compile(memcpy)

    def both(data: Any, out: Any) -> int:
        scratch = np.empty((45, 62, 3), np.uint8)
        status: int = decode(data, scratch, np.uint32(45), np.uint32(62), 45, 62, 0, 0, 1, 1, False, False)
        resize(scratch, 0, 45, 0, 62, out)
        copy(out[:1], out[1:2])
        return status

    data = encode_jpeg(picture(), 90)
    out, twin = np.empty((9, 9, 3), np.uint8), np.empty((9, 9, 3), np.uint8)
    assert Compiler.compile(both)(data, out) == both(data, twin) == 0
    assert np.array_equal(out, twin) and np.array_equal(out[0], out[1])


def test_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    room = np.zeros(4, np.uint8)
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    try:
        assert read(fd, room, 8) == 2 and room.tobytes() == b"89\0\0"
    finally:
        os.close(fd)


def test_crops_and_sizes() -> None:
    assert get_center_crop(100, 60, None, 0.5) == fast_crop.get_center_crop(100, 60, 0.5) == (35, 15, 30, 30)
    for crop in (get_random_crop, fast_crop.get_random_crop):
        for _ in range(50):
            top, left, height, width = crop(100, 60, np.array([0.1, 1.0]), np.array([0.75, 4 / 3]))
            assert 0 <= top <= 100 - height and 0 <= left <= 60 - width and height > 0 and width > 0
    assert get_random_crop(10, 1000, (1.0, 1.0), (0.75, 4 / 3)) == (0, 493, 10, 13)
    assert resizer(picture(), 31).shape == (22, 31, 3) or resizer(picture(), 31).shape == (23, 31, 3)
    assert resizer(picture(), None) is not None and IMAGE_MODES["jpg"] == 0 and IMAGE_MODES["raw"] == 1


class UpperLeft(ResizedCropRGBImageDecoder):
    """A decoder with a crop of its own, as it is written for ffcv."""

    def __init__(self, output_size: tuple[int, int]) -> None:
        super().__init__(output_size)
        self.scale, self.ratio = (0.0, 1.0), 0.5

    @property
    def get_crop_generator(self) -> Any:
        def crop(height: Any, width: Any, scale: Any, ratio: Any) -> Any:
            return 0, 0, int(ratio * height), int(ratio * width)

        return crop


@pytest.mark.parametrize("mode", ["raw", "jpg"])
def test_a_decoder_with_a_crop_of_its_own(tmp_path: Path, mode: str) -> None:
    sides = [(45, 62), (30, 30), (80, 51)]

    class Pictures:
        def __len__(self) -> int:
            return len(sides)

        def __getitem__(self, i: int) -> tuple[Any]:
            return (picture(*sides[i]),)

    path = tmp_path / "x.beton"
    writer = DatasetWriter(path, {"image": RGBImageField(mode)}, num_workers=1, processes=False)
    writer.from_indexed_dataset(Pictures())
    with Loader(path, 3, 1, pipelines={"image": [UpperLeft((15, 20))]}) as loader:
        [(images,)] = loader
    for image, (height, width) in zip(images, sides, strict=True):
        wanted = np.empty((15, 20, 3), np.uint8)
        resize_crop(picture(height, width), 0, height // 2, 0, width // 2, wanted)
        difference = np.abs(np.asarray(image).astype(int) - wanted)
        assert difference.max() == 0 if mode == "raw" else difference.mean() < 8

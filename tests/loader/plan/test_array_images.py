"""Images of any type and number of channels, held to a slow twin in float64 and to what label masks show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ffprep import Loader
from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer
from ffprep.errors import ConversionError, CorruptError, DecodeError, OptionError
from ffprep.fields import ArrayImageField, BytesField, IntField, MaskField, NDArrayField, RGBImageField
from ffprep.fields.decoders import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
    ResizeRGBImageDecoder,
)
from ffprep.fields.dense import ArrayImageDecoder, MaskDecoder
from ffprep.fields.dense.images import STORED
from ffprep.kernels.image.crop import resized_sides
from ffprep.pipeline import PipelineSpec
from ffprep.transforms import RandomHorizontalFlip, RandomRotation, RandomVerticalFlip, ToTensor, ToTorchImage

COUNT = 12
CHANNELS = 5
MEAN, STD = [100.0, 200.0, 300.0, 400.0, 500.0], [10.0, 20.0, 30.0, 40.0, 50.0]


def size_of(i: int) -> tuple[int, int]:
    return 30 + 7 * i % 23, 26 + 11 * i % 31


def raster(i: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    rng = np.random.default_rng(i)
    if dtype.startswith("float"):
        return (rng.normal(size=shape) * 100).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def mask_of(i: int) -> NDArray[np.uint8]:
    return np.random.default_rng(100 + i).integers(0, 250, size_of(i)).astype(np.uint8)


FIELDS: dict[str, Any] = {
    "bands": ArrayImageField("uint16", CHANNELS),
    "depth": ArrayImageField("float32"),
    "fixed": NDArrayField("int16", (3, 20, 28)),
    "mask": MaskField(),
    "fixed_mask": MaskField(),
    "image": RGBImageField("raw"),
    "number": IntField(),
}


def values(i: int) -> dict[str, Any]:
    height, width = size_of(i)
    mask = mask_of(i)
    return {
        "bands": raster(i, "uint16", (height, width, CHANNELS)),
        "depth": raster(i, "float32", (height, width)),
        "fixed": raster(i, "int16", (3, 20, 28)),
        "mask": mask,
        "fixed_mask": mask[:20, :28] if min(height - 20, width - 28) >= 0 else np.resize(mask, (20, 28)),
        "image": np.repeat(mask[:, :, None], 3, 2),
        "number": i,
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arrays") / "arrays.beton"
    with Writer(path, FIELDS, COUNT) as writer:
        for i in range(COUNT):
            writer.write([FIELDS[name].encode(value) for name, value in values(i).items()])
    return path


def batches(path: Path, pipelines: dict[str, Any], workers: int = 2, **more: Any) -> list[Any]:
    every: dict[str, Any] = {**dict.fromkeys(FIELDS), **pipelines}
    with Loader(path, 5, workers, seed=9, drop_last=False, pipelines=every, **more) as loader:
        parts = list(loader)
    return [np.concatenate([np.asarray(part) for part in output]) for output in zip(*parts, strict=True)]


def taps(kind: str, begin: float, extent: float, n: int, lo: int, hi: int) -> NDArray[np.float64]:
    """Weights (n, hi) of an axis by the definition of antialiased filters; nothing outside ``lo <= p < hi`` counts."""
    scale = extent / n
    wide = max(scale, 1.0)
    centres = begin + (np.arange(n) + 0.5) * scale
    x = np.abs(np.arange(lo, hi)[None, :] + 0.5 - centres[:, None]) / wide
    if kind == "bilinear":
        weights = np.maximum(0, 1 - x)
    else:
        near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    out = np.zeros((n, hi))
    out[:, lo:] = weights / weights.sum(1, keepdims=True)
    return out


def resized(array: NDArray[Any], kind: str, box: tuple[float, float, float, float], size: tuple[int, int]) -> Any:
    y, x, h, w = box
    rows = taps(kind, y, h, size[0], int(y), int(y + h))
    columns = taps(kind, x, w, size[1], int(x), int(x + w))
    part = array[: rows.shape[1], : columns.shape[1]].astype(np.float64)
    return np.einsum("or,rsc,ps->opc", rows, part, columns)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(11, 17), (50, 40)])
def test_resizing_is_the_twins(path: Path, kind: str, size: tuple[int, int]) -> None:
    shows = ResizeRGBImageDecoder(size, interpolation=kind)
    pipelines = {
        "bands": [ArrayImageDecoder(shows)],
        "depth": [ArrayImageDecoder(shows, np.float64)],
        "fixed": [ArrayImageDecoder(shows, np.float32, planes=True), ToTensor(), ToTorchImage(channels_last=False)],
    }
    bands, depth, fixed = batches(path, pipelines)
    assert bands.shape == (COUNT, *size, CHANNELS) and bands.dtype == np.uint16
    assert depth.shape == (COUNT, *size, 1) and depth.dtype == np.float64
    assert fixed.shape == (COUNT, 3, *size) and fixed.dtype == np.float32
    for i in range(COUNT):
        own, (height, width) = values(i), size_of(i)
        wanted = resized(own["bands"], kind, (0, 0, height, width), size)
        assert np.abs(bands[i] - np.clip(wanted, 0, 65535)).max() <= 0.5 + 1e-6
        wanted = resized(own["depth"][:, :, None], kind, (0, 0, height, width), size)
        assert np.abs(depth[i] - wanted).max() <= 1e-9
        wanted = resized(own["fixed"].transpose(1, 2, 0), kind, (0, 0, 20, 28), size)
        assert np.abs(fixed[i].transpose(1, 2, 0) - wanted).max() <= np.spacing(np.float32(65536))


@pytest.mark.parametrize("stored", STORED)
def test_every_type_comes_out_as_it_is_and_mirrored(stored: str, tmp_path: Path) -> None:
    field = ArrayImageField(stored, 2)
    arrays = [raster(i, stored, (6, 5, 2)) for i in range(7)]
    with Writer(tmp_path / "types.beton", {"x": field}, 7) as writer:
        for array in arrays:
            writer.write([field.encode(array)])
    decoder = ArrayImageDecoder(ResizeRGBImageDecoder((6, 5)))
    with Loader(tmp_path / "types.beton", 7, 1, seed=0, pipelines={"x": [decoder]}) as loader:
        (plain,) = next(iter(loader))
    assert plain.dtype == stored and np.array_equal(plain, arrays)
    flip = RandomHorizontalFlip(1.0)
    for dtype in ("float32", "float16"):
        decoder = ArrayImageDecoder(ResizeRGBImageDecoder((6, 5)), dtype, mean=[1, 2], std=4)
        with Loader(tmp_path / "types.beton", 7, 1, seed=0, pipelines={"x": [decoder, flip, ToTensor()]}) as loader:
            (out,) = next(iter(loader))
        with np.errstate(over="ignore"):
            exact = (np.array(arrays, np.float64)[:, :, ::-1] - [1, 2]) / 4
            assert np.array_equal(out.numpy(), exact.astype(np.float32).astype(dtype))
    reader = Reader(tmp_path / "types.beton")
    assert isinstance(reader.fields["x"], ArrayImageField) and reader.fields["x"].channels == 2


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), nearest=st.booleans(), low=st.floats(0.1, 0.9))
def test_draws_agree_with_masks_that_follow_arrays_and_arrays_that_follow_images(
    path: Path, seed: int, nearest: bool, low: float
) -> None:
    crop = RandomResizedCropRGBImageDecoder((13, 9), scale=(low, 1.0))
    following = {"draws": "image"}
    pipelines: dict[str, Any] = {
        "image": [crop, RandomHorizontalFlip(), ToTensor()],
        "mask": PipelineSpec("mask", MaskDecoder(), [ToTensor()], **following),
        "bands": PipelineSpec("bands", ArrayImageDecoder(interpolation="nearest"), [ToTensor()], **following),
        "depth": PipelineSpec("depth", ArrayImageDecoder(), [ToTensor()], **following),
    }
    every: dict[str, Any] = {**dict.fromkeys(FIELDS), **pipelines}
    with Loader(path, COUNT, 2, seed=seed, pipelines=every) as loader:
        bands, depth, masks, images = (output.numpy() for output in next(iter(loader)))
        used = loader.batch([0])
        assert used[0].shape == (1, 13, 9, CHANNELS)
    assert np.abs(images.astype(int)[..., 0] - images.astype(int)[..., 2]).max() <= 1
    for i in range(COUNT):
        own = values(i)
        places = np.argwhere((own["bands"] == bands[i, 0, 0]).all(2))
        assert len(places) == 1 and own["mask"][tuple(places[0])] == masks[i, 0, 0]
        labels = {tuple(own["bands"][y, x]): own["mask"][y, x] for y, x in np.ndindex(own["mask"].shape)}
        assert all(labels[tuple(bands[i, y, x])] == masks[i, y, x] for y, x in np.ndindex(13, 9))
    assert np.isfinite(depth).all()


@pytest.mark.parametrize("source", ["bands", "fixed"])
def test_masks_follow_arrays(path: Path, source: str) -> None:
    mask = "mask" if source == "bands" else "fixed_mask"
    shows = RandomResizedCropRGBImageDecoder(12, scale=(0.3, 1.0))
    decoder = ArrayImageDecoder(shows, interpolation="nearest", planes=True)
    pipelines = {
        source: [decoder, RandomHorizontalFlip(), ToTensor()],
        mask: PipelineSpec(mask, MaskDecoder(), [ToTensor()], draws=source),
    }
    arrays, masks = batches(path, pipelines)
    assert np.array_equal(batches(path, pipelines, 1)[0], arrays)
    for i in range(COUNT):
        own = values(i)
        array = own[source] if source == "bands" else own[source].transpose(1, 2, 0)
        labels = {tuple(array[y, x]): own[mask][y, x] for y, x in np.ndindex(own[mask].shape)}
        assert all(labels[tuple(arrays[i, y, x])] == masks[i, y, x] for y, x in np.ndindex(12, 12))


def test_crops_of_evaluation(path: Path) -> None:
    centred = ArrayImageDecoder(CenterCropRGBImageDecoder(10, 0.8), np.float64)
    short = ArrayImageDecoder(ResizeCenterCropRGBImageDecoder(12, 16), np.float64)
    pipelines: dict[str, Any] = {"bands": [centred], "again": PipelineSpec("bands", short)}
    bands, again = batches(path, pipelines)
    for i in range(COUNT):
        own, (height, width) = values(i)["bands"], size_of(i)
        side = int(0.8 * min(height, width))
        box = (height - side) // 2, (width - side) // 2, side, side
        assert np.abs(bands[i] - resized(own, "bilinear", box, (10, 10))).max() <= 1e-6
        rows, columns = resized_sides.py_func(height, width, 16) if hasattr(resized_sides, "py_func") else (16, 16)
        whole = resized(own, "bilinear", (0, 0, height, width), (int(rows), int(columns)))
        top, left = int(np.rint((rows - 12) / 2)), int(np.rint((columns - 12) / 2))
        assert np.abs(again[i] - whole[top : top + 12, left : left + 12]).max() <= 1e-6


def test_ranks_and_normalised_bands_and_what_finished_batches_do(path: Path) -> None:
    decoder = ArrayImageDecoder(RandomResizedCropRGBImageDecoder(8), np.float32, MEAN, STD)
    image = [decoder, RandomHorizontalFlip(), RandomVerticalFlip(), ToTensor(), ToTorchImage()]
    [whole] = batches(path, {"bands": image})
    assert whole.shape == (COUNT, CHANNELS, 8, 8)
    ranks = [batches(path, {"bands": image}, rank=rank, world_size=2)[0] for rank in range(2)]
    assert np.array_equal(np.stack(ranks, 1).reshape(whole.shape), whole)
    half = batches(path, {"bands": [ArrayImageDecoder(decoder.shows, np.float16, MEAN, STD), *image[1:]]})[0]
    assert half.dtype == np.float16 and np.abs(half - whole).max() <= 2 * np.spacing(np.float16(np.abs(whole).max()))
    del image[2]
    brain = ArrayImageDecoder(decoder.shows, torch.bfloat16, MEAN, STD)
    every: dict[str, Any] = {**dict.fromkeys(FIELDS), "bands": [brain, *image[1:]]}
    with Loader(path, COUNT, 1, seed=9, pipelines=every) as loader:
        [out] = next(iter(loader))
    assert torch.equal(out, torch.from_numpy(batches(path, {"bands": image})[0]).to(torch.bfloat16))


def test_stock_programs_see_bytes_and_arrays(path: Path) -> None:
    reader = Reader(path, custom_fields=None)
    descriptor = BytesField()
    assert reader.fields["bands"].type_id == descriptor.type_id == 3
    assert reader.fields["bands"].metadata_type == descriptor.metadata_type
    assert reader.fields["fixed"].type_id == 4


@pytest.mark.parametrize("what", ["magic", "size", "short"])
def test_damaged_payloads_are_refused(path: Path, tmp_path: Path, what: str) -> None:
    with Loader(path, 1, pipelines=dict.fromkeys(set(FIELDS) - {"number"})) as loader:
        offset = int(loader.files.readers[0].extents("depth")[0][3])
    data = bytearray(path.read_bytes())
    if what == "magic":
        data[offset] = 0
    elif what == "size":
        data[offset + 8 : offset + 12] = b"\xff\xff\0\0"
    else:
        data[offset + 8 : offset + 16] = bytes(8)
    damaged = tmp_path / "damaged.beton"
    damaged.write_bytes(data)
    decoder = ArrayImageDecoder(ResizeRGBImageDecoder(4))
    with pytest.raises(DecodeError, match=r"sample 3.*no image of the field"):
        batches(damaged, {"depth": [decoder]}, check="off")
    field = ArrayImageField("float32")
    with pytest.raises(CorruptError):
        field.decode(None, np.frombuffer(bytes(data[offset : offset + 16]), np.uint8))


@pytest.mark.parametrize(
    ("pipelines", "message"),
    [
        ({"depth": [ArrayImageDecoder()]}, "may differ in size"),
        ({"number": [ArrayImageDecoder(ResizeRGBImageDecoder(4))]}, "cannot read 'number'"),
        ({"mask": [ArrayImageDecoder(ResizeRGBImageDecoder(4))]}, "ArrayImageDecoder reads"),
        ({"bands": [ArrayImageDecoder(ResizeRGBImageDecoder(4), "int32")]}, "holds uint16"),
        ({"bands": [ArrayImageDecoder(ResizeRGBImageDecoder(4), "float32", [1, 2])]}, "2 numbers for 5 channels"),
        (
            {
                "image": [RandomResizedCropRGBImageDecoder(8), RandomRotation(10), ToTensor()],
                "depth": PipelineSpec("depth", ArrayImageDecoder(), draws="image"),
            },
            "cannot go with RandomRotation",
        ),
        ({"depth": PipelineSpec("depth", ArrayImageDecoder(ResizeRGBImageDecoder(4)), draws="image")}, "of its own"),
    ],
)
def test_what_pipelines_refuse(path: Path, pipelines: dict[str, Any], message: str) -> None:
    every: dict[str, Any] = {**dict.fromkeys(FIELDS), "image": [ResizeRGBImageDecoder(8)], **pipelines}
    with pytest.raises(OptionError, match=message):
        Loader(path, 2, 1, pipelines=every)


def test_what_fields_and_decoders_refuse() -> None:
    for arguments in (
        (3,),
        (None, "complex64"),
        (None, None, 1.0),
        (None, "float32", 0, 0),
        (None, None, None, 1, "cubic"),
    ):
        with pytest.raises(OptionError):
            ArrayImageDecoder(*arguments)  # type: ignore[arg-type]
    with pytest.raises(OptionError):
        ArrayImageField("complex64")
    with pytest.raises(OptionError):
        ArrayImageField("uint8", 0)
    for value in (np.zeros((3, 4, 2)), np.zeros(3), np.full((2, 2), 70000), np.full((2, 2), 0.5), np.zeros((0, 3))):
        with pytest.raises((ConversionError, TypeError, ValueError)):
            ArrayImageField("uint16").encode(value)
    assert np.isnan(ArrayImageField("float16").decode(None, payload(np.full((2, 2), np.nan)))).all()


def payload(array: NDArray[Any]) -> NDArray[np.uint8]:
    encoded = ArrayImageField("float16").encode(array)
    assert isinstance(encoded.payload, bytes)
    return np.frombuffer(encoded.payload, np.uint8)

"""A folder of photographs, through conversion, into stock ffcv's loader and ours; and stock's files into ours."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from saved_arrays import saved_arrays

from ffprep.beton import Reader
from ffprep.convert.conversion import convert
from ffprep.convert.indexing import make_index
from ffprep.demo.photographs import make_photographs
from ffprep.fields import RGBImageField
from ffprep.fields.decoders import CenterCropRGBImageDecoder, IntDecoder
from ffprep.jpeg import read_header
from ffprep.loader import Loader, OrderOption
from ffprep.sources.imagenet import open_imagenet

pytestmark = pytest.mark.ffcv

HERE = Path(__file__).parent
COUNT, SIZE = 24, 64
ORDERS = ("SEQUENTIAL", "RANDOM", "QUASI_RANDOM")
Pixels = NDArray[np.uint8]


def stock(*arguments: object) -> None:
    pytest.importorskip("ffcv.libffcv")
    command = [sys.executable, "-W", "ignore", str(HERE / "stock_images.py"), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ImageFolder of one photograph a class, so that a label names its image: every sampling, grey, progressive."""
    place = tmp_path_factory.mktemp("folder")
    made = sorted(make_photographs(place / "made", COUNT).glob("*/*"))
    for number, path in enumerate(made):
        target = place / "train" / f"class_{number:02}" / "image.JPEG"
        target.parent.mkdir(parents=True)
        with Image.open(path) as image:
            if number % 6 == 5:
                image.convert("L").save(target, "JPEG", quality=95)
            elif number % 6 == 4:
                image.save(target, "JPEG", quality=92, subsampling=number // 6 % 3, progressive=True)
            else:
                image.convert("RGB").save(target, "JPEG", quality=92, subsampling=number % 6 % 3)
    return place


@pytest.fixture(scope="module")
def seekable(folder: Path) -> Path:
    path = folder / "seekable.beton"
    report = convert(open_imagenet(str(folder), "train", image=RGBImageField(jpeg="seekable")), path, workers=2)
    assert report.written == COUNT
    return path


def ours(path: Path, order: str = "SEQUENTIAL", os_cache: bool = True) -> tuple[Pixels, NDArray[np.int64]]:
    decoder = CenterCropRGBImageDecoder((SIZE, SIZE), ratio=1, interpolation="area")
    loader = Loader(
        path,
        8,
        2,
        os_cache=os_cache,
        order=OrderOption[order],
        seed=0,
        drop_last=False,
        pipelines={"image": [decoder], "label": [IntDecoder()]},
    )
    batches = [(np.array(image), np.array(label)) for image, label in loader]
    return np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])[:, 0]


def psnr(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Peak signal-to-noise ratio of values from 0 to 255, in dB."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))


def area_weights(size: int, out: int) -> NDArray[np.float64]:
    """Share of every source pixel in every output pixel, shape (out, size): the overlap of their intervals."""
    edges = np.arange(out + 1) * size / out
    overlap = np.minimum(edges[1:, None], np.arange(1, size + 1)) - np.maximum(edges[:-1, None], np.arange(size))
    return np.clip(overlap, 0, None) * out / size


def centre(image: Pixels) -> NDArray[np.float64]:
    """The centre square of an image, resized by exact area averages."""
    side = min(image.shape[:2])
    y, x = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    weights = area_weights(side, SIZE)
    square = image[y : y + side, x : x + side].astype(np.float64)
    return np.einsum("ai,bj,ijc->abc", weights, weights, square, optimize=True)


def test_the_folder_holds_every_kind(folder: Path) -> None:
    headers = [read_header(path.read_bytes()) for path in sorted((folder / "train").glob("*/*"))]
    assert {header.sampling[0] for header in headers if header.components == 3} == {(1, 1), (2, 1), (2, 2)}
    assert {header.components for header in headers} == {1, 3}
    assert any(header.progressive for header in headers)


def test_stock_loader_sees_what_ours_sees(folder: Path, seekable: Path) -> None:
    """Stock decodes with a faster, coarser transform, hence a threshold: 43 dB (46 was found)."""
    images, labels = ours(seekable)
    assert labels.tolist() == list(range(COUNT))
    out = folder / "stock"
    stock("read", seekable, out, SIZE, *(f"{order},{cache}" for order in ORDERS for cache in (True, False)))
    for order in ORDERS:
        for cache in (True, False):
            found = saved_arrays(f"{out}-{order}-{cache}.npz")
            order_found = found["label"].tolist()
            assert sorted(order_found) == list(range(COUNT)), (order, cache)
            assert (order_found == list(range(COUNT))) == (order == "SEQUENTIAL"), (order, cache)
            for image, label in zip(found["image"], order_found, strict=True):
                assert psnr(image, images[label]) > 43, (order, cache, label)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("os_cache", [True, False])
def test_our_orders_and_caches_agree(seekable: Path, order: str, os_cache: bool) -> None:
    images, labels = ours(seekable)
    found, order_found = ours(seekable, order, os_cache)
    assert sorted(order_found.tolist()) == list(range(COUNT))
    assert np.array_equal(found, images[order_found])
    assert np.array_equal(labels[order_found], order_found)


def test_our_loader_reads_what_stock_wrote(folder: Path) -> None:
    stock("write", folder / "train", *(f"{mode}={folder / mode}.beton" for mode in ("jpg", "raw")))
    originals = [np.asarray(Image.open(path).convert("RGB")) for path in sorted((folder / "train").glob("*/*"))]
    for mode in ("jpg", "raw"):
        path = folder / f"{mode}.beton"
        images, labels = ours(path)
        assert labels.tolist() == list(range(COUNT))
        assert make_index(path).indexed == (COUNT if mode == "jpg" else 0)
        assert np.array_equal(ours(path)[0], images)
        with Reader(path) as reader:
            values = [reader.value("image", index) for index in range(COUNT)]
            if mode == "raw":
                assert all(np.array_equal(*pair) for pair in zip(values, originals, strict=True))
            else:
                values = [np.asarray(Image.open(io.BytesIO(value))) for value in values]
            for index, value in enumerate(values):
                assert psnr(images[index], centre(value)) > 50, (mode, index)

"""Our decoders in a stock loader, and stock's operations in ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from saved_arrays import saved_arrays

from ffprep import Loader
from ffprep.beton.reader import Reader
from ffprep.fields.decoders import (
    CenterCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
    ResizeRGBImageDecoder,
)

pytestmark = [pytest.mark.ffcv, pytest.mark.slow]
pytest.importorskip("ffcv")

MEAN, STD = np.array([120.0, 110.0, 100.0]), np.array([60.0, 61.0, 62.0])


@pytest.fixture(scope="module")
def found(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What stock_compat.py saw."""
    folder = tmp_path_factory.mktemp("stock")
    damaged = folder / "damaged.beton"
    data = bytearray(photographs.read_bytes())
    with Reader(photographs) as reader:
        offsets, sizes = reader.extents("image")
        for i in (3, 17):
            data[int(offsets[i]) : int(offsets[i]) + int(sizes[i]) // 2] = bytes(int(sizes[i]) // 2)
    damaged.write_bytes(data)
    script = Path(__file__).with_name("stock_compat.py")
    done = subprocess.run(
        [sys.executable, str(script), str(photographs), str(damaged), str(folder / "found.npz")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return saved_arrays(folder / "found.npz")


def ours(path: Path, pipeline: list[Any], **options: Any) -> np.ndarray:
    with Loader(path, 5, 2, pipelines={"image": pipeline, "label": None}, drop_last=False, **options) as loader:
        return np.concatenate([np.asarray(images) for (images,) in loader])


def test_a_stock_loader_gives_our_pixels(found: Any, photographs: Path) -> None:
    assert np.array_equal(found["center"], ours(photographs, [CenterCropRGBImageDecoder(40, 0.8)]))
    assert np.array_equal(found["pages"], found["center"])
    assert np.array_equal(found["whole"], ours(photographs, [ResizeRGBImageDecoder((24, 32))]))
    assert np.array_equal(found["resized"], ours(photographs, [ResizeCenterCropRGBImageDecoder(32, 40)]))


def test_area_is_what_stock_shows(found: Any) -> None:
    """Stock decodes with a faster, coarser transform."""
    error = float(np.mean((found["area"].astype(float) - found["stock"]) ** 2))
    assert 10 * np.log10(255**2 / error) > 43


def test_draws_do_not_depend_on_workers_and_differ_by_epoch(found: Any) -> None:
    assert np.array_equal(found["random1"], found["random2"])
    assert not np.array_equal(found["random1"][0], found["random1"][1])


def test_stock_transforms_follow_our_decoders(found: Any) -> None:
    whole = found["whole"].transpose(0, 3, 1, 2)
    wanted = (whole - MEAN[:, None, None]) / STD[:, None, None]
    assert np.allclose(found["normal"], wanted, atol=1e-5)
    assert found["half"].dtype == np.float16
    assert np.abs(found["half"] - wanted).max() < 0.51 / STD.min() + 2e-3  # before rounding to whole levels


def test_images_that_fail_are_black_and_named(found: Any) -> None:
    assert sorted(found["failures"]) == [3, 17]
    black = [not image.any() for image in found["damaged"]]
    assert [i for i, is_black in enumerate(black) if is_black] == [3, 17]
    assert "2 images could not be decoded and are black: sample " in str(found["complaint"])
    assert str(found["complaint"]) == str(found["warning"])


def test_stock_operations_run_in_our_loader(photographs: Path, small: Path) -> None:
    from ffcv.fields import decoders as stock_decoders
    from ffcv.pipeline.pipeline_spec import PipelineSpec as StockSpec
    from ffcv.transforms import (
        Cutout,
        ImageMixup,
        LabelMixup,
        MixupToOneHot,
        NormalizeImage,
        RandomHorizontalFlip,
        RandomTranslate,
        ReplaceLabel,
        Squeeze,
        ToTensor,
        ToTorchImage,
    )

    import ffprep.transforms as own

    normal = NormalizeImage(MEAN, STD, np.float16)
    tail = [RandomHorizontalFlip(1.0), normal, ToTensor(), ToTorchImage()]
    got = ours(photographs, [ResizeRGBImageDecoder(24), *tail])
    plain = ours(photographs, [ResizeRGBImageDecoder(24)])[:, :, ::-1].transpose(0, 3, 1, 2)
    assert got.dtype == np.float16
    assert np.allclose(got.astype(float), (plain - MEAN[:, None, None]) / STD[:, None, None], atol=2e-3)

    labels = [stock_decoders.IntDecoder(), ReplaceLabel([3, 7], 99), LabelMixup(0.5, True), ToTensor()]
    pipelines = {
        "image": StockSpec("image", transforms=[
            stock_decoders.SimpleRGBImageDecoder(), RandomTranslate(2), Cutout(4), ImageMixup(0.5, True),
            own.ToTensor(),
        ]),
        "label": [*labels, MixupToOneHot(100)],
    }  # fmt: skip

    def run(workers: int) -> list[Any]:
        with Loader(small, 10, workers, pipelines=pipelines, seed=1) as loader:
            return list(loader)

    first, second = run(1), run(3)
    assert len(first) == 5 and first[0][0].shape == (10, 32, 32, 3) and first[0][1].shape == (10, 100)
    # stock's draws come from numba's generator, which the loader seeds
    assert all(torch.equal(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))
    assert all(torch.allclose(labels.sum(1), torch.ones(10)) for _, labels in first)
    with Loader(small, 10, 1, pipelines={"image": None, "label": [*labels[:2], ToTensor(), Squeeze()]}) as loader:
        assert next(iter(loader))[0].tolist() == [0, 1, 2, 99, 4, 5, 6, 99, 8, 9]


def test_stock_decoders_run_in_our_loader(found: Any, photographs: Path) -> None:
    from ffcv.fields.decoders import CenterCropRGBImageDecoder as Stock

    assert np.array_equal(ours(photographs, [Stock((40, 40), 0.8)]), found["stock"])


def test_without_ffcv_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "ffcv" or name.startswith("ffcv.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "ffcv", None)
    monkeypatch.delitem(sys.modules, "ffprep.compat.ffcv", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'ffprep\[ffcv\]'"):
        import ffprep.compat.ffcv  # noqa: F401

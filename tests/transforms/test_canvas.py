"""Images that keep their shape on a canvas: letterbox, scale jitter, random resize; and what follows them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ffprep import Loader
from ffprep import transforms as T
from ffprep.errors import OptionError
from tests.transforms.dense import COUNT, Draw, Scene, picture_of, write_dense
from tests.transforms.test_dense import EPOCH, FILL, SEED, compare, load, pipelines

OUT = (52, 44)
GREY = (10, 200, 30)


@pytest.fixture(scope="module")
def dense_beton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dense(tmp_path_factory.mktemp("canvas") / "dense.beton")


def placed(kind: str, size: tuple[int, int], draw: Draw, stream: int) -> tuple[int, int, int, int]:
    """Rows and columns of the image, and where it lies on the canvas, as torchvision and albumentations say."""
    (h, w), (oh, ow) = size, OUT
    fit = min(oh / h, ow / w)
    if kind == "letterbox":
        rows, cols = round(h * fit), round(w * fit)
        return rows, cols, (oh - rows) // 2, (ow - cols) // 2
    if kind == "scale_jitter":
        factor = (0.4 + 1.4 * draw(stream, 0)) * fit
        rows, cols = int(h * factor), int(w * factor)
        r = draw(stream, 1)
        return rows, cols, -int(max(rows - oh, 0) * r), -int(max(cols - ow, 0) * r)
    short = 30 + int(draw(stream, 0) * 50)
    rows, cols = (short, int(short * w / h)) if h <= w else (int(short * h / w), short)
    places = []
    for k, (side, out) in enumerate(((rows, oh), (cols, ow))):
        border = max(out - side, 0)  # RandomCrop(pad_if_needed=True) puts it on both sides
        places.append(border - int(draw(stream, 1 + k) * (side + 2 * border - out + 1)))
    return rows, cols, places[0], places[1]


DECODERS: dict[str, Any] = {
    "letterbox": lambda: T.LetterboxRGBImageDecoder(OUT, GREY),
    "scale_jitter": lambda: T.ScaleJitterRGBImageDecoder(OUT, (0.4, 1.8), GREY, exact=True),
    "random_resize": lambda: T.RandomResizeRGBImageDecoder(OUT, 30, 80, GREY, exact=True),
}


@pytest.mark.parametrize("kind", DECODERS)
def test_images_masks_boxes_and_keypoints_as_in_torchvision(dense_beton: Path, kind: str) -> None:
    got, streams = load(dense_beton, pipelines([DECODERS[kind](), T.RandomHorizontalFlip()]))
    [flip], [stream] = streams["RandomHorizontalFlip"], streams[type(DECODERS[kind]()).__name__]

    def twin(i: int, scene: Scene, draw: Draw) -> None:
        rows, cols, y, x = placed(kind, scene.mask.shape, draw, stream)
        scene.resize(rows, cols)
        # torchvision's antialiased resizing is Pillow's
        shown = np.asarray(Image.fromarray(picture_of(i)).resize((cols, rows), Image.Resampling.BILINEAR))
        oh, ow = OUT
        border = [max(x, 0), max(y, 0), max(ow - x - cols, 0), max(oh - y - rows, 0)]
        canvas = np.tile(np.uint8(GREY), (oh, ow, 1))
        cut = shown[max(-y, 0) : max(-y, 0) + oh, max(-x, 0) : max(-x, 0) + ow]
        canvas[border[1] : border[1] + cut.shape[0], border[0] : border[0] + cut.shape[1]] = cut
        scene.pad(*border, FILL)
        scene.crop(max(-y, 0), max(-x, 0), oh, ow)
        if draw(flip, 0) < 0.5:
            scene.flip(0)
            canvas = canvas[:, ::-1]
        assert np.abs(got["image"][i].astype(int) - canvas).max() <= 2

    compare(got, twin)


def alone(image: list[Any]) -> dict[str, Any]:
    return {name: image if name == "image" else None for name in pipelines(image)}


def test_a_letterbox_shows_whole_images_in_any_form(dense_beton: Path) -> None:
    mean, std = np.array([100.0, 110, 120]), np.array([50.0, 60, 70])
    image = [
        T.LetterboxRGBImageDecoder(64, 114),
        T.NormalizeImage(mean, std, np.float32),
        T.ToTensor(),
        T.ToTorchImage(channels_last=False),
    ]
    with Loader(dense_beton, 4, pipelines=alone(image), seed=1, num_workers=2) as loader:
        floats = loader.batch(range(COUNT))[0]
    with Loader(dense_beton, 4, pipelines=alone([T.LetterboxRGBImageDecoder(64, 114)]), seed=1) as loader:
        levels = loader.batch(range(COUNT))[0]
    np.testing.assert_allclose(floats.permute(0, 2, 3, 1).numpy(), (levels - mean) / std, atol=1e-5)
    for i in range(COUNT):
        height, width = picture_of(i).shape[:2]
        fit = 64 / max(height, width)
        rows, cols = round(height * fit), round(width * fit)
        y, x = (64 - rows) // 2, (64 - cols) // 2
        inner = levels[i, y : y + rows, x : x + cols]
        want = Image.fromarray(picture_of(i)).resize((cols, rows), Image.Resampling.BILINEAR)
        assert np.abs(inner.astype(int) - np.asarray(want).astype(int)).max() <= 2
        levels[i, y : y + rows, x : x + cols] = 114
        assert (levels[i] == 114).all()


def test_scales_and_places_are_drawn_as_torchvision_draws_them(dense_beton: Path) -> None:
    decoder = T.RandomResizeRGBImageDecoder(32, 33, 43)
    got, streams = load(dense_beton, pipelines([decoder]))
    [stream] = streams[type(decoder).__name__]
    sizes = {33 + int(Draw(SEED, EPOCH, i)(stream, 0) * 10) for i in range(400)}
    assert sizes == set(range(33, 43)) and len(got["image"]) == COUNT


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_the_same_for_any_threads(dense_beton: Path, threads: int) -> None:
    given = pipelines([DECODERS["scale_jitter"](), T.RandomHorizontalFlip()])
    first, _ = load(dense_beton, given)
    with Loader(dense_beton, 7, pipelines=given, seed=SEED, num_workers=threads) as loader:
        loader.set_epoch(EPOCH)
        for number, batch in enumerate(loader):
            rows = slice(7 * number, 7 * number + 7)
            assert (batch[0] == first["image"][rows]).all() and (batch[1] == first["mask"][rows]).all()
            assert math.isclose(float(batch[2].boxes.sum()), float(first["boxes"].boxes[rows].sum()), rel_tol=1e-6)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: T.LetterboxRGBImageDecoder(64, 300), "fill"),
        (lambda: T.ScaleJitterRGBImageDecoder(64, (0, 1)), "scale_range"),
        (lambda: T.RandomResizeRGBImageDecoder(64, 90, 80), "min_size"),
    ],
)
def test_wrong_arguments(make: Any, complaint: str) -> None:
    with pytest.raises(OptionError, match=complaint):
        make()

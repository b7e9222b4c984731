"""Maps of coordinates that are given, elastic deformation, mosaics; with what follows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ffprep import Loader
from ffprep import transforms as T
from ffprep.errors import OptionError
from ffprep.fields.decoders import ResizeRGBImageDecoder
from ffprep.fields.dense import Boxes
from ffprep.kernels.random import uniforms
from ffprep.pipeline.form import BatchInfo
from ffprep.transforms.operations.mosaic import STREAM, corners, of_corners
from tests.transforms.dense import COUNT, Draw, Scene, write_dense
from tests.transforms.test_dense import FILL, compare, load, pipelines
from tests.transforms.test_pillow_ops import AFFINE, affine_matrix, apart, info, pictures

SIZE = (40, 56)


@pytest.fixture(scope="module")
def dense_beton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dense(tmp_path_factory.mktemp("shapes") / "dense.beton")


def test_affine_is_pillows_map_of_the_given_parameters(dense_beton: Path) -> None:
    x = pictures(2, (21, 33), 4)
    op = T.Affine(25, (3, -2), 1.2, (10, -5), "bilinear", 7)
    m = affine_matrix((33 / 2, 21 / 2), 25, (3, -2), 1.2, (10, -5))
    for image, out in zip(x, op.apply(x, info(2)), strict=True):
        want = Image.fromarray(image).transform(
            (33, 21), AFFINE, tuple(m), Image.Resampling.BILINEAR, fillcolor=(7,) * 3
        )
        assert apart(out, np.asarray(want)) <= 1
    got, _ = load(dense_beton, pipelines([ResizeRGBImageDecoder(SIZE), T.Affine(25, (3, -2), 1.2)]))

    def twin(i: int, scene: Scene, draw: Draw) -> None:
        scene.resize(*SIZE)
        scene.project(affine_matrix((28, 20), 25, (3, -2), 1.2, (0, 0)), AFFINE, FILL)

    compare(got, twin, apart=3)


def test_perspective_sends_points_where_they_are_told_to(dense_beton: Path) -> None:
    start, end = [(0, 0), (55, 0), (55, 39), (0, 39)], [(4, 2), (50, 5), (47, 36), (1, 30)]
    op = T.Perspective(start, end, "bicubic", 9)
    x = pictures(2, SIZE, 5)
    matrix = np.append(op.map, 1).reshape(3, 3)
    for (fx, fy), (tx, ty) in zip(start, end, strict=True):
        at = matrix @ [tx, ty, 1]
        np.testing.assert_allclose(at[:2] / at[2], [fx, fy], atol=1e-9)
    kind = Image.Transform.PERSPECTIVE
    for image, out in zip(x, op.apply(x, info(2)), strict=True):
        want = Image.fromarray(image).transform(
            (56, 40), kind, list(op.map), Image.Resampling.BICUBIC, fillcolor=(9,) * 3
        )
        assert apart(out, np.asarray(want)) <= 1
    got, _ = load(dense_beton, pipelines([ResizeRGBImageDecoder(SIZE), op]))

    def twin(i: int, scene: Scene, draw: Draw) -> None:
        scene.resize(*SIZE)
        scene.project(op.map, kind, FILL)

    compare(got, twin, apart=3)


def noise(batch: BatchInfo, i: int, h: int, w: int) -> NDArray[np.float64]:
    """What the transform draws for an image, shape (2, h, w): halves of 64 bits, of which a draw shows the first 53."""
    ids = batch.ids[i : i + 1]
    drawn = np.array([uniforms(batch.seed, batch.epoch, ids, batch.stream, 1 + k)[0] for k in range(h * w)])
    high = np.floor(drawn * 2.0**32)
    return np.stack([high, (drawn * 2.0**32 - high) * 2.0**32]).reshape(2, h, w) / 2.0**31 - 1


def smoothed(field: NDArray[np.float64], sigma: tuple[float, float]) -> NDArray[np.float64]:
    """torchvision's gaussian_blur with a kernel of int(8 sigma + 1) pixels."""
    for axis, s in ((1, sigma[0]), (0, sigma[1])):
        radius = int(8 * s + 1) // 2
        line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(s, 1e-3)) ** 2)
        padding = [(radius, radius) if k == axis else (0, 0) for k in range(2)]
        wide = np.pad(field, padding, mode="reflect")
        field = np.apply_along_axis(lambda row: np.convolve(row, line / line.sum(), "valid"), axis, wide)  # noqa: B023
    return field


@pytest.mark.parametrize("sigma", [(1.5, 1.0), (0.0, 0.0)])
def test_elastic_deformation_is_torchvisions_displacement(sigma: tuple[float, float]) -> None:
    x, batch = pictures(2, (24, 31), 6), info(2)
    op = T.ElasticTransform((60, 40), sigma, "nearest", (1, 2, 3))
    out = op.apply(x, batch)
    h, w = 24, 31
    for i in range(2):
        across, down = noise(batch, i, h, w)
        across, down = smoothed(across, sigma) * 60 / h * w / 2, smoothed(down, sigma) * 40 / w * h / 2
        at_x, at_y = np.arange(w) + 0.5 + across, np.arange(h)[:, None] + 0.5 + down
        inside = (at_x >= 0) & (at_x < w) & (at_y >= 0) & (at_y < h)
        want = x[i][np.floor(at_y).clip(0, h - 1).astype(int), np.floor(at_x).clip(0, w - 1).astype(int)]
        want[~inside] = (1, 2, 3)
        clear = (np.abs(at_x - np.rint(at_x)) > 1e-3) & (np.abs(at_y - np.rint(at_y)) > 1e-3)
        assert (out[i][clear] == want[clear]).all() and clear.mean() > 0.95
        assert (out[i] != x[i]).mean() > 0.3


def test_what_follows_an_elastic_deformation(dense_beton: Path) -> None:
    """A mask that has the image's levels shows the image's place; a box is around the moved corners."""
    ops = [ResizeRGBImageDecoder(SIZE), T.ElasticTransform(300.0, 4.0, "nearest")]
    got, streams = load(dense_beton, pipelines(ops))
    [stream] = streams["ElasticTransform"]
    h, w = SIZE
    for i in range(6):
        batch = BatchInfo(np.array([i]), 2, 77, stream)
        across, down = (smoothed(part, (4.0, 4.0)) * 150 for part in noise(batch, 0, h, w))
        across, down = across * w / h, down * h / w
        scene = Scene(i)
        scene.resize(h, w)
        at_x, at_y = np.arange(w) + 0.5 + across, np.arange(h)[:, None] + 0.5 + down
        inside = (at_x >= 0) & (at_x < w) & (at_y >= 0) & (at_y < h)
        want = scene.mask[np.floor(at_y).clip(0, h - 1).astype(int), np.floor(at_x).clip(0, w - 1).astype(int)]
        clear = (np.abs(at_x - np.rint(at_x)) > 1e-2) & (np.abs(at_y - np.rint(at_y)) > 1e-2)
        assert (got["mask"][i] == np.where(inside, want, FILL))[clear].all()
        xs, ys = scene.boxes[:, [0, 2, 2, 0]], scene.boxes[:, [1, 1, 3, 3]]
        columns, rows = xs.astype(int).clip(0, w - 1), ys.astype(int).clip(0, h - 1)
        xs, ys = columns - across[rows, columns], rows - down[rows, columns]
        scene.boxes = np.stack([xs.min(1), ys.min(1), xs.max(1), ys.max(1)], 1)
        scene.clip()
        kept = scene.kept()
        assert got["boxes"].mask[i].sum() == kept.sum()
        np.testing.assert_allclose(got["boxes"].boxes[i][: kept.sum()], scene.boxes[kept], atol=1e-3)


def test_masks_follow_windows_whose_border_has_a_colour(dense_beton: Path) -> None:
    ops = [T.RandomTranslate(5, (1, 2, 3)), T.RandomCrop(SIZE, 4, fill=(9, 8, 7)), T.CenterCrop((44, 50), (1, 2, 3))]
    got, streams = load(dense_beton, pipelines([ResizeRGBImageDecoder(SIZE), *ops]))

    def twin(i: int, scene: Scene, draw: Draw) -> None:
        scene.resize(*SIZE)
        for name, padding, places in (("RandomTranslate", 5, 11), ("RandomCrop", 4, 9)):
            scene.pad(padding, padding, padding, padding, FILL)
            [stream] = streams[name]
            scene.crop(int(draw(stream, 0) * places), int(draw(stream, 1) * places), *SIZE)
        scene.pad(0, 2, 0, 2, FILL)
        scene.crop(0, 3, 44, 50)

    compare(got, twin)


@pytest.mark.parametrize("form", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("tensor", [False, True])
def test_mosaic(form: str, tensor: bool) -> None:
    n, h, w, count = 5, 12, 16, 3
    rng, batch = np.random.default_rng(3), BatchInfo(np.arange(n) + 40, 1, 9, 0)
    images, masks = rng.integers(0, 256, (n, h, w, 3)).astype(np.uint8), rng.integers(0, 9, (n, h, w))
    x, y = np.sort(rng.random((n, count, 2)) * w), np.sort(rng.random((n, count, 2)) * h)
    boxes = np.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], -1).astype(np.float32)
    there, labels = np.arange(count) < rng.integers(1, count + 1, (n, 1)), rng.integers(0, 80, (n, count))
    given = of_corners(boxes, form)
    mosaic = T.Mosaic((h, w), p=0.8, format=form, min_size=2, min_area=5)
    wrap: Any = torch.from_numpy if tensor else lambda array: array
    got = np.asarray(mosaic.images.apply(wrap(images), batch))
    planes = mosaic.images.apply(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), batch)
    assert (planes.permute(0, 2, 3, 1).numpy() == got).all()
    got_masks = np.asarray(mosaic.masks.apply(wrap(masks), batch))
    merged = mosaic.boxes.apply(Boxes(wrap(given), wrap(there)), batch)
    values = np.asarray(mosaic.values.apply(wrap(labels), batch))
    assert torch.is_tensor(merged.boxes) == tensor and values.shape == (n, 4 * count)
    alone = 0
    for i in range(n):
        row, column = (int(uniforms(9, 1, batch.ids[i : i + 1], STREAM, k)[0] * (s + 1)) for k, s in ((1, h), (2, w)))
        if uniforms(9, 1, batch.ids[i : i + 1], STREAM, 0)[0] >= 0.8:
            row, column, alone = h, w, alone + 1
        # The slow way: a canvas of twice the size, four images around the point in its middle, and a window of it.
        for k, (down, across) in enumerate(((0, 0), (0, w), (h, 0), (h, w))):
            one = i - k
            canvas = np.full((2 * h, 2 * w, 3), -1)
            canvas[down : down + h, across : across + w] = images[one]
            window = canvas[h - row : 2 * h - row, w - column : 2 * w - column]
            shown = window[..., 0] >= 0
            assert (got[i][shown] == window[shown]).all()
            labelled = np.full((2 * h, 2 * w), -1)
            labelled[down : down + h, across : across + w] = masks[one]
            assert (got_masks[i][shown] == labelled[h - row : 2 * h - row, w - column : 2 * w - column][shown]).all()
            moved = boxes[one] + np.float32([across - w + column, down - h + row] * 2)
            low, high = (column * (across > 0), row * (down > 0)), (w if across else column, h if down else row)
            moved = moved.clip([*low, *low], [*high, *high])
            side = moved[:, 2:] - moved[:, :2]
            kept = there[one] & (side >= 2).all(1) & (side.prod(1) >= 5)
            places = slice(k * count, (k + 1) * count)
            assert (np.asarray(merged.mask)[i, places] == kept).all()
            found = corners(np.asarray(merged.boxes)[i, places], form)
            np.testing.assert_allclose(found[kept], moved[kept], atol=1e-4)
            assert (values[i, places] == labels[one]).all()
    assert alone < n


def test_mosaic_in_the_loader(dense_beton: Path) -> None:
    mosaic = T.Mosaic(48, format="cxcywh")
    given = pipelines([T.ScaleJitterRGBImageDecoder(48, (0.5, 1.5)), T.RandomHorizontalFlip(), mosaic.images])
    given = {**given, "keypoints": None}
    for name, part in (("mask", mosaic.masks), ("boxes", mosaic.boxes), ("labels", mosaic.values)):
        given[name].transforms.append(part)
    given["boxes"].decoder.format = "cxcywh"
    batches = []
    for threads in (1, 3):
        with Loader(dense_beton, 8, pipelines=given, seed=4, num_workers=threads) as loader:
            batches.append([[np.asarray(part).copy() for part in (b[0], b[1], *b[2], b[3])] for b in loader])
    assert len(batches[0]) == COUNT // 8
    for one, other in zip(*batches, strict=True):
        assert all((a == b).all() for a, b in zip(one, other, strict=True))
        assert one[2].shape[1] == one[4].shape[1] and one[3].any()
        assert (one[4][one[3]] >= 0).all()  # a box that is there has its label


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: T.Affine(float("nan")),
        lambda: T.Affine(3, (1, 2, 3)),
        lambda: T.Perspective([(0, 0)] * 4, [(0, 0), (1, 0), (1, 1), (0, 1)]),
        lambda: T.Perspective([(0, 0)] * 3, [(0, 0), (1, 0), (1, 1), (0, 1)]),
        lambda: T.ElasticTransform(-1),
        lambda: T.ElasticTransform(1, (2, 3, 4)),
        lambda: T.Mosaic(48, format="corners"),
        lambda: T.Mosaic(48).images.apply(np.zeros((2, 9, 9, 3), np.uint8), BatchInfo(np.arange(2), 0, 0, 0)),
        lambda: T.Mosaic(48).boxes.apply(np.zeros((2, 9, 4)), BatchInfo(np.arange(2), 0, 0, 0)),
    ],
)
def test_wrong_arguments(wrong: Any) -> None:
    with pytest.raises(OptionError):
        wrong()

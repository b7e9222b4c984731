"""Masks, boxes and keypoints go through what their image goes through, as in torchvision v2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ffprep import Loader
from ffprep import transforms as T
from ffprep.beton.writing.writer import Writer
from ffprep.errors import DecodeError, OptionError
from ffprep.fields import MaskField, RGBImageField
from ffprep.fields.decoders import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
    ResizeRGBImageDecoder,
)
from ffprep.fields.dense import BoxesDecoder, BoxValuesDecoder, KeypointsDecoder, MaskDecoder, VariableArrayDecoder
from ffprep.loader.plan.pipelines import read_pipelines
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms.policies.mixing import Mixing
from ffprep.transforms.policies.policy import Candidate, Policy, PolicyStep
from tests.transforms.dense import COUNT, POINTS, Draw, Scene, boxes_of, labels_of, random_crop, write_dense

SEED, EPOCH = 77, 2
FILL = 9


@pytest.fixture(scope="module")
def dense_beton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dense(tmp_path_factory.mktemp("dense") / "dense.beton")


def pipelines(image: list[Any], fill: int = FILL) -> dict[str, Any]:
    return {
        "image": image,
        "mask": PipelineSpec("mask", MaskDecoder(np.int64, fill), draws="image"),
        "boxes": PipelineSpec("boxes", BoxesDecoder(), draws="image"),
        "labels": PipelineSpec("labels", BoxValuesDecoder(), draws="boxes"),
        "keypoints": PipelineSpec("keypoints", KeypointsDecoder(swap=[(0, 2)]), draws="boxes"),
        "depth": None,
        "number": None,
    }


def load(path: Path, given: dict[str, Any], **options: Any) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """A batch of all samples, by output, and the streams of the image's operations by their class."""
    with Loader(path, COUNT, pipelines=given, seed=SEED, num_workers=2, **options) as loader:
        [image] = [p for p in read_pipelines(given, loader.files) if p.name == "image"]
        streams: dict[str, list[int]] = {}
        for item, stream in ((image.decoder, image.stream), *image.transforms):
            streams.setdefault(type(item).__name__, []).append(stream)
        names = [p.name for p in read_pipelines(given, loader.files)]
        return dict(zip(names, loader.batch(range(COUNT), EPOCH), strict=True)), streams


def compare(got: dict[str, Any], twin: Callable[[int, Scene, Draw], None], apart: int = 0) -> int:
    """Compare a batch with what the twin makes of each sample; return how many boxes were dropped.

    So many labels of a mask may differ: those at places that lie on a border of pixels but for the last bits.
    """
    dropped = 0
    for i in range(COUNT):
        scene = Scene(i)
        twin(i, scene, Draw(SEED, EPOCH, i))
        assert (got["mask"][i] != scene.mask).sum() <= apart
        kept = scene.kept()
        dropped += int((~kept).sum())
        boxes, mask = got["boxes"][0][i], got["boxes"][1][i]
        assert mask.sum() == kept.sum() and not boxes[kept.sum() :].any()
        np.testing.assert_allclose(boxes[mask], scene.boxes[kept], atol=1e-4, rtol=0)
        assert got["labels"][i].tolist() == [*labels_of(i)[kept], *[-1] * (len(mask) - kept.sum())]
        height, width = scene.mask.shape
        points = scene.points[kept]
        outside = (points[:, :, :2] < 0).any(2) | (points[:, :, 0] >= width) | (points[:, :, 1] >= height)
        points[:, :, 2] = np.where(outside, 0, points[:, :, 2])
        points = points[:, ::-1] if scene.mirrored else points
        np.testing.assert_allclose(got["keypoints"][i][mask], points, atol=1e-3, rtol=1e-6)
    return dropped


def test_random_crops_and_flips(dense_beton: Path) -> None:
    crop = RandomResizedCropRGBImageDecoder((40, 56), scale=(0.1, 0.9))
    got, streams = load(dense_beton, pipelines([crop, T.RandomHorizontalFlip(), T.RandomVerticalFlip(0.3)]))

    def twin(i: int, scene: Scene, draw: Draw) -> None:
        [stream] = streams[type(crop).__name__]
        scene.crop(*random_crop(draw, stream, scene.mask.shape, crop.scale, crop.ratio))
        scene.resize(40, 56)
        for axis, name, p in ((0, "RandomHorizontalFlip", 0.5), (1, "RandomVerticalFlip", 0.3)):
            if draw(streams[name][0], 0) < p:
                scene.flip(axis)

    assert compare(got, twin) > 3


@pytest.mark.parametrize("short", [30, 64])
def test_evaluation_crops(dense_beton: Path, short: int) -> None:
    """The second shorter side is that of images smaller than the crop in neither direction; the first upscales none."""
    got, _ = load(dense_beton, pipelines([ResizeCenterCropRGBImageDecoder((28, 30), short)]))

    def twin(i: int, scene: Scene, draw: Draw) -> None:
        h, w = scene.mask.shape
        scene.resize(*((short, int(short * w / h)) if h <= w else (int(short * h / w), short)))
        h, w = scene.mask.shape
        scene.crop(round((h - 28) / 2.0), round((w - 30) / 2.0), 28, 30)

    compare(got, twin)
    got, _ = load(dense_beton, pipelines([CenterCropRGBImageDecoder((32, 20), 0.8)]))

    def square(i: int, scene: Scene, draw: Draw) -> None:
        h, w = scene.mask.shape
        side = int(0.8 * min(h, w))
        scene.crop((h - side) // 2, (w - side) // 2, side, side)
        scene.resize(32, 20)

    compare(got, square)


def test_windows_and_resizing(dense_beton: Path) -> None:
    image = [ResizeRGBImageDecoder((50, 40)), T.RandomCrop(44, 6, fill=7), T.Resize((88, 22)), T.RandomHorizontalFlip()]
    got, streams = load(dense_beton, pipelines(image))

    def twin(i: int, scene: Scene, draw: Draw) -> None:
        scene.resize(50, 40)
        scene.pad(6, 6, 6, 6, FILL)
        [stream] = streams["RandomCrop"]
        scene.crop(int(draw(stream, 0) * (50 + 12 - 44 + 1)), int(draw(stream, 1) * (40 + 12 - 44 + 1)), 44, 44)
        scene.resize(88, 22)
        if draw(streams["RandomHorizontalFlip"][0], 0) < 0.5:
            scene.flip(0)

    compare(got, twin)


def test_maps_of_coordinates(dense_beton: Path) -> None:
    """In compositions, too; operations on levels change nothing."""
    tilt = T.RandomPerspective(0.5, p=1.0, fill=(1, 2, 3))
    image = [
        ResizeRGBImageDecoder((50, 40)),
        T.ShearX(0.25),
        T.RandomApply([T.Solarize(100), T.TranslateY(7)], p=0.6),
        T.ColorJitter(0.3, 0.3),
        T.Rotate(35),
        tilt,
    ]
    got, streams = load(dense_beton, pipelines(image))
    # As Pillow writes it.
    c, s = round(np.cos(np.radians(-35)), 15), round(np.sin(np.radians(-35)), 15)
    turn = np.array([c, s, (c * -20.0 + s * -25.0) + 20.0, -s, c, (-s * -20.0 + c * -25.0) + 25.0])

    def twin(i: int, scene: Scene, draw: Draw) -> None:
        affine = Image.Transform.AFFINE
        scene.resize(50, 40)
        scene.project(np.array([1, 0.25, 0, 0, 1, 0]), affine, FILL)
        if draw(streams["RandomApply"][0], 0) < 0.6:
            scene.project(np.array([1.0, 0, 0, 0, 1, -7]), affine, FILL)
        scene.project(turn, affine, FILL)
        [stream] = streams["RandomPerspective"]
        u = [draw(stream, k) for k in range(2, 10)]
        dx, dy = [int(v * (int(0.5 * 20) + 1)) for v in u[0::2]], [int(v * (int(0.5 * 25) + 1)) for v in u[1::2]]
        start = [(0, 0), (39, 0), (39, 49), (0, 49)]
        end = [(dx[0], dy[0]), (39 - dx[1], dy[1]), (39 - dx[2], 49 - dy[2]), (dx[3], 49 - dy[3])]
        rows, right = [], []
        for (x, y), (a, b) in zip(start, end, strict=True):
            rows += [[a, b, 1, 0, 0, 0, -x * a, -x * b], [0, 0, 0, a, b, 1, -y * a, -y * b]]
            right += [x, y]
        scene.project(np.linalg.solve(rows, right), Image.Transform.PERSPECTIVE, FILL)

    compare(got, twin, 2)


def test_policies_move_masks_as_they_move_images(tmp_path: Path) -> None:
    """Image and mask hold the same levels, which stay as they are, so they stay equal."""
    fields = {"image": RGBImageField("raw"), "mask": MaskField()}
    path = tmp_path / "same.beton"
    rng = np.random.default_rng(4)
    with Writer(path, fields, COUNT) as writer:
        for _ in range(COUNT):
            levels = rng.integers(0, 200, (37, 41)).astype(np.uint8)
            values = np.repeat(levels[:, :, None], 3, 2), levels
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])
    moves = [
        Candidate("turn", T.Rotate(0, fill=FILL), 10.0, negative=0.5),
        Candidate("shear", T.ShearX(0, fill=FILL), 0.1, negative=0.5),
        Candidate("shift", T.TranslateY(0, fill=FILL), 3.0),
        Candidate("nothing"),
    ]
    policy = Policy(moves, [[PolicyStep(p=0.8, magnitude=3)] * 2, [PolicyStep("shift", magnitude=2)]], noise="uniform")
    image = [ResizeRGBImageDecoder((37, 41)), policy, T.RandomOrder([T.Rotate(8, fill=FILL), T.ShearY(0.2, fill=FILL)])]
    given = {"image": image, "mask": PipelineSpec("mask", MaskDecoder(fill=FILL), draws="image")}
    with Loader(path, COUNT, pipelines=given, seed=SEED) as loader:
        images, masks = loader.batch(range(COUNT))
    np.testing.assert_array_equal(images[..., 1], masks)
    assert len(np.unique(masks[:, 18, 20])) > 10
    with pytest.raises(OptionError, match="nothing can follow"):
        Loader(path, COUNT, pipelines=given | {"image": [image[0], Mixing(moves, 3, 3, 2, 1.0)]})


def test_images_with_the_same_draws_are_cropped_alike(dense_beton: Path) -> None:
    view = [RandomResizedCropRGBImageDecoder(32), T.RandomHorizontalFlip()]
    same = {"image": view, "depth": PipelineSpec("depth", transforms=view, draws="image")}
    nothing = dict.fromkeys(("mask", "boxes", "labels", "keypoints", "number"))
    got, _ = load(dense_beton, same | nothing)
    np.testing.assert_array_equal(got["image"], got["depth"])
    other, _ = load(dense_beton, {"image": view, "depth": PipelineSpec("depth", transforms=view)} | nothing)
    assert not np.array_equal(other["image"], other["depth"])


def test_specifications_can_be_given_again(dense_beton: Path) -> None:
    given = pipelines([RandomResizedCropRGBImageDecoder(32), T.RandomHorizontalFlip()])
    nothing = {name: None for name, what in given.items() if what is None}
    with Loader(dense_beton, COUNT, pipelines=given, seed=1) as loader:
        specs = loader.pipeline_specs
        with Loader(dense_beton, COUNT, pipelines=specs | nothing, seed=1) as other:
            for ours, theirs in zip(loader.batch([3, 1]), other.batch([3, 1]), strict=True):
                for a, b in zip(*((x if isinstance(x, tuple) else (x,)) for x in (ours, theirs)), strict=True):
                    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", ["xyxy", "xywh", "cxcywh"])
def test_formats_counts_and_least_sizes(dense_beton: Path, form: str) -> None:
    given = {
        "image": [ResizeRGBImageDecoder((64, 64))],
        "boxes": PipelineSpec(
            "boxes", transforms=[BoxesDecoder(2, form, "xywh", 8.0, 0.0), T.ToTensor()], draws="image"
        ),
        "labels": PipelineSpec("labels", transforms=[BoxValuesDecoder(7), T.ToTensor()], draws="boxes"),
        "keypoints": PipelineSpec("keypoints", KeypointsDecoder(4), draws="image"),
        "mask": None,
        "depth": None,
        "number": [T.ToTensor()],
    }
    got, _ = load(dense_beton, given)
    assert isinstance(got["boxes"].boxes, torch.Tensor) and got["boxes"].boxes.shape == (COUNT, 2, 4)
    assert got["keypoints"].shape == (COUNT, 4, POINTS, 3)
    for i in range(COUNT):
        height, width = Scene(i).mask.shape
        stored = boxes_of(i).astype(np.float64)
        corners = np.concatenate([stored[:, :2], stored[:, :2] + stored[:, 2:]], 1)
        corners = corners.clip(0, [width, height] * 2) * ([64 / width, 64 / height] * 2)
        sides = corners[:, 2:] - corners[:, :2]
        keep = np.flatnonzero((sides >= 8).all(1))[:2]
        wanted = {
            "xyxy": corners,
            "xywh": np.concatenate([corners[:, :2], sides], 1),
            "cxcywh": np.concatenate([corners[:, :2] + sides / 2, sides], 1),
        }[form]
        mask = got["boxes"].mask[i].numpy()
        assert mask.tolist() == [k < len(keep) for k in range(2)]
        np.testing.assert_allclose(got["boxes"].boxes[i].numpy()[mask], wanted[keep], atol=1e-4, rtol=0)
        assert got["labels"][i].tolist() == [*labels_of(i)[keep], *[7] * (2 - len(keep))]


def test_batches_are_the_same_for_any_threads_and_order(dense_beton: Path) -> None:
    given = pipelines([RandomResizedCropRGBImageDecoder(32), T.RandomHorizontalFlip(), T.RandAugment()])
    with (
        Loader(dense_beton, COUNT, pipelines=given, seed=SEED, num_workers=3) as one,
        Loader(dense_beton, 1, pipelines=given, seed=SEED, num_workers=1) as other,
    ):
        whole = one.batch(range(COUNT), EPOCH)
        for i in (5, 0, 23):
            single = other.batch([i], EPOCH)
            for ours, theirs in zip(whole, single, strict=True):
                for a, b in zip(*((x if isinstance(x, tuple) else (x,)) for x in (ours, theirs)), strict=True):
                    np.testing.assert_array_equal(a[i], b[0])


@pytest.mark.parametrize(("dtype", "wide"), [("uint16", "int32"), ("int32", "int64"), ("uint8", "uint8")])
def test_masks_of_other_types(tmp_path: Path, dtype: str, wide: str) -> None:
    path = write_dense(tmp_path / "masks.beton", dtype)
    given = dict.fromkeys(("boxes", "labels", "keypoints", "depth", "number"))
    image = [ResizeRGBImageDecoder((31, 33)), T.RandomCrop((31, 33), 4), T.Rotate(10)]
    given |= {"image": image, "mask": PipelineSpec("mask", MaskDecoder(wide, 200), draws="image")}
    got, _ = load(path, given)
    assert got["mask"].dtype == np.dtype(wide)
    bytes_of, _ = load(
        write_dense(tmp_path / "bytes.beton"),
        given | {"mask": PipelineSpec("mask", MaskDecoder(fill=200), draws="image")},
    )
    np.testing.assert_array_equal(got["mask"], bytes_of["mask"])


def test_arrays_of_their_own_length(dense_beton: Path) -> None:
    given = {"boxes": [VariableArrayDecoder(fill=-1)], "keypoints": [VariableArrayDecoder(2)], "labels": [T.ToTensor()]}
    given |= dict.fromkeys(("image", "mask", "depth", "number"))
    with Loader(dense_beton, COUNT, pipelines=given) as loader:
        boxes, labels, points = loader.batch(range(COUNT))
    for i in range(COUNT):
        stored = boxes_of(i)
        assert boxes.lengths[i] == labels.lengths[i] == len(stored) and points.lengths[i] == min(2, len(stored))
        np.testing.assert_array_equal(boxes.data[i, : len(stored)], stored)
        assert (boxes.data[i, len(stored) :] == -1).all()
    assert labels.data.dtype == torch.int64 and points.data.shape[1:] == (2, POINTS, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": PipelineSpec("mask", MaskDecoder())}, "draws="),
        ({"mask": PipelineSpec("mask", MaskDecoder(), draws="nothing")}, "which is no output"),
        ({"mask": PipelineSpec("mask", MaskDecoder(), draws="boxes")}, "follows an image"),
        ({"labels": PipelineSpec("labels", BoxValuesDecoder(), draws="image")}, "follows boxes"),
        ({"mask": PipelineSpec("boxes", MaskDecoder(), draws="image")}, "reads a MaskField"),
        ({"boxes": PipelineSpec("labels", BoxesDecoder(), draws="image")}, "cannot read"),
        ({"keypoints": PipelineSpec("keypoints", KeypointsDecoder(swap=[(0, 3)]), draws="image")}, "among the 3"),
        ({"mask": PipelineSpec("mask", MaskDecoder(fill=256), draws="image")}, "does not fit uint8"),
        (
            {
                "image": [
                    ResizeRGBImageDecoder((9, 9)),
                    T.NormalizeImage([0.0] * 3, [1.0] * 3, np.float32),
                    T.CenterCrop(8),
                ]
            },
            "put it before",
        ),
    ],
)
def test_what_does_not_fit_is_refused(dense_beton: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load(dense_beton, pipelines([ResizeRGBImageDecoder((9, 9))]) | change)


def test_damaged_values_are_named_and_read_nothing_outside(dense_beton: Path, tmp_path: Path) -> None:
    """Each byte of a mask's head and tables may be anything."""
    given = pipelines([RandomResizedCropRGBImageDecoder(32)])
    rng = np.random.default_rng(0)
    with Loader(dense_beton, COUNT, pipelines=given, check="off") as loader:
        offset, size = (int(x[2]) for x in loader.reader.extents("mask"))
        boxes, length = (int(x[2]) for x in loader.reader.extents("boxes"))
    data = bytearray(dense_beton.read_bytes())
    for turn in range(30):
        changed = data.copy()
        for at in rng.integers(0, min(size, 16 + 4 * 74 + 30), 3) if turn % 3 else [turn]:
            changed[offset + int(at)] = rng.integers(0, 256)
        changed[boxes : boxes + length] = rng.integers(0, 256, length).astype(np.uint8).tobytes()
        path = tmp_path / f"{turn}.beton"
        path.write_bytes(changed)
        with Loader(path, COUNT, pipelines=given, check="off", seed=turn) as loader:
            try:
                loader.batch(range(COUNT))
            except DecodeError as error:
                assert "sample 2" in str(error) and "'mask'" in str(error)
        path.unlink()


def test_a_filter_by_what_follows_an_image(dense_beton: Path) -> None:
    given = pipelines([RandomResizedCropRGBImageDecoder(40)])
    with Loader(dense_beton, 5, pipelines=given, seed=SEED, num_workers=2) as loader:
        batch = loader.batch(range(COUNT), 0)
        names = [p.name for p in read_pipelines(given, loader.files)]
        masks, boxes, labels = (batch[names.index(name)] for name in ("mask", "boxes", "labels"))
        with loader.filter("labels", lambda row: bool((row >= 0).sum() > 1)) as some:
            assert some.indices.tolist() == [i for i in range(COUNT) if (labels[i] >= 0).sum() > 1]
            assert len(next(iter(some))) == len(names)
        with loader.filter("boxes", lambda row: not bool(row.mask.any())) as none:
            assert none.indices.tolist() == [i for i in range(COUNT) if not boxes.mask[i].any()]
        with loader.filter("mask", lambda mask: bool((mask == 2).any())) as seen:
            assert seen.indices.tolist() == [i for i in range(COUNT) if (masks[i] == 2).any()]

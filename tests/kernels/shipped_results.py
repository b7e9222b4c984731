"""Everything that kernels make, as digests: what is shipped and what numba compiles must give the same.

    python shipped_results.py FOLDER

As a program it prints the digests of :func:`everything` as JSON, and which parts of numba were imported before the
first batch of every kind of pipeline was there, and afterwards. Its files are made in the folder, or found there.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ffprep import presets
from ffprep import transforms as T
from ffprep.beton.writing.writer import Writer
from ffprep.common.seeds import unsigned
from ffprep.errors import OptionError
from ffprep.fields import ArrayImageField, BytesField, IntField, NDArrayField, RGBImageField
from ffprep.fields.base import Encoded
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder, ResizeRGBImageDecoder
from ffprep.fields.dense import ArrayImageDecoder, BoxesDecoder, BoxValuesDecoder, KeypointsDecoder, MaskDecoder
from ffprep.fields.dense.images import STORED
from ffprep.kernels import layout, random
from ffprep.kernels.resample.render import colour_array, packed_desc, render
from ffprep.kernels.resample.weights import FILTERS
from ffprep.kernels.simd import level as simd
from ffprep.loader import Loader, OrderOption
from ffprep.loader.order.permute import permute, permute_in_windows
from ffprep.pipeline.form import BatchInfo
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.text.tokens.fast import PROBE, FastEncoder
from ffprep.transforms.image import ImageOp, apply_to_batch
from tests.transforms.dense import write_dense

COUNT = 6
SIZES = [(1, 1), (7, 5), (15, 16), (40, 33)]


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Return a picture with smooth parts and edges, uint8 of shape (height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    grown = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    return (grown // 2 + rng.integers(0, 64, grown.shape, dtype=np.uint8)).astype(np.uint8)


def make_file(folder: Path, mode: str) -> Path:
    """Return a file of pictures with captions and tokens: JPEGs in `seekable` or `keep` form, or `raw` pixels."""
    path = folder / f"{mode}.beton"
    if path.exists():
        return path
    image = RGBImageField("raw") if mode == "raw" else RGBImageField("jpg", jpeg=mode)
    fields = {
        "image": image,
        "tokens": NDArrayField(np.dtype(np.uint16), (5,)),
        "length": IntField(),
        "image_id": IntField(),
        "label": IntField(),
        "caption": BytesField(),
    }
    with Writer(path, fields, COUNT) as writer:
        for i in range(COUNT):
            pixels = picture(i, 50 + 13 * i, 90 - 11 * i)
            values = [np.arange(5, dtype=np.uint16) + i, i, i, i, b"x" * i]
            plain = [field.encode(v) for field, v in zip(list(fields.values())[1:], values, strict=True)]
            writer.write([image.encode(pixels) if mode == "raw" else stored(image, pixels, i, mode), *plain])
    return path


def stored(field: RGBImageField, pixels: np.ndarray, i: int, mode: str) -> Encoded:
    """Return a picture as a JPEG of one of three samplings of chroma."""
    if mode == "seekable":
        return field.encode(pixels)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", subsampling=i % 3)
    return Encoded((0, pixels.shape[1], pixels.shape[0], 0), out.getvalue())


def make_blocks(folder: Path) -> Path:
    """Return a file of token blocks."""
    path = folder / "blocks.beton"
    field = NDArrayField(np.dtype(np.uint16), (8,))
    if not path.exists():
        with Writer(path, {"tokens": field}, 16) as writer:
            for i in range(16):
                writer.write([field.encode(np.arange(i, i + 8, dtype=np.uint16))])
    return path


def digest(value: Any) -> str:
    """Return a digest of arrays and tensors, also in sequences."""
    state = hashlib.sha256()
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, (list, tuple)):
            todo += one
            continue
        if hasattr(one, "detach"):
            import torch

            one = one.contiguous().view(torch.uint8).numpy() if one.dtype == torch.bfloat16 else one.numpy()
        array = np.ascontiguousarray(one)
        state.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return state.hexdigest()


def renderings() -> Iterator[tuple[str, str]]:
    """Every level, filter, format and size, with and without a mirror, of the same box."""
    image = packed_desc(pixels := picture(9, 61, 83))
    colour = colour_array((120.0, 110.0, 100.0), (60.0, 61.0, 62.0))
    for level, kind, form, size in product(
        [*simd.available(), "wide", "exact"], sorted(FILTERS), sorted(layout.FORMATS), SIZES
    ):
        for flip in (False, True):
            name = f"render {level} {kind} {form} {size} {flip}"
            box = (3.0, 5.0, 41.0, 37.0) if flip else (2.25, 0.5, 50.5, 60.0)
            try:
                out = render(image, box, size, filter=kind, format=form, flip=flip, colour=colour, level=level)
            except OptionError as error:  # left to the wide renderer
                yield name, str(error)
            else:
                yield name, digest(out)
    assert pixels.size  # alive until here


ARGUMENTS: list[tuple[Any, ...]] = [
    (), (3,), (0.4,), ((12, 10),), ((0.3, 0.9), (0.8, 1.2), (12, 10)),
    ([T.RandomInvert(1.0), T.RandomVerticalFlip(1.0), T.Rotate(20.0)],),
]  # fmt: skip
"""What image operations are tried to be made with."""


def image_ops() -> Iterator[type[ImageOp]]:
    """Every public operation on images."""
    todo: list[type[ImageOp]] = [ImageOp]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if getattr(kind, "function", None) is not None and not kind.__name__.startswith("_"):
            yield kind


def make_op(kind: type[ImageOp]) -> ImageOp | None:
    """Return an operation of a class that can be made with few arguments."""
    for arguments in ARGUMENTS:
        try:
            op = kind(*arguments)
            op.numbers(24, 37, "uint8")
            return op
        except (TypeError, ValueError, AttributeError, NotImplementedError, OptionError):
            continue  # it takes other arguments
    return None


def operations() -> Iterator[tuple[str, str]]:
    """Every image operation that can be made with few arguments, and what works on whole batches."""
    batch = BatchInfo(np.arange(3, 7), 2, 11, 5)
    images = np.stack([picture(i, 24, 37) for i in range(4)])
    rng = np.random.default_rng(3)
    made = {kind.__name__: make_op(kind) for kind in image_ops()}
    made["Poison"] = T.Poison(rng.integers(0, 256, (24, 37, 3)), rng.random((24, 37)), [3, 6, 90])
    for name, op in made.items():
        if op is not None:
            yield f"operation {name}", digest(apply_to_batch(op, images, batch))
            if not op.levels:
                yield f"operation {name}, float32", digest(apply_to_batch(op, images.astype(np.float32), batch))
    for mix in (T.Mixup(0.4, False), T.CutMix(1.0, (24, 37), same_box=False)):
        for kind in (np.uint8, np.float32):
            yield f"{mix} {kind.__name__}", digest(mix.images.apply(images.astype(kind), batch))
        yield f"{mix} labels", digest(mix.labels.apply(np.arange(4), batch))


def batches(folder: Path) -> Iterator[tuple[str, str]]:
    """Batches of presets: modes of storage, sizes, types, layouts, crops, views."""
    import torch

    dtypes = (np.uint8, np.float16, np.float32, torch.bfloat16)
    forms = [*product(["seekable"], [33], dtypes, [False, True]), *product(["keep", "raw"], [8], dtypes, [True])]
    for mode, size, dtype, last in forms:
        form = {"size": size, "dtype": dtype, "channels_last": last} | ({"mean": None} if dtype is np.uint8 else {})
        with presets.imagenet_train(make_file(folder, mode), 4, 1, 3, **form) as loader:
            yield f"train {mode} {size} {dtype} {last}", digest(list(loader))
    for mode, dtype in product(("seekable", "keep", "raw"), dtypes):
        form = {"size": 21, "dtype": dtype, "grey": True, "std": [61.0]}
        form["mean"] = None if dtype is np.uint8 else [0.4]
        with presets.imagenet_train(make_file(folder, mode), 4, 1, 3, **form) as loader:
            yield f"grey {mode} {dtype}", digest(list(loader))
    for mode, exact, crop in product(("seekable", "keep", "raw"), (False, True), ("whole", "center")):
        with presets.imagenet_val(make_file(folder, mode), 4, 1, size=30, exact=exact, crop=crop) as loader:
            yield f"val {mode} {exact} {crop}", digest(list(loader))
    steps = [T.RandomBrightness(0.4), T.RandomHorizontalFlip(), T.RandAugment(), T.Cutout(4), T.ToTensor()]
    for order in (OrderOption.RANDOM, OrderOption.QUASI_RANDOM):
        views = {"image": [RandomResizedCropRGBImageDecoder((20, 20)), *steps], "tokens": None, "caption": None}
        views |= {"length": None, "image_id": None, "label": None}
        with Loader(make_file(folder, "keep"), 3, 1, order=order, pipelines=views, seed=4) as loader:
            yield f"augmented {order}", digest(list(loader))
    for trim in (False, True):
        with presets.image_text_train(make_file(folder, "keep"), 3, 1, 5, size=16, trim=trim, mask=trim) as loader:
            yield f"image_text_train {trim}", digest(list(loader))
    with presets.text_blocks(make_blocks(folder), 4, 1, 5) as loader:
        yield "text_blocks", digest(list(loader))


DENSE = [
    [RandomResizedCropRGBImageDecoder((32, 28)), T.RandomHorizontalFlip(), T.RandomBrightness(0.4), T.Cutout(4)],
    [ResizeRGBImageDecoder((50, 40)), T.RandomCrop(44, 6, fill=7), T.Resize((30, 22)), T.RandomVerticalFlip()],
    [ResizeRGBImageDecoder((40, 30)), T.ShearX(0.25), T.Rotate(35), T.RandomPerspective(0.5, p=1.0, fill=(1, 2, 3))],
]
"""Pipelines of images that masks, boxes and keypoints follow."""


def dense(folder: Path) -> Iterator[tuple[str, str]]:
    """Batches of masks, boxes, labels and keypoints that follow their image through crops, flips and maps."""
    for stored, wide in (("uint8", np.int64), ("uint16", np.int32)):
        path = folder / f"dense_{stored}.beton"
        if not path.exists():
            write_dense(path, stored)
        for number, image in enumerate(DENSE):
            given = {
                "image": image,
                "mask": PipelineSpec("mask", MaskDecoder(wide, 9), draws="image"),
                "boxes": PipelineSpec("boxes", BoxesDecoder(format="cxcywh" if number else "xyxy"), draws="image"),
                "labels": PipelineSpec("labels", BoxValuesDecoder(), draws="boxes"),
                "keypoints": PipelineSpec("keypoints", KeypointsDecoder(swap=[(0, 2)]), draws="boxes"),
                "depth": None,
            }
            with Loader(path, 8, 1, pipelines=given, seed=3) as loader:
                yield f"dense {stored} {number}", digest([list(batch) for batch in loader])


def arrays(folder: Path) -> Iterator[tuple[str, str]]:
    """Batches of images of every type, cropped, resized, mirrored and normalised."""
    for stored in STORED:
        path, field = folder / f"array_{stored}.beton", ArrayImageField(stored, 3)
        if not path.exists():
            with Writer(path, {"array": field}, COUNT) as writer:
                for i in range(COUNT):
                    writer.write([field.encode((picture(i, 30 + i, 20 + 5 * i) // 2).astype(stored))])
        crop = RandomResizedCropRGBImageDecoder(
            (24, 17), interpolation=("bilinear", "bicubic", "area")[len(stored) % 3]
        )
        for dtype in (stored, "float32", "float16", "bfloat16"):
            view = [ArrayImageDecoder(crop, dtype), T.RandomHorizontalFlip(), T.ToTensor()]
            with Loader(path, 4, 1, pipelines={"array": view}, seed=3) as loader:
                yield f"array {stored} {dtype}", digest(list(loader))


def numbers() -> Iterator[tuple[str, str]]:
    """Draws, orders and tokens."""
    samples = np.arange(100, dtype=np.int64)
    for seed in (0, 7, -3):
        yield f"uniforms {seed}", digest(random.uniforms(seed, 1, samples, 2, 3))
        yield f"permutation {seed}", digest(random.permutation(50, seed, 1))
        words = [unsigned(seed), np.uint64(3), np.uint64(1)]
        yield f"permute {seed}", digest(permute(samples, 70_000, *words))
        yield f"windows {seed}", digest(permute_in_windows(samples, np.array([0, 30, 100]), *words[:2]))
    encoder = FastEncoder([*(bytes([i]) for i in range(256)), b" t", b"he", b" the", b"ing", b"in", b"suppo"])
    yield "tokens", digest(list(encoder.encode([text for text in PROBE if text])))


def of_numba() -> list[str]:
    """Return which parts of numba have been imported."""
    return sorted({name.partition(".")[0] for name in sys.modules} & {"numba", "llvmlite"})


def everything(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return which parts of numba batches of all kinds needed, and a digest of each result, by what it is of."""
    of_batches = dict([*batches(folder), *dense(folder), *arrays(folder)])
    return of_numba(), of_batches | dict([*renderings(), *operations(), *numbers()])


if __name__ == "__main__":
    print(json.dumps(everything(Path(sys.argv[1]))))

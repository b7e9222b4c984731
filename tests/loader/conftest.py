"""Small files to load: generated numbers, arrays and byte strings, and the demo photographs."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ffprep.beton.writing.writer import Writer
from ffprep.fields import BytesField, FloatField, IntField, JSONField, NDArrayField, RGBImageField
from ffprep.fields.base import Encoded
from ffprep.jpeg import read_header

PLAIN = 103


def plain_values(i: int) -> tuple[Any, ...]:
    """What sample i of the plain file holds."""
    rng = np.random.default_rng(i)
    return (
        i * 3 - 50,
        i / 7,
        rng.integers(0, 1000, (5, 3)).astype(np.uint16),
        bytes(rng.integers(0, 256, (i * 7) % 23).astype(np.uint8)),
        {"i": i, "text": "ä" * (i % 4)},
    )


@pytest.fixture(scope="session")
def plain_beton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fields number, float, array, bytes (also empty ones), json; no images."""
    path = tmp_path_factory.mktemp("plain") / "plain.beton"
    fields = {
        "number": IntField(),
        "float": FloatField(),
        "array": NDArrayField(np.dtype("<u2"), (5, 3)),
        "bytes": BytesField(),
        "json": JSONField(),
    }
    with Writer(path, fields, PLAIN) as writer:
        for i in range(PLAIN):
            writer.write([field.encode(value) for field, value in zip(fields.values(), plain_values(i), strict=True)])
    return path


def encode_jpeg(image: np.ndarray, **options: Any) -> bytes:
    """A JPEG of an array, by Pillow."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def stored_jpeg(data: bytes) -> Encoded:
    """A JPEG stored byte by byte."""
    header = read_header(data)
    return Encoded((0, header.width, header.height, 0), data)


def noise_image(seed: int, height: int, width: int) -> np.ndarray:
    """A smooth random picture, uint8 of shape (height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, 3)).astype(np.float64)
    rows = np.linspace(0, 4, height)
    columns = np.linspace(0, 5, width)
    r, c = rows.astype(int).clip(0, 3), columns.astype(int).clip(0, 4)
    fr, fc = (rows - r)[:, None, None], (columns - c)[None, :, None]
    top = coarse[r][:, c] * (1 - fc) + coarse[r][:, c + 1] * fc
    bottom = coarse[r + 1][:, c] * (1 - fc) + coarse[r + 1][:, c + 1] * fc
    return (top * (1 - fr) + bottom * fr).round().astype(np.uint8)


def write_images(path: Path, payloads: list[Encoded]) -> Path:
    """A file with fields image and label (0, 1, 2, ...)."""
    fields = {"image": RGBImageField(jpeg="keep"), "label": IntField()}
    with Writer(path, fields, len(payloads), overwrite=True) as writer:
        for i, payload in enumerate(payloads):
            writer.write([payload, fields["label"].encode(i)])
    return path


@pytest.fixture(scope="session")
def image_beton(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    """The six photographs, and 31 generated pictures of odd sizes and samplings, every fifth of them raw."""
    payloads = [stored_jpeg(p.read_bytes()) for p in sorted((demo_data / "imagenet").rglob("*.JPEG"))]
    for i in range(31):
        image = noise_image(i, 20 + 13 * i % 90, 33 + 29 * i % 120)
        if i % 5 == 4:
            payloads.append(RGBImageField().encode(image))
        else:
            payloads.append(stored_jpeg(encode_jpeg(image, quality=80 + i % 15, subsampling=i % 3)))
    return write_images(tmp_path_factory.mktemp("images") / "images.beton", payloads)


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions above, for tests that make files of their own."""
    return SimpleNamespace(
        plain_values=plain_values,
        encode_jpeg=encode_jpeg,
        stored_jpeg=stored_jpeg,
        noise_image=noise_image,
        write_images=write_images,
        image_field=lambda: RGBImageField(jpeg="keep"),
    )

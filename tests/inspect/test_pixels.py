"""Mean and standard deviation of pixels, against numpy on the images themselves."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ffprep.beton.sets import SetFile
from ffprep.beton.writing.writer import Writer
from ffprep.cli import main
from ffprep.errors import OptionError
from ffprep.fields import IntField, RGBImageField
from ffprep.inspect.pixels import UNIT, pixels_of_set


def write(path: Path, count: int, seed: int = 0) -> np.ndarray:
    """A file of small images of different sizes, some raw and one grey; return all pixels, (n, 3)."""
    rng = np.random.default_rng(seed)
    field, raw, pixels = RGBImageField(jpeg="keep"), RGBImageField("raw"), []
    with Writer(path, {"image": field}, count) as writer:
        for i in range(count):
            image = rng.integers(0, 60 + 5 * (i % 30), (9 + i % 4, 16, 3)).astype(np.uint8)
            if i % 2:
                writer.write([raw.encode(image)])
                pixels.append(image)
                continue
            data = io.BytesIO()
            Image.fromarray(image[..., 0] if i == 4 else image).save(data, "JPEG")
            writer.write([field.encode(data.getvalue())])
            pixels.append(np.asarray(Image.open(data).convert("RGB")))
    return np.concatenate([image.reshape(-1, 3) for image in pixels])


def test_all_pixels_count_once(tmp_path: Path) -> None:
    pixels = np.concatenate([write(tmp_path / f"{k}.beton", UNIT + 6 - k, k) for k in range(2)])
    files = [SetFile(tmp_path / f"{k}.beton") for k in range(2)]
    one, three = pixels_of_set(files, 1), pixels_of_set(files, 3)
    assert one == three and one.images == 2 * UNIT + 11
    np.testing.assert_allclose(one.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(one.std, pixels.std(0), rtol=1e-12)


def test_the_command(tmp_path: Path) -> None:
    pixels = write(tmp_path / "a.beton", 7)
    done = CliRunner().invoke(main, ["stats", "--pixels", str(tmp_path / "a.beton"), "--form", "json"])
    [row] = json.loads(done.output)
    np.testing.assert_allclose(row["mean"], pixels.mean(0))
    text = CliRunner().invoke(main, ["stats", "--pixels", str(tmp_path / "a.beton")]).output
    assert f"{pixels[:, 0].mean():.3f}" in text and f"{pixels[:, 2].std() / 255:.4f}" in text
    assert "NormalizeImage(np.array([" in text
    refused = CliRunner().invoke(main, ["stats", "--pixels", str(tmp_path / "a.beton"), "--form", "csv"])
    assert refused.exit_code == 2


def test_files_without_images(tmp_path: Path) -> None:
    with Writer(tmp_path / "a.beton", {"label": IntField()}, 1) as writer:
        writer.write([IntField().encode(1)])
    with pytest.raises(OptionError, match="has 0 fields of images"):
        pixels_of_set([SetFile(tmp_path / "a.beton")])

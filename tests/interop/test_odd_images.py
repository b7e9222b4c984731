"""Odd and damaged JPEGs through a conversion in every form, into verify and the loader."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ffprep.beton.verify import verify
from ffprep.convert.conversion import convert
from ffprep.fields import RGBImageField
from ffprep.fields.decoders import CenterCropRGBImageDecoder, IntDecoder
from ffprep.loader import Loader, OrderOption
from ffprep.sources.imagenet import open_imagenet

EOI = b"\xff\xd9"
SIZE = 32


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    """A smooth picture of 64 x 64 pixels, so that resampling in other arithmetic changes little."""
    y, x, c = np.mgrid[:64, :64, :3]
    values = 128 + 100 * np.sin(x / 17 + y / 23 + c)
    out = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).convert(mode).save(out, "JPEG", quality=95, **options)  # type: ignore[arg-type]
    return out.getvalue()


def half(data: bytes) -> bytes:
    begin = data.index(b"\xff\xda")
    return data[: (begin + len(data)) // 2].rstrip(b"\xff") + EOI


def equal_identifiers(data: bytes) -> bytes:
    sof, sos = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    changed = bytearray(data)
    for n in range(3):
        changed[sof + 10 + 3 * n] = changed[sos + 5 + 2 * n] = 1
    return bytes(changed)


def shorter(data: bytes) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + (48).to_bytes(2, "big") + data[at + 2 :]


WHOLE = {
    "left_over": jpeg()[:-2] + b"\x7f" + EOI,
    "no_end": jpeg()[:-2],
    "no_end_progressive": jpeg(progressive=True)[:-2],
    "same_identifiers": equal_identifiers(jpeg(subsampling=0)),
    "shorter": shorter(jpeg()),
    "whole": jpeg(),
    "whole_cmyk": jpeg("CMYK"),
}
DAMAGED = {
    "half": half(jpeg()),
    "half_cmyk": half(jpeg("CMYK")),
    "half_progressive": half(jpeg(progressive=True)),
    "half_rgb": half(jpeg(keep_rgb=True)),
    "restarts": jpeg(restart_marker_rows=1).replace(b"\xff\xd1", b"\xff\xd4"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One class for each file, so that a label names it."""
    place = tmp_path_factory.mktemp("odd")
    for name, data in {**WHOLE, **DAMAGED}.items():
        path = place / "train" / name / "image.JPEG"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    return place


def shown(path: Path) -> tuple[NDArray[np.uint8], list[int]]:
    loader = Loader(
        path,
        4,
        1,
        order=OrderOption.SEQUENTIAL,
        drop_last=False,
        pipelines={
            "image": [CenterCropRGBImageDecoder((SIZE, SIZE), ratio=1, interpolation="area")],
            "label": [IntDecoder()],
        },
    )
    batches = [(np.array(image), np.array(label)) for image, label in loader]
    labels = np.concatenate([label for _, label in batches])[:, 0]
    return np.concatenate([image for image, _ in batches]), [int(label) for label in labels]


@pytest.mark.parametrize("form", ["seekable", "keep", "reencode", "raw"])
def test_whole_images_arrive_and_damaged_ones_are_named(folder: Path, form: str) -> None:
    path = folder / f"{form}.beton"
    field = RGBImageField("raw") if form == "raw" else RGBImageField(jpeg=form)
    report = convert(open_imagenet(str(folder), "train", image=field), path, workers=2, on_error="skip")
    names = sorted([*WHOLE, *DAMAGED])
    refused = report.to_json()["refused"]
    assert sorted(entry["sample"].split("/")[-2] for entry in refused) == sorted(DAMAGED)
    assert all("ends early" in entry["reason"] or "restart marker" in entry["reason"] for entry in refused)
    counted = " ".join(entry["reason"] for entry in report.to_json()["outcomes"])
    assert "bytes left over at the end dropped" in counted and "end marker added" in counted
    assert verify(path).ok
    images, labels = shown(path)
    assert [names[label] for label in labels] == [name for name in names if name in WHOLE]
    for image, label in zip(images, labels, strict=True):
        data = WHOLE[names[label]]
        with Image.open(io.BytesIO(data if data.endswith(EOI) else data + EOI)) as opened:
            square = opened.convert("RGB")
        left, top = (square.width - min(square.size)) // 2, (square.height - min(square.size)) // 2
        side = min(square.size)
        expected = square.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.BOX)
        assert np.abs(image.astype(int) - np.asarray(expected)).mean() < 3, (form, names[label])

"""Boxes and masks from published layouts, through conversion, into stock ffcv's loader and ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dense_trees import SIZES, Coco, ffprep, picture, values_of, voc, write
from saved_arrays import saved_arrays

from ffprep import Loader, OrderOption
from ffprep.beton.reader import Reader
from ffprep.fields.decoders import CenterCropRGBImageDecoder, RandomResizedCropRGBImageDecoder
from ffprep.fields.dense import BoxesDecoder, BoxValuesDecoder, MaskDecoder
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import RandomHorizontalFlip

HERE = Path(__file__).parent


def with_png(coco: Coco) -> Path:
    """COCO's annotations, the second image being a PNG."""
    (coco.images / "000000000002.jpg").unlink()
    write(coco.images / "000000000002.png", picture(SIZES[1], "PNG"))
    coco.listed[1]["file_name"] = "000000000002.png"
    return coco.write()


@pytest.mark.ffcv
def test_stock_ffcv_reads_the_fields_as_what_they_are(tmp_path: Path) -> None:
    pytest.importorskip("ffcv.libffcv")
    voc(tmp_path)
    coco = Coco(tmp_path)
    boxes, masks = tmp_path / "boxes.beton", tmp_path / "masks.beton"
    detection = ["coco-detection", "--annotations", with_png(coco), "--images", coco.images]
    assert ffprep("convert", *detection, "--out", boxes).exit_code == 0
    segmentation = ["voc", "--source", tmp_path, "--task", "segmentation"]
    assert ffprep("convert", *segmentation, "--out", masks).exit_code == 0
    program = [sys.executable, "-W", "ignore", str(HERE / "stock_dense.py"), "32"]
    files = [f"{boxes}:boxes,labels:image_id", f"{masks}:mask,objects:"]
    plain = {**os.environ, "NUMBA_DISABLE_JIT": "1"}  # stock's own code, without the time that compiling takes
    run = subprocess.run([*program, *files], capture_output=True, text=True, timeout=300, check=False, env=plain)
    assert run.returncode == 0, run.stderr[-2000:]
    for path, names in ((boxes, ["boxes", "labels"]), (masks, ["mask", "objects"])):
        found = saved_arrays(path.with_suffix(".npz"))
        pipelines = {"image": [CenterCropRGBImageDecoder((32, 32), ratio=1, interpolation="area")]}
        loader = Loader(path, 3, order=OrderOption.SEQUENTIAL, pipelines={**pipelines, **dict.fromkeys(names)})
        images = np.asarray(next(iter(loader))[0]).astype(float)
        for ours, stock in zip(images, found["image"], strict=True):
            assert np.mean((ours - stock) ** 2) < 255**2 / 10**4.3  # 43 dB, as of photographs
        with Reader(path) as reader:
            for name in names:
                for i in range(3):
                    payload = reader.payload(name, i).tobytes()
                    assert found[name][i].tobytes()[: len(payload)] == payload  # stock leaves what follows as it was
    assert saved_arrays(boxes.with_suffix(".npz"))["image_id"].ravel().tolist() == [1, 2, 3]


def test_crops_with_boxes(tmp_path: Path) -> None:
    coco = Coco(tmp_path)
    command = ["convert", "coco-detection", "--images", coco.images, "--annotations", coco.write()]
    assert ffprep(*command, "--out", tmp_path / "a.beton", "--crowd", "keep").exit_code == 0
    whole = RandomResizedCropRGBImageDecoder((32, 32), scale=(1, 1), ratio=(1, 1))
    pipelines = {
        "image": [whole, RandomHorizontalFlip(0.5)],
        "boxes": PipelineSpec("boxes", BoxesDecoder(count=4), [], draws="image"),
        "labels": PipelineSpec("labels", BoxValuesDecoder(), [], draws="boxes"),
        "iscrowd": PipelineSpec("iscrowd", BoxValuesDecoder(), [], draws="boxes"),
        "image_id": None,
    }
    loader = Loader(tmp_path / "a.beton", 3, order=OrderOption.SEQUENTIAL, pipelines=pipelines)
    assert loader.classes == ["person", "train", "sky"]
    ((images, boxes, labels, crowds),) = list(loader)
    assert images.shape == (3, 32, 32, 3) and boxes.mask.sum(1).tolist()[1] == 0
    for i, row in enumerate(values_of(tmp_path / "a.beton")):
        kept = int(boxes.mask[i].sum())
        assert set(labels[i][:kept].tolist()) <= set(row["labels"].tolist())
        assert crowds[i][kept:].tolist() == [-1] * (4 - kept)


def test_crops_with_masks(tmp_path: Path) -> None:
    _, masks = voc(tmp_path)
    command = ["convert", "voc", "--source", tmp_path, "--task", "segmentation", "--out", tmp_path / "a.beton"]
    assert ffprep(*command).exit_code == 0
    pipelines = {
        "image": [CenterCropRGBImageDecoder((20, 20), ratio=1)],
        "mask": PipelineSpec("mask", MaskDecoder(np.int64, fill=255), [], draws="image"),
        "objects": None,
    }
    loader = Loader(tmp_path / "a.beton", 3, order=OrderOption.SEQUENTIAL, pipelines=pipelines)
    ((_, found),) = list(loader)
    for mask, whole in zip(np.asarray(found), masks, strict=True):
        assert mask.shape == (20, 20) and set(np.unique(mask)) <= set(np.unique(whole))

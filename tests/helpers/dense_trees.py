"""Small data sets in the layouts of COCO, Pascal VOC and ADE20K."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result
from PIL import Image

from ffprep.beton.reader import Reader
from ffprep.cli import main

SIZES = [(64, 48), (40, 60), (50, 50)]


def ffprep(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def values_of(path: Path) -> list[dict[str, Any]]:
    with Reader(path) as reader:
        return [{name: reader.value(name, i) for name in reader.fields} for i in range(reader.num_samples)]


def facts_of(path: Path) -> dict[str, Any]:
    with Reader(path) as reader:
        assert reader.manifest is not None
        facts: dict[str, Any] = reader.manifest["source"]
        return facts


def picture(size: tuple[int, int], kind: str = "JPEG") -> bytes:
    x, y = np.meshgrid(np.linspace(0, 200, size[0]), np.linspace(0, 200, size[1]))
    file = io.BytesIO()
    Image.fromarray(np.stack([x, y, (x + y) / 2 + 20], 2).astype(np.uint8)).save(file, kind, quality=95)
    return file.getvalue()


def palette_png(labels: np.ndarray) -> bytes:
    image = Image.fromarray(labels.astype(np.uint8)).convert("P")
    image.putdata(labels.astype(int).ravel().tolist())
    image.putpalette([value * 7 % 256 for value in range(768)])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def grey_png(labels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(labels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def labels_of(size: tuple[int, int], most: int, seed: int = 0) -> np.ndarray:
    """Rectangles of labels from 0 to `most`, and some of 255."""
    random = np.random.default_rng(seed)
    labels = np.zeros((size[1], size[0]), np.uint8)
    for label in [*random.integers(0, most + 1, 5).tolist(), 255]:
        x, y = (int(random.integers(0, side - 8)) for side in size)
        labels[y : y + 8, x : x + 7] = label
    return labels


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


class Coco:
    """Three images, one without objects, with boxes, a crowd, keypoints and segments."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = root / "val2017"
        self.categories: list[dict[str, Any]] = [
            {"id": 1, "name": "person", "keypoints": ["nose", "tail"], "isthing": 1},
            {"id": 7, "name": "train", "isthing": 1},
            {"id": 90, "name": "sky", "isthing": 0},
        ]
        self.listed: list[dict[str, Any]] = []
        for number, (width, height) in enumerate(SIZES, 1):
            name = f"{number:012}.jpg"
            write(self.images / name, picture((width, height)))
            self.listed.append({"id": number, "file_name": name, "width": width, "height": height})
        self.objects: list[dict[str, Any]] = [
            {"image_id": 1, "category_id": 7, "bbox": [1.5, 2, 10, 20.25], "iscrowd": 0},
            {
                "image_id": 3,
                "category_id": 1,
                "bbox": [30, 40, 100, 100],
                "iscrowd": 0,
                "keypoints": [31, 41, 2, 0, 0, 0],
            },
            {"image_id": 1, "category_id": 1, "bbox": [0, 0, 64, 48], "iscrowd": 1},
            {"image_id": 1, "category_id": 90, "bbox": [60, 1, 4, 4], "iscrowd": 0},
        ]

    def write(self, name: str = "instances_val2017.json", **changes: Any) -> Path:
        content = {"images": self.listed, "annotations": self.objects, "categories": self.categories, **changes}
        return write(self.root / "annotations" / name, json.dumps(content))

    def panoptic(self) -> tuple[Path, Path, list[np.ndarray]]:
        """The annotations, the folder of masks, and for each image the ids."""
        ids, entries = [], []
        for number, (width, height) in enumerate(SIZES, 1):
            pixels = np.zeros((height, width), np.int64)
            pixels[:20, :30] = 70_000 + number
            pixels[20:, 5:] = 300
            rgb = np.stack([pixels % 256, pixels // 256 % 256, pixels // 65536], 2).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(rgb).save(file, "PNG")
            write(self.root / "panoptic" / f"{number:012}.png", file.getvalue())
            segments = [
                {"id": 70_000 + number, "category_id": 7, "iscrowd": 1},
                {"id": 300, "category_id": 90, "iscrowd": 0},
            ]
            entries.append({"image_id": number, "file_name": f"{number:012}.png", "segments_info": segments})
            ids.append(pixels)
        return self.write("panoptic_val2017.json", annotations=entries), self.root / "panoptic", ids


def voc_xml(size: tuple[int, int], objects: list[tuple[str, tuple[float, ...], int, int]]) -> str:
    inner = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><truncated>{truncated}</truncated>"
        f"<bndbox><xmax>{b[2]}</xmax><xmin>{b[0]}</xmin><ymax>{b[3]}</ymax><ymin>{b[1]}</ymin></bndbox>"
        f"<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part></object>"
        for name, b, difficult, truncated in objects
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{inner}</annotation>"


def voc(root: Path) -> tuple[Path, list[np.ndarray]]:
    """VOC2012 with three images, and their masks."""
    top = root / "VOCdevkit" / "VOC2012"
    names = [f"2007_{number:06}" for number in range(3)]
    objects: list[list[tuple[str, tuple[float, ...], int, int]]] = [
        [("cat", (1, 1, 64, 48), 0, 1), ("person", (5, 6, 5, 6), 1, 0)],
        [],
        [("tvmonitor", (2.5, 3, 10, 20), 0, 0)],
    ]
    masks = [labels_of(size, 20, number) for number, size in enumerate(SIZES)]
    for name, size, some, mask in zip(names, SIZES, objects, masks, strict=True):
        write(top / "JPEGImages" / f"{name}.jpg", picture(size))
        write(top / "Annotations" / f"{name}.xml", voc_xml(size, some))
        for folder in ("SegmentationClass", "SegmentationObject"):
            write(top / folder / f"{name}.png", palette_png(mask))
    for kind in ("Main", "Segmentation"):
        write(top / "ImageSets" / kind / "train.txt", "\n".join(names) + "\n")
        write(top / "ImageSets" / kind / "val.txt", names[0] + "\n")
    write(top / "ImageSets" / "Main" / "cat_train.txt", f"{names[0]}  1\n")
    return top, masks


def ade20k(root: Path) -> tuple[Path, list[np.ndarray]]:
    """ADEChallengeData2016 with three training images, and their masks."""
    top = root / "ADEChallengeData2016"
    masks = []
    for number, size in enumerate(SIZES, 1):
        mask = labels_of(size, 150, number)
        mask[mask == 255] = 150
        masks.append(mask)
        write(top / "images" / "training" / f"ADE_train_{number:08}.jpg", picture(size))
        write(top / "annotations" / "training" / f"ADE_train_{number:08}.png", grey_png(mask))
    lines = ["Idx\tRatio\tTrain\tVal\tName", *(f"{n}\t0.1\t1\t1\tthing {n}, stuff" for n in range(1, 151))]
    write(top / "objectInfo150.txt", "\n".join(lines) + "\n")
    return top, masks

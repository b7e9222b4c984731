"""Segmentation and detection: masks, boxes and labels that follow the image's crop, flip and geometry.

    python examples/dense_targets.py [--picture crops.png]

Makes a small file of photographs in which ellipses are the objects, trains a segmentation network for some steps on
random crops, turned and flipped, counts the boxes of each batch and writes a picture of crops with the masks' outlines
and the boxes on them: a row of these, one of letterboxes, one of scale jitter and tilts, one of elastic deformation.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import demo_data
import numpy as np
import torch
from PIL import Image, ImageDraw

from ffprep import Loader, OrderOption
from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer
from ffprep.fields import MaskField, RGBImageField, VariableArrayField
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
from ffprep.fields.dense import BoxesDecoder, BoxValuesDecoder, MaskDecoder
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import (
    ColorJitter,
    ElasticTransform,
    LetterboxRGBImageDecoder,
    NormalizeImage,
    RandomAffine,
    RandomHorizontalFlip,
    RandomPerspective,
    ScaleJitterRGBImageDecoder,
    ToTensor,
    ToTorchImage,
)

MEAN, STD = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
IGNORED = 255


def write_objects(source: Path, out: Path) -> Path:
    """Write a file of the source's images with ellipses as objects: fields image, mask, boxes and labels."""
    fields = {
        "image": RGBImageField("jpg"),
        "mask": MaskField(),
        "boxes": VariableArrayField("float32", (4,)),
        "labels": VariableArrayField("int64"),
    }
    rng = np.random.default_rng(0)
    with Reader(source) as reader, Writer(out, fields, reader.num_samples, overwrite=True) as writer:
        for i in range(reader.num_samples):
            picture = Image.open(io.BytesIO(reader.value("image", i))).convert("RGB")
            mask = Image.new("L", picture.size)
            draw, paint, boxes, labels = ImageDraw.Draw(mask), ImageDraw.Draw(picture), [], []
            for label in range(1, 1 + int(rng.integers(1, 4))):
                w, h = rng.uniform(0.2, 0.5, 2) * picture.size
                x, y = rng.uniform(0, 1, 2) * (picture.width - w, picture.height - h)
                draw.ellipse((x, y, x + w, y + h), fill=label)
                paint.ellipse((x, y, x + w, y + h), fill=[(200, 40, 40), (40, 200, 40), (40, 40, 200)][label - 1])
                boxes.append((x, y, x + w, y + h))
                labels.append(label)
            values = np.asarray(picture), mask, np.array(boxes, np.float32), np.array(labels)
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])
    return out


def outlined(image: np.ndarray, mask: np.ndarray, boxes: np.ndarray) -> Image.Image:
    """Return an image with the outlines of its mask in white, ignored pixels in grey and its boxes in yellow."""
    edge = np.zeros(mask.shape, bool)
    edge[:-1] |= mask[1:] != mask[:-1]
    edge[:, :-1] |= mask[:, 1:] != mask[:, :-1]
    shown = image.copy()
    shown[mask == IGNORED] = 128
    shown[edge] = 255
    picture = Image.fromarray(shown)
    for box in boxes:
        ImageDraw.Draw(picture).rectangle([*(box[:2]), *(box[2:] - 1)], outline=(255, 255, 0))
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_objects(demo_data.images(Path(folder), 48), Path(folder) / "objects.beton")
        geometry = [
            RandomResizedCropRGBImageDecoder(arguments.size, scale=(0.25, 1.0)),
            RandomHorizontalFlip(),
            RandomAffine(10, interpolation="bilinear", fill=128),
        ]
        image = [*geometry, ColorJitter(0.2, 0.2), NormalizeImage(MEAN, STD, np.float32), ToTensor(), ToTorchImage()]
        mask = PipelineSpec("mask", MaskDecoder(np.int64, fill=IGNORED), [ToTensor()], draws="image")
        boxes = PipelineSpec("boxes", BoxesDecoder(count=8, format="cxcywh"), [ToTensor()], draws="image")
        labels = PipelineSpec("labels", BoxValuesDecoder(fill=-1), [ToTensor()], draws="boxes")

        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(16, 4, 5, padding=2)
        )
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        pipelines = {"image": image, "mask": mask, "boxes": boxes, "labels": labels}
        with Loader(path, 16, order=OrderOption.RANDOM, seed=0, pipelines=pipelines) as loader:
            step = 0
            while step < arguments.steps:
                for images, masks, found, classes in loader:
                    step += 1
                    loss = torch.nn.functional.cross_entropy(net(images), masks, ignore_index=IGNORED)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    kinds = classes[found.mask].unique().tolist()
                    print(f"step {step}: loss {loss.item():.3f}, {int(found.mask.sum())} boxes of the classes {kinds}")
        if arguments.picture:
            side = arguments.size
            rows = [
                geometry,
                [LetterboxRGBImageDecoder(side, fill=114), RandomHorizontalFlip()],
                [ScaleJitterRGBImageDecoder(side, (0.5, 2.0), fill=114), RandomPerspective(0.4, p=1.0, fill=128)],
                [RandomResizedCropRGBImageDecoder(side), ElasticTransform(8.0 * side, side / 12, fill=128)],
            ]
            sheet = Image.new("RGB", (4 * side, len(rows) * side))
            for row, shown in enumerate(rows):
                plain = {
                    "image": shown,
                    "mask": PipelineSpec("mask", MaskDecoder(fill=IGNORED), draws="image"),
                    "boxes": PipelineSpec("boxes", BoxesDecoder(), draws="image"),
                    "labels": None,
                }
                with Loader(path, 4, seed=0, pipelines=plain) as loader:
                    images, masks, found = loader.batch(range(4 * row, 4 * row + 4))
                for i in range(4):
                    crop = outlined(images[i], masks[i], found.boxes[i][found.mask[i]])
                    sheet.paste(crop, (i * side, row * side))
            sheet.save(arguments.picture)


if __name__ == "__main__":
    main()

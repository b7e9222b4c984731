"""Hold COCO captions to their text and images, from the annotations to stock ffcv's loader.

    python benchmarks/converting/coco.py --images val2017 --annotations captions_val2017.json --out /tmp/coco

Converts the annotations as pairs and grouped and checks that

- every caption, decoded from its tokens, is the annotation's text without its surrounding blanks, and in order;
- pairs store each image once, but for those whose pairs lie in two pages: within 2 % of the grouped form's bytes;
- our loader and stock ffcv 1.0.2's (unless ``--no-stock``) show for each pair its own image, tokens and image id.

Images that the folder lacks are made up, a different one for each, at an eighth of the annotated size. Stock decodes
with a coarser transform, so its pixels are held to 40 dB. The last line is JSON; the exit status 1 says that something
does not hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 32
LOWEST_PSNR = 40.0
LENGTH = 64


def gather(images: Path, annotations: dict[str, Any], folder: Path) -> int:
    """Link the images that are there into a folder and make up the others; return how many are made up."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    present = {path.name: path for path in images.rglob("*.jpg")}
    made = 0
    for image in annotations["images"]:
        name = image["file_name"]
        target = folder / name
        if name in present:
            if not target.exists():
                target.symlink_to(present[name].resolve())
            continue
        rng = np.random.default_rng(int(image["id"]))
        blocks = Image.fromarray(rng.integers(64, 192, (4, 5, 3), dtype=np.uint8))
        size = max(SIDE, image.get("width", 640) // 8), max(SIDE, image.get("height", 480) // 8)
        blocks.resize(size, Image.Resampling.BILINEAR).save(
            target, "JPEG", quality=92, subsampling=int(rng.integers(3))
        )
        made += 1
    return made


def texts_of(annotations: dict[str, Any]) -> dict[int, list[str]]:
    """Captions of every image that has any, in the order of the annotations."""
    found: dict[int, list[str]] = defaultdict(list)
    for annotation in annotations["annotations"]:
        found[int(annotation["image_id"])].append(annotation["caption"].strip())
    return {int(image["id"]): found[int(image["id"])] for image in annotations["images"] if found[int(image["id"])]}


def check_texts(path: Path, wanted: dict[int, list[str]]) -> list[str]:
    """Decode every caption of a file; return what is wrong."""
    from ffprep.beton.reader import Reader
    from ffprep.text.tokens.vocabulary import from_manifest

    found: dict[int, list[str]] = defaultdict(list)
    with Reader(path) as reader:
        assert reader.manifest is not None
        vocabulary = from_manifest(reader.manifest["source"]["vocabulary"])
        for i in range(reader.num_samples):
            tokens, lengths = reader.value("tokens", i), np.atleast_1d(reader.value("length", i))
            for row, length in zip(tokens.reshape(-1, LENGTH), lengths, strict=True):
                if length:
                    found[reader.value("image_id", i)].append(vocabulary.decode(row[: int(length)]))
    if list(found) != list(wanted):
        return [f"{path.name}: its images are not those of the annotations, or in another order"]
    return [
        f"{path.name}: image {image}: {a!r} instead of {b!r}"
        for image in wanted
        for a, b in zip(found[image], wanted[image], strict=False)
        if a != b or len(found[image]) != len(wanted[image])
    ]


def image_bytes(path: Path) -> tuple[int, int]:
    """How many different images a file holds, and the bytes it spends on images."""
    from ffprep.beton.reader import Reader
    from ffprep.beton.shared import count_images

    with Reader(path) as reader:
        offsets, sizes = reader.extents("image")
        first = np.unique(offsets, return_index=True)[1]
        return count_images(reader), int(sizes[first].sum())


def ours(path: Path) -> dict[str, np.ndarray]:
    """All pairs as our loader gives them."""
    from ffprep import Loader
    from ffprep.fields.decoders import CenterCropRGBImageDecoder, IntDecoder, NDArrayDecoder

    decoder = CenterCropRGBImageDecoder((SIDE, SIDE), ratio=1, interpolation="area", exact=True)
    pipelines = {"image": [decoder], "tokens": [NDArrayDecoder()], "length": [IntDecoder()], "image_id": [IntDecoder()]}
    with Loader(path, 64, drop_last=False, pipelines=pipelines) as loader:
        return joined(loader)


def stock(path: str, out: str, order: str) -> None:
    """Save all pairs as stock ffcv's loader gives them; run in a process of its own."""
    from ffcv.fields.decoders import CenterCropRGBImageDecoder, IntDecoder, NDArrayDecoder
    from ffcv.loader import Loader, OrderOption

    decoder = CenterCropRGBImageDecoder((SIDE, SIDE), ratio=1)
    pipelines = {"image": [decoder], "tokens": [NDArrayDecoder()], "length": [IntDecoder()], "image_id": [IntDecoder()]}
    options = {"num_workers": 1, "order": OrderOption[order], "drop_last": False, "seed": 0, "batches_ahead": 1}
    np.savez(out, **joined(Loader(path, batch_size=64, pipelines=pipelines, **options)))


def joined(loader: Any) -> dict[str, np.ndarray]:
    """All batches in one."""
    columns = zip(*[[np.array(member) for member in batch] for batch in loader], strict=True)
    image, tokens, length, image_id = (np.concatenate(parts) for parts in columns)
    return {"image": image, "tokens": tokens, "length": length[:, 0], "image_id": image_id[:, 0]}


def compare(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> tuple[list[str], float]:
    """Match pairs by image and tokens; return what differs, and the lowest PSNR of an image, in dB."""
    if len(a["image"]) != len(b["image"]):
        return [f"{len(b['image'])} pairs instead of {len(a['image'])}"], 0.0
    places = []
    for one in (a, b):
        keys = [(image, tokens.tobytes()) for image, tokens in zip(one["image_id"], one["tokens"], strict=True)]
        places.append(sorted(range(len(keys)), key=keys.__getitem__))
    mine, theirs = places
    problems = [
        f"{name} differs"
        for name in ("tokens", "length", "image_id")
        if not np.array_equal(a[name][mine], b[name][theirs])
    ]
    errors = (a["image"][mine].astype(np.float32) - b["image"][theirs]) ** 2
    psnr = 10 * np.log10(255**2 / np.maximum(errors.mean(axis=(1, 2, 3)), 1e-9))
    wrong = int((psnr < LOWEST_PSNR).sum())
    return [*problems, *([f"{wrong} images differ"] if wrong else [])], float(psnr.min())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jpeg", default="seekable", choices=("seekable", "keep"))
    parser.add_argument("--no-stock", action="store_true")
    choices = parser.parse_args()

    from ffprep.convert.conversion import convert
    from ffprep.fields import RGBImageField
    from ffprep.sources.coco import open_coco
    from ffprep.text.tokens.vocabulary import fairseq

    annotations = json.loads(choices.annotations.read_text(encoding="utf-8"))
    folder = choices.out / "images"
    made = gather(choices.images, annotations, folder)
    wanted = texts_of(annotations)
    counts = Counter(len(texts) for texts in wanted.values())
    every = [text for texts in wanted.values() for text in texts]
    facts: dict[str, Any] = {
        "images": len(wanted), "made_up": made, "captions": len(every),
        "captions_an_image": {str(count): counts[count] for count in sorted(counts)},
        "with_newline": sum("\n" in text for text in every),
        "not_ascii": sum(not text.isascii() for text in every),
    }  # fmt: skip
    problems: list[str] = []
    paths = {}
    for form in ("pairs", "grouped"):
        paths[form] = choices.out / f"{form}.beton"
        image = RGBImageField(jpeg=choices.jpeg)
        source = open_coco([folder], choices.annotations, image=image, vocabulary=fairseq(), form=form, length=LENGTH)
        convert(source, paths[form], overwrite=True)
        problems += check_texts(paths[form], wanted)
        stored, size = image_bytes(paths[form])
        facts[form] = {"bytes": paths[form].stat().st_size, "images": stored, "image_bytes": size}
    ratio = facts["pairs"]["image_bytes"] / facts["grouped"]["image_bytes"]
    facts["image_bytes_ratio"] = round(ratio, 4)
    if abs(ratio - 1) > 0.02 or facts["pairs"]["images"] != len(wanted):
        problems.append("pairs store images more than once")
    if not choices.no_stock:
        reference = ours(paths["pairs"])
        for order in ("SEQUENTIAL", "RANDOM"):
            found = choices.out / f"stock-{order}.npz"
            command = [sys.executable, "-W", "ignore", __file__, "stock", str(paths["pairs"]), str(found), order]
            subprocess.run(command, check=True)
            different, psnr = compare(reference, dict(np.load(found)))
            facts[f"stock_{order.lower()}"] = {"pairs": len(reference["image"]), "lowest_psnr": round(psnr, 1)}
            problems += [f"stock, {order}: {problem}" for problem in different]
    facts["problems"] = problems[:20]
    print(json.dumps(facts))
    return 1 if problems else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["stock"]:
        stock(*sys.argv[2:])
        sys.exit(0)
    sys.exit(main())

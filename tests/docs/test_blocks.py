"""Every Python block of the README and the manual runs as it stands, page by page, but for those that say why not.

``<!-- not run: REASON -->`` before a block says why not. Loops are cut short: ``range`` gives at most two numbers.
"""

from __future__ import annotations

import builtins
import io
import json
import re
import shutil
import tarfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from ffprep.beton import Writer
from ffprep.cli import main
from ffprep.fields import MaskField, RGBImageField, VariableArrayField
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.presets import imagenet_train
from ffprep.transforms import ToTensor

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?: *<!-- not run: (?P<why>[^\n]+) -->\n+)?^(?P<indent> *)```python\n(?P<code>.*?)^ *```", re.M | re.S
)


def blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    """Line, reason not to run and code of a page's blocks."""
    text = page.read_text()
    for found in BLOCK.finditer(text):
        yield text[: found.start("code")].count("\n") + 1, found["why"] or "", textwrap.dedent(found["code"])


def run(*words: Any) -> None:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, demo_data: Path, vocabulary: Any) -> Path:
    """The files that the pages name, small, but with more samples than a batch."""
    place = tmp_path_factory.mktemp("files")
    photographs = sorted((demo_data / "imagenet" / "train").rglob("*.JPEG"))
    for number in range(90):
        for path in photographs:
            target = place / "photos" / path.parent.name / f"{number}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path) if target.parent.stat().st_dev == path.stat().st_dev else shutil.copy(path, target)
    run("convert", "imagenet", "--source", place / "photos", "--out", place / "train.beton", "--quiet")
    shutil.copy(place / "train.beton", place / "val.beton")
    run("split", place / "train.beton", "--files", 2, "--out", place / "train.set.json")
    # captions
    (place / "images").mkdir()
    listed: dict[str, Any] = {"images": [], "annotations": []}
    with tarfile.open(place / "00000.tar", "w") as tar:
        for number in range(300):
            path = photographs[number % 6]
            shutil.copy(path, place / "images" / f"{number}.jpg")
            listed["images"].append({"id": number, "file_name": f"{number}.jpg", "height": 9, "width": 9})
            listed["annotations"].append({"id": number, "image_id": number, "caption": f"photograph number {number}"})
            text = place / "caption.txt"
            text.write_text(f"a photograph, the {number}th")
            tar.add(path, f"{number:09}.jpg")
            tar.add(text, f"{number:09}.txt")
    (place / "captions.json").write_text(json.dumps(listed))
    coco = ["--images", place / "images", "--annotations", place / "captions.json", "--quiet"]
    run("convert", "coco", *coco, "--grouped", "--out", place / "coco.beton")
    shutil.copy(place / "coco.beton", place / "coco_val.beton")
    for name in ("cc3m", "sbu"):
        run("convert", name, "--shards", place / "00000.tar", "--out", place / f"{name}.beton", "--quiet")
    # text
    (place / "text").mkdir()
    book = (demo_data / "text" / "alice.txt").read_text() + (demo_data / "text" / "moby_dick.txt").read_text()
    (place / "text" / "book.txt").write_text(book * 900)
    run("convert", "openwebtext", "--source", place / "text", "--out", place / "text.beton", "--quiet")
    shutil.copy(place / "text.beton", place / "owt_train.beton")
    (place / "glue").mkdir()
    rows = "".join(f'{{"text": "sentence number {number}", "label": {number % 2}}}\n' for number in range(40))
    (place / "rows.jsonl").write_text(rows)
    run(
        "convert", "text", "--files", place / "rows.jsonl", "--label", "label", "--out", place / "rows.beton", "--quiet"
    )
    for name in ("cola-train", "cola-validation", "mrpc-train", "mrpc-validation"):
        shutil.copy(place / "rows.beton", place / "glue" / f"{name}.beton")
    _dense(place / "dense.beton", photographs[0].read_bytes())
    return place


def _dense(path: Path, photograph: bytes) -> None:
    fields: dict[str, Any] = {
        "image": RGBImageField("jpg"),
        "mask": MaskField(),
        "boxes": VariableArrayField("float32", (4,)),
        "labels": VariableArrayField("int64"),
    }
    encoded = fields["image"].encode(photograph)
    with Image.open(io.BytesIO(photograph)) as image:
        width, height = image.size
    mask = np.zeros((height, width), np.uint8)
    box = np.array([[1, 1, 20, 20]], np.float32)
    with Writer(path, fields, 32) as writer:
        for _ in range(32):
            values = (mask, box, np.array([3]))
            rest = [field.encode(value) for field, value in zip(list(fields.values())[1:], values, strict=True)]
            writer.write([encoded, *rest])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch's threads beside the loader's would wait for each other where other tests run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def few(*bounds: int) -> range:
    return builtins.range(*bounds)[:2]


def given() -> dict[str, Any]:
    """What is the reader's own."""
    model = torch.nn.Linear(1, 1)
    return {
        "range": few,
        "model": model,
        "resume": False,
        "train_step": lambda images, labels: None,
        "time_to_save": lambda: True,
        "weights": np.ones(540),
    }


def of_their_page(page: Path) -> dict[str, Any]:
    """What a page's text, not a block of it, says is there."""
    if page.name == "training.md":
        return {"loader": imagenet_train("train.beton", 256, seed=0)}
    if page.name == "porting.md":
        return {
            "pipelines": {
                "image": [RandomResizedCropRGBImageDecoder(64), ToTensor()],
                "label": [IntDecoder(), ToTensor()],
            }
        }
    return {}


@pytest.mark.parametrize("page", [page for page in PAGES if list(blocks(page))], ids=lambda page: page.name)
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.usefixtures("one_thread")
def test_the_blocks_of_a_page_run(page: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    if page.name == "dense.md":
        (tmp_path / "train.beton").unlink()
        (tmp_path / "train.beton").symlink_to(files / "dense.beton")
    monkeypatch.chdir(tmp_path)
    names = given() | of_their_page(page)
    for line, why, code in blocks(page):
        if not why:
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)


def test_blocks_are_found() -> None:
    there = [block for page in PAGES for block in blocks(page)]
    assert len(there) > 30 and sum(1 for _, why, _ in there if not why) > 20
    assert sum(page.read_text().count("```python") for page in PAGES) == len(there)

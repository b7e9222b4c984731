"""COCO captions from annotations to loaders, ours and stock ffcv's: the script of the full check on a few images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ffprep.text.tokens.vocabulary import Vocabulary

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "converting" / "coco.py"
HARD = ["A cat .", "  two\nlines\n", "naïve café 日本 🙂", "<|endoftext|> </s>", "a tab\tand  blanks", "A cat .", "7th"]


@pytest.fixture
def annotations(demo_data: Path, tmp_path: Path) -> Path:
    """Six photographs and four images that are not there; one to seven captions each."""
    names = sorted(path.name for path in (demo_data / "coco" / "val2014").glob("*.jpg"))
    names += [f"COCO_val2014_{i:012}.jpg" for i in range(900, 904)]
    images = [{"id": int(name[-16:-4]), "file_name": name, "width": 500, "height": 400} for name in names]
    captions = [
        {"image_id": image["id"], "caption": HARD[(i + k) % 7] if k else f"{HARD[i % 7]} {i}"}
        for k in range(7)
        for i, image in enumerate(images)
        if k < (1, 5, 6, 7)[i % 4]
    ]
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"images": images, "annotations": captions}), encoding="utf-8")
    return path


def check(demo_data: Path, annotations: Path, tmp_path: Path, *options: str) -> dict[str, Any]:
    where = ["--images", str(demo_data / "coco" / "val2014"), "--annotations", str(annotations)]
    command = [sys.executable, str(SCRIPT), *where, "--out", str(tmp_path / "out"), *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, (run.stdout, run.stderr[-2000:])
    facts: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    assert facts["problems"] == [] and facts["made_up"] == 4
    assert facts["captions_an_image"] == {"1": 3, "5": 3, "6": 2, "7": 2}
    assert facts["with_newline"] > 3 and facts["not_ascii"] > 3
    assert facts["pairs"]["images"] == facts["grouped"]["images"] == 10
    return facts


@pytest.mark.parametrize("jpeg", ["seekable", "keep"])
def test_every_caption_keeps_its_text_and_every_image_is_stored_once(
    demo_data: Path, annotations: Path, tmp_path: Path, vocabulary: Vocabulary, jpeg: str
) -> None:
    facts = check(demo_data, annotations, tmp_path, "--no-stock", "--jpeg", jpeg)
    assert facts["image_bytes_ratio"] == 1


@pytest.mark.ffcv
def test_stock_shows_the_right_image_for_each_pair(
    demo_data: Path, annotations: Path, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    pytest.importorskip("ffcv.libffcv")
    facts = check(demo_data, annotations, tmp_path)
    for order in ("sequential", "random"):
        assert facts[f"stock_{order}"]["pairs"] == facts["captions"] and facts[f"stock_{order}"]["lowest_psnr"] > 40

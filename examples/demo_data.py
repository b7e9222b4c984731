"""Small .beton files from the data that ffprep brings, so that the examples run as they are.

With data of your own, the commands below are what to type once, and their files what to give the examples.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import ffprep
from ffprep.demo.photographs import make_photographs

DEMO = Path(ffprep.__file__).parent / "demo_data"


def ffprep_command(*words: str | Path) -> None:
    """Do what ``ffprep WORDS...`` does in a shell."""
    subprocess.run([sys.executable, "-m", "ffprep", *map(str, words)], check=True)


def images(folder: Path, count: int = 96, seed: int = 0) -> Path:
    """Photographs of six classes: fields ``image`` and ``label``."""
    out = folder / f"images-{count}-{seed}.beton"
    if not out.exists():
        make_photographs(folder / out.stem, count, seed)
        ffprep_command("convert", "imagenet", "--source", folder / out.stem, "--split", "train", "--out", out)
    return out


def pairs(folder: Path) -> Path:
    """Six photographs with five captions each, as COCO has them: ``image``, ``tokens``, ``length``, ``image_id``."""
    out = folder / "pairs.beton"
    if not out.exists():
        annotations = DEMO / "coco" / "annotations" / "captions_val2014.json"
        ffprep_command("convert", "coco", "--images", DEMO / "coco", "--annotations", annotations, "--out", out)
    return out


def blocks(folder: Path, block: int = 32) -> Path:
    """The beginnings of two novels as blocks of tokens: field ``tokens``."""
    out = folder / f"blocks-{block}.beton"
    if not out.exists():
        texts = [path.read_text(encoding="utf-8") for path in sorted((DEMO / "text").glob("*.txt"))]
        table = folder / "novels.jsonl"
        table.write_text("\n".join(json.dumps({"text": text}) for text in texts * 16), encoding="utf-8")
        ffprep_command("convert", "text", "--files", table, "--layout", "blocks", "--block", str(block), "--out", out)
    return out

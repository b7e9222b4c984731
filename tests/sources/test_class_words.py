"""What ImageNet's classes are called in words, from the lists beside it to what people see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ffprep.beton.reader import Reader
from ffprep.cli import main
from ffprep.common.class_words import class_words
from ffprep.text.blocks.blocks import source_facts

CLASSES = {"n01440764": "tench, Tinca tinca", "n01443537": "goldfish, Carassius auratus"}
KAGGLE = "".join(f"{name} {text}\n" for name, text in CLASSES.items())
WORDNET = "".join(f"{name}\t{text}\n" for name, text in [("n00000001", "nothing"), *CLASSES.items()])


def ffprep(*words: object) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def convert(top: Path, images: str, *options: object) -> Path:
    for name in CLASSES:
        place = top / images / "train" / name
        place.mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(place / f"{name}_1.JPEG")
    out = top / "x.beton"
    ffprep("convert", "imagenet", "--source", top / images, "--out", out, "--quiet", *options)
    return out


def words_of(path: Path) -> dict[str, str]:
    with Reader(path) as reader:
        return class_words(source_facts(reader))


@pytest.mark.parametrize(
    ("images", "place", "text"),
    [
        ("in", "in/LOC_synset_mapping.txt", KAGGLE),
        ("kaggle/ILSVRC/Data/CLS-LOC", "kaggle/LOC_synset_mapping.txt", KAGGLE),
        ("in", "in/words.txt", WORDNET),
        ("in", "words.txt", WORDNET),
    ],
)
def test_lists_beside_the_images_are_recorded(tmp_path: Path, images: str, place: str, text: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(text)
    assert words_of(convert(tmp_path, images)) == CLASSES


def test_the_list_of_classes_that_is_given_counts_first(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(WORDNET)
    (tmp_path / "own.txt").write_text(KAGGLE.replace("tench", "Schleie"))
    found = words_of(convert(tmp_path, "in", "--classes", tmp_path / "own.txt"))
    assert found["n01440764"] == "Schleie, Tinca tinca"


def test_any_folder_of_wordnet_ids_has_them(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(WORDNET)
    convert(tmp_path, "in")
    ffprep("convert", "images", "--source", tmp_path / "in/train", "--out", tmp_path / "y.beton", "--quiet")
    assert words_of(tmp_path / "y.beton") == {}  # two folders further up, a words.txt may be anything
    (tmp_path / "in/words.txt").write_text(WORDNET)
    ffprep("convert", "images", "--source", tmp_path / "in/train", "--out", tmp_path / "z.beton", "--quiet")
    assert words_of(tmp_path / "z.beton") == CLASSES


@pytest.mark.parametrize("text", [b"", b"apple\npear\n", b"\xff\xfe\x00", b"cat a small animal\n"])
def test_a_list_of_other_words_is_passed_over(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "words.txt").write_bytes(text)
    assert words_of(convert(tmp_path, "in")) == {}


def test_info_and_preview_show_them(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(WORDNET)
    path = convert(tmp_path, "in")
    assert "class 1          n01443537 (goldfish, Carassius auratus)" in ffprep("info", path)
    ffprep("preview", path, "--out", tmp_path / "x.html")
    assert "0 (n01440764) tench, Tinca tinca" in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize("recorded", [None, 3, ["a"], {"n01440764": 5}])
def test_records_of_another_form_are_no_words(recorded: object) -> None:
    assert class_words({"class_words": recorded}) == {}

"""Configurations that expect numbers, that include others, and those of the study."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from dense_trees import ade20k, picture, voc

from ffprep.cli import main
from ffprep.convert.config import read_config
from ffprep.errors import OptionError

OTHERS = ("visual_genome", "voc", "ade20k")
"""Configurations of data sets that the study does not use."""
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DOCUMENTED = "".join(path.read_text() for path in (CONFIGS.parent / "docs" / "data").glob("*.md"))


def ffprep(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def run(tmp_path: Path, demo_data: Path) -> Any:
    def run(expect: str, *words: str) -> Result:
        text = f"dataset: imagenet\nsource: {demo_data / 'imagenet'}\nout: {tmp_path / 'x.beton'}\nexpect: {expect}\n"
        (tmp_path / "c.yaml").write_text(text)
        return ffprep("convert", tmp_path / "c.yaml", "quiet=true", *words)

    return run


def test_numbers_as_expected(run: Any) -> None:
    for expect in ("{samples: 6, classes: 6, images: 6}", "{samples: [1, 6]}", "{samples: [6, 7]}"):
        done = run(expect)
        assert done.exit_code == 0 and done.output == "1 file with the numbers expected\n", done.output


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ("{samples: 7}", "6 samples where 7 are expected"),
        ("{classes: [7, 1000], images: 5}", "6 classes where 7 to 1,000 are expected"),
        ("{pairs: 3}", "0 pairs where 3 are expected"),
    ],
)
def test_other_numbers_are_an_error_and_the_file_stays(run: Any, tmp_path: Path, expect: str, words: str) -> None:
    done = run(expect)
    (line,) = done.output.splitlines()
    assert done.exit_code == 1 and line.startswith(f"ffprep: {tmp_path / 'x.beton'}: {words}")
    assert (tmp_path / "x.beton").exists()
    assert ("6 images where 5 are expected" in line) == ("images" in expect)


def test_a_part_of_the_samples_is_not_compared(run: Any) -> None:
    done = run("{samples: 6}", "limit=2")
    assert done.exit_code == 0 and "with limit or part, the numbers are not compared" in done.output


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ("5", "expect is a mapping such as {samples: 50000}, not 5"),
        ("{sample: 5}", "cannot expect 'sample'; did you mean samples?"),
        ("{samples: many}", "expect samples: a number or [LEAST, MOST], not 'many'"),
        ("{samples: [5, 4]}", "expect samples: a number or [LEAST, MOST], not [5, 4]"),
        ("{samples: [1, 2, 3]}", "expect samples: a number"),
        ("{a: {samples: true}}", "expect samples: a number"),
    ],
)
def test_bad_expectations_are_told_before_anything_is_done(run: Any, tmp_path: Path, expect: str, words: str) -> None:
    done = run(expect)
    assert done.exit_code == 2 and len(done.output.splitlines()) == 1 and words in done.output
    assert not (tmp_path / "x.beton").exists()


def test_included_files_lie_beside_and_go_no_deeper(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.yaml").write_text("- {dataset: a, out: x}\n- {dataset: b}\n")
    (tmp_path / "all.yaml").write_text("- include: in/a.yaml\n- dataset: c\n")
    found = read_config(tmp_path / "all.yaml", ["out=z"])
    assert [(one["dataset"], one["out"]) for one in found] == [("a", "z"), ("b", "z"), ("c", "z")]
    (tmp_path / "more.yaml").write_text("- include: all.yaml\n")
    (tmp_path / "self.yaml").write_text("- include: self.yaml\n")
    (tmp_path / "odd.yaml").write_text("- {include: all.yaml, out: x}\n")
    for name, words in (
        ("more", "includes a file itself"),
        ("self", "includes a file itself"),
        ("odd", "stands alone"),
    ):
        with pytest.raises(OptionError, match=words):
            read_config(tmp_path / f"{name}.yaml", [])
    (tmp_path / "gone.yaml").write_text("- include: nowhere.yaml\n")
    with pytest.raises(OptionError, match=r"nowhere.yaml: cannot be read"):
        read_config(tmp_path / "gone.yaml", [])


def lay_out(place: Path, demo_data: Path) -> None:
    """The demo data under the names that the study's configurations have."""
    shutil.copytree(demo_data / "imagenet", place / "imagenet")
    shutil.copytree(demo_data / "imagenet" / "train", place / "imagenet" / "val")
    shutil.copytree(demo_data / "text", place / "openwebtext")
    alice = (demo_data / "text" / "alice.txt").read_text()
    for number in range(90):  # which of them are for validation, the hash of each says
        (place / "openwebtext" / f"{number}.txt").write_text(f"{number} {alice}")
    images, listed = [], json.loads((demo_data / "coco" / "annotations" / "captions_val2014.json").read_text())
    for number, image in enumerate(listed["images"]):
        sentences = [{"raw": one["caption"]} for one in listed["annotations"] if one["image_id"] == image["id"]]
        facts = {"filename": image["file_name"], "filepath": "val2014", "cocoid": image["id"], "imgid": number}
        images.append({**facts, "split": ("train", "restval", "val", "test")[number % 4], "sentences": sentences})
    (place / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    for name in ("train2014.zip", "val2014.zip"):
        (place / name).mkdir()  # a folder serves as well as an archive
    for path in sorted((demo_data / "coco" / "val2014").iterdir()):
        shutil.copy(path, place / "val2014.zip" / path.name)
        for shards in ("cc3m-shards", "sbu-shards"):
            (place / shards).mkdir(exist_ok=True)
            (place / "caption.txt").write_text(f"what {path.stem} shows")
            with tarfile.open(place / shards / "0.tar", "a") as tar:
                tar.add(path, f"{path.stem[-6:]}.jpg")
                tar.add(place / "caption.txt", f"{path.stem[-6:]}.txt")


def test_the_study_in_small(tmp_path: Path, demo_data: Path, vocabulary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its conversions run, and every number that is not the published one is told."""
    lay_out(tmp_path, demo_data)
    monkeypatch.chdir(tmp_path)
    study = CONFIGS / "study.yaml"
    conversions = read_config(study, [])
    assert {one["dataset"] for one in conversions} == {"imagenet", "coco", "cc3m", "sbu", "openwebtext", "glue"}
    (tmp_path / "mine.yaml").write_text(
        "".join(
            f"- include: {path}\n"
            for path in sorted(CONFIGS.glob("*.yaml"))
            if path.stem not in ("study", "glue", "text", *OTHERS)
        )
    )
    done = ffprep("convert", tmp_path / "mine.yaml", "quiet=true", "block=16")
    assert done.exit_code == 2 and "unknown option 'block'" in done.output  # which only some of them have
    done = ffprep("convert", tmp_path / "mine.yaml", "quiet=true")
    assert done.exit_code == 1, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("ffprep:")]
    for words in (
        "imagenet_train.beton: 6 samples where 1,281,167 are expected",
        "imagenet_val.beton: 6 samples where 50,000 are expected",
        "coco.beton: 4 images where 113,287 are expected",
        "coco_val.beton: 1 images where 5,000 are expected",
        "cc3m.beton: 6 images where 1,659,167 to 3,318,333 are expected",
        "sbu.beton: 6 images where 500,000 to 1,000,000 are expected",
    ):
        assert words in line
    assert "openwebtext_train.beton" in line and (tmp_path / "openwebtext_val.beton").exists()
    done = ffprep("convert", CONFIGS / "glue.yaml", f"source={demo_data / 'glue'}", "quiet=true")
    assert done.exit_code == 1 and "rows where 8,551 are expected" in done.output


def test_the_other_configurations_in_small(tmp_path: Path, vocabulary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    voc(tmp_path)
    ade, _ = ade20k(tmp_path)
    for folder in ("images", "annotations"):
        shutil.copytree(ade / folder / "training", ade / folder / "validation")
    for number, name in enumerate(("images.zip", "images2.zip")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(f"VG_100K/{number}.jpg", picture((40, 30)))
    regions = [{"id": number, "regions": [{"phrase": "a wall"}, {"phrase": "a door"}]} for number in range(2)]
    with zipfile.ZipFile(tmp_path / "region_descriptions.json.zip", "w") as archive:
        archive.writestr("region_descriptions.json", json.dumps(regions))
    monkeypatch.chdir(tmp_path)
    said = ""
    for name in OTHERS:
        done = ffprep("convert", CONFIGS / f"{name}.yaml", "quiet=true")
        assert done.exit_code == 1, done.output
        said += done.output
    for words in (
        "vg.beton: 2 images where 107,000 to 108,077 are expected",
        "voc_train.beton: 3 images where 5,717 are expected",
        "voc_masks_val.beton: 1 images where 1,449 are expected",
        "ade_train.beton: 3 images where 20,210 are expected",
        "ade_val.beton: 3 images where 2,000 are expected",
    ):
        assert words in said, said


def numbers(expect: Any) -> list[int]:
    if isinstance(expect, dict):
        return [one for value in expect.values() for one in numbers(value)]
    return [expect] if isinstance(expect, int) else []


def test_the_manual_has_the_numbers_that_the_configurations_expect() -> None:
    for conversion in [one for name in ("study", *OTHERS) for one in read_config(CONFIGS / f"{name}.yaml", [])]:
        missing = [number for number in numbers(conversion["expect"]) if f"{number:,}" not in DOCUMENTED]
        assert missing == [], conversion["out"]

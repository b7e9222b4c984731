"""The same pictures in five layouts give the same samples, and what is wrong with a layout is said."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ffprep.beton.reader import Reader
from ffprep.cli import main

CLASSES = ["bird", "cat", "dog"]


def ffprep(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


class Pictures:
    """Small pictures of three classes, JPEG and PNG, with captions, in ImageFolder's order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        random = np.random.default_rng(5)
        self.rows: list[tuple[str, int, str, bytes]] = []
        for label, name in enumerate(CLASSES):
            for number in range(4):
                kind = "png" if number == 3 else "jpg"
                image = Image.fromarray(random.integers(0, 255, (10 + label, 12 + number, 3), np.uint8))
                file = io.BytesIO()
                image.save(file, "PNG" if kind == "png" else "JPEG")
                self.rows.append((f"{name}/{number}.{kind}", label, f"a {name}, number {number}", file.getvalue()))

    def folder(self) -> Path:
        for path, _, _, data in self.rows:
            target = self.root / "folder" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return self.root / "folder"

    def table(self) -> Path:
        path = self.folder().parent / "list.csv"
        with path.open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["path", "label", "caption", "size"])
            lines.writerows(
                [f"folder/{name}", CLASSES[label], caption, len(data)] for name, label, caption, data in self.rows
            )
        return path

    def json_lines(self) -> Path:
        path = self.root / "rows.jsonl"
        rows = [{"file": n, "about": {"label": CLASSES[i], "caption": c}} for n, i, c, _ in self.rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def shards(self) -> Path:
        folder = self.root / "shards"
        folder.mkdir()
        for shard in range(2):
            with tarfile.open(folder / f"{shard:05}.tar", "w") as tar:
                for number, (name, label, caption, data) in enumerate(self.rows[shard * 6 : shard * 6 + 6]):
                    facts = json.dumps({"caption": caption, "bytes": len(data)}).encode()
                    parts = {name.rpartition(".")[2]: data, "cls": str(label).encode(), "json": facts}
                    for ending, content in parts.items():
                        info = tarfile.TarInfo(f"{shard}{number:03}.{ending}")
                        info.size = len(content)
                        tar.addfile(info, io.BytesIO(content))
        return folder

    def dataset(self) -> Any:
        datasets = pytest.importorskip("datasets")
        features = datasets.Features(
            {
                "about": {"caption": datasets.Value("string")},
                "picture": datasets.Image(decode=False),
                "kind": datasets.ClassLabel(names=CLASSES),
            }
        )
        rows = [
            {"about": {"caption": c}, "picture": {"bytes": d, "path": n}, "kind": label} for n, label, c, d in self.rows
        ]
        return datasets.Dataset.from_list(rows, features=features)

    def saved(self) -> Path:
        self.dataset().save_to_disk(str(self.root / "saved"))
        return self.root / "saved"

    def parquet(self) -> Path:
        self.dataset().to_parquet(str(self.root / "rows.parquet"))
        return self.root / "rows.parquet"


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path)


NAMES = [word for name in CLASSES for word in ("--labels", name)]
LAYOUTS: dict[str, tuple[Callable[[Pictures], Path], list[str]]] = {
    "folder": (Pictures.folder, []),
    "table of paths": (Pictures.table, ["--caption", "caption"]),
    "JSON lines": (Pictures.json_lines, ["--images", "folder", "--label", "about.label", "--caption", "about.caption"]),
    "webdataset": (Pictures.shards, ["--caption", "json.caption", *NAMES]),
    "saved data set": (Pictures.saved, ["--caption", "about.caption"]),
    "parquet": (Pictures.parquet, ["--field", "caption=text:about.caption"]),
}


def samples_of(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    with Reader(path) as reader:
        names = list(reader.fields)
        rows = [{name: reader.value(name, i) for name in names} for i in range(reader.num_samples)]
        assert reader.manifest is not None
        return rows, reader.manifest["source"].get("classes")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_same_samples(pictures: Pictures, layout: str, tmp_path: Path) -> None:
    make, options = LAYOUTS[layout]
    source = make(pictures)
    folder = pictures.folder()
    options = [str(folder) if word == "folder" else word for word in options]
    done = ffprep("convert", "images", "--source", source, "--out", tmp_path / "a.beton", *options)
    assert done.exit_code == 0, done.output
    assert "9  image rewritten: sequential JPEG" in done.output and "3  image raw: PNG, without loss" in done.output
    rows, classes = samples_of(tmp_path / "a.beton")
    assert classes == CLASSES
    assert [row["label"] for row in rows] == [label for _, label, _, _ in pictures.rows]
    if layout != "folder":
        assert [row["caption"].decode() for row in rows] == [caption for _, _, caption, _ in pictures.rows]
    for row, (name, _, _, data) in zip(rows, pictures.rows, strict=True):
        stored = row["image"] if name.endswith("png") else np.asarray(Image.open(io.BytesIO(row["image"])))
        np.testing.assert_array_equal(stored, np.asarray(Image.open(io.BytesIO(data))))


def test_a_finished_and_an_interrupted_conversion_go_on(pictures: Pictures, tmp_path: Path) -> None:
    command = ["convert", "images", "--source", pictures.folder(), "--out", tmp_path / "a.beton"]
    bad = pictures.root / "folder" / "dog" / "1.jpg"
    good = bad.read_bytes()
    bad.write_bytes(good[:100])
    stopped = ffprep(*command)
    assert stopped.exit_code == 1 and "dog/1.jpg (sample 9)" in stopped.output
    bad.write_bytes(good)
    assert ffprep(*command).exit_code == 0
    assert "the file is there already" in ffprep(*command).output
    whole = (tmp_path / "a.beton").read_bytes()
    for part in range(3):
        assert ffprep(*command[:-1], tmp_path / "p.beton", "--part", f"{part}/3", "--workers", 2).exit_code == 0
    parts = sorted(tmp_path.glob("p-0*.beton"))
    assert ffprep("merge", *parts, "--out", tmp_path / "p.beton").exit_code == 0
    with Reader(tmp_path / "p.beton") as merged, Reader(tmp_path / "a.beton") as one:
        assert [merged.value("label", i) for i in range(12)] == [one.value("label", i) for i in range(12)]
    assert whole == (tmp_path / "a.beton").read_bytes()


def test_the_share_for_validation(pictures: Pictures, tmp_path: Path) -> None:
    command = ["convert", "images", "--source", pictures.table(), "--val-share", 0.25, "--report", tmp_path / "r.json"]
    assert ffprep(*command, "--out", tmp_path / "a.beton").exit_code == 0
    train, _ = samples_of(tmp_path / "a.beton")
    val, classes = samples_of(tmp_path / "a-val.beton")
    assert classes == CLASSES and (len(train), len(val)) == (9, 3)
    assert [row["label"] for row in val] == [0, 1, 2]
    reports = [json.loads((tmp_path / name).read_text()) for name in ("r.json", "r-val.json")]
    assert [report["samples"] for report in reports] == [9, 3]
    with Reader(tmp_path / "a.beton") as reader, Reader(tmp_path / "a-val.beton") as other:
        assert not set(reader.sample_names() or []) & set(other.sample_names() or [])
    # the same samples from another layout, and others with another seed
    again = ["convert", "images", "--source", pictures.root / "folder", "--val-share", 0.25, "--quiet"]
    assert ffprep(*again, "--out", tmp_path / "b.beton").exit_code == 0
    for row, same in zip(samples_of(tmp_path / "b-val.beton")[0], val, strict=True):
        np.testing.assert_array_equal(row["image"], same["image"])
    assert ffprep(*again, "--out", tmp_path / "c.beton", "--val-seed", 1).exit_code == 0
    others = samples_of(tmp_path / "c-val.beton")[0]
    assert [row["label"] for row in others] == [0, 1, 2]
    assert any(not np.array_equal(row["image"], same["image"]) for row, same in zip(others, val, strict=True))
    refused = ffprep(*again, "--out", tmp_path / "c.beton", "--val-out", tmp_path / "c.beton")
    assert refused.exit_code == 2 and "is to be written twice" in refused.output
    refused = ffprep(
        "convert", "images", "--source", pictures.folder(), "--out", tmp_path / "d.beton", "--val-share", 0.01
    )
    assert refused.exit_code == 2 and "leaves nothing" in refused.output


def test_a_configuration_names_the_fields(pictures: Pictures, tmp_path: Path) -> None:
    config = tmp_path / "images.yaml"
    config.write_text(
        f"dataset: images\nsource: {pictures.table()}\nlabel: none\n"
        "field: [caption=text, bytes=int:size, kind=label:label]\nfilter: [\"label in ('cat', 'dog')\"]\n"
    )
    done = ffprep("convert", config, f"out={tmp_path / 'a.beton'}")
    assert done.exit_code == 0, done.output
    rows, classes = samples_of(tmp_path / "a.beton")
    assert list(rows[0]) == ["image", "caption", "bytes", "kind"] and len(rows) == 8
    assert [row["bytes"] for row in rows] == [len(data) for _, _, _, data in pictures.rows[4:]]
    assert classes == ["cat", "dog"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--label", "labels"], "no column 'labels'; there are path, label, caption, size"),
        (["--image", "file"], "no column 'file'; there are path, label"),
        (["--filter", "width > 3"], "no column 'width'; there are path"),
        (["--filter", "caption > 3"], "line 2: --filter 'caption > 3': 'a bird, number 0' is no number"),
        (["--filter", "size = 0"], "not a single image is left"),
        (["--filter", "__import__('os')"], "is no comparison"),
        (["--filter", "label.__class__ == 1"], "no column 'label.__class__'"),
        (["--filter", "len(label) == 3"], "neither a column nor a plain value"),
        (["--labels", "cat", "--labels", "dog"], "label is unknown: 'bird', not one of cat, dog"),
        (["--field", "x=tensor"], "there is no kind 'tensor'; there are image, label"),
        (["--field", "caption"], "NAME=KIND or NAME=KIND:COLUMN is expected"),
        (["--field", "n=int:caption"], "0.jpg (sample 0): column 'caption' holds 'a bird, number 0'"),
        (["--images", "elsewhere"], "--images names its folder"),
    ],
)
def test_what_is_wrong_is_said(pictures: Pictures, options: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    options = [str(tmp_path / word) if word == "elsewhere" else word for word in options]
    done = ffprep("convert", "images", "--source", pictures.table(), "--out", tmp_path / "a.beton", *options)
    assert done.exit_code in (1, 2) and said in " ".join(done.output.split()), done.output


def test_paths_that_leave_the_folder(pictures: Pictures, tmp_path: Path) -> None:
    pictures.folder()
    table = tmp_path / "folder" / "list.csv"
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(pictures.rows[0][3])
    for path in ("../secret.jpg", str(secret), "cat/../../secret.jpg"):
        table.write_text(f"path\n{path}\n")
        done = ffprep("convert", "images", "--source", table, "--out", tmp_path / "a.beton")
        assert done.exit_code == 1 and "list.csv, line 2" in done.output and "is not in the folder" in done.output


def test_bad_rows_are_left_out_where_asked(pictures: Pictures, tmp_path: Path) -> None:
    table = pictures.table()
    table.write_text(table.read_text() + "folder/none.jpg,cat,x,1\nonly,three,values\nfolder/dog/0.jpg,NA,y,2\n")
    command = ["convert", "images", "--source", table, "--out", tmp_path / "a.beton"]
    assert "list.csv, line 15: 3 values for 4 columns; --on-error skip" in ffprep(*command).output
    done = ffprep(*command, "--on-error", "skip")
    assert done.exit_code == 0 and "2 left out" in done.output and "none.jpg" in done.output
    assert len(samples_of(tmp_path / "a.beton")[0]) == 12


def test_masks_and_boxes_of_tables(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture, mask, deep = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.new("RGB", (40, 20), (9, 8, 7)).save(picture, "PNG")
    labels = np.arange(800, dtype=np.uint8).reshape(20, 40) % 7
    Image.fromarray(labels).save(mask, "PNG")
    Image.fromarray(labels.astype(np.uint16) * 9000).save(deep, "PNG")
    rows = {
        "image": [picture.getvalue()],
        "mask": [mask.getvalue()],
        "depth": [deep.getvalue()],
        "objects": [[{"bbox": [1.0, 2.0, 3.5, 4.0], "category": 2}, {"bbox": [0.0, 0.0, 1.0, 1.0], "category": 0}]],
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    command = ["convert", "images", "--source", tmp_path / "rows.parquet", "--out", tmp_path / "a.beton"]
    fields = [
        "--field=mask=mask", "--field=depth=mask-uint16", "--field=boxes=boxes:objects.bbox",
        "--field=kinds=ints:objects.category",
    ]  # fmt: skip
    done = ffprep(*command, *fields)
    assert done.exit_code == 0, done.output
    ((row,), _) = samples_of(tmp_path / "a.beton")
    np.testing.assert_array_equal(row["mask"], labels)
    np.testing.assert_array_equal(row["depth"], labels.astype(np.uint16) * 9000)
    assert row["boxes"].tolist() == [[1, 2, 3.5, 4], [0, 0, 1, 1]] and row["kinds"].tolist() == [2, 0]
    assert "would not fit images" in ffprep(*command, *fields, "--max-side", 20, "--overwrite").output
    assert ffprep(*command, *fields[:2], "--max-side", 20, "--overwrite").exit_code == 0
    ((row,), _) = samples_of(tmp_path / "a.beton")
    assert row["mask"].shape == row["image"].shape[:2] == (10, 20)
    assert "16 bits does not fit" in ffprep(*command, "--image", "depth", "--overwrite").output

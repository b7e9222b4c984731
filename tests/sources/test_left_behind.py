"""What systems leave among the data is left out of every source with a note, and taken with ``--all-files``."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image
from tar_files import write_tar

from ffprep.cli import main
from ffprep.common.names import Clutter
from ffprep.convert.corpus import convert_corpus
from ffprep.download.url_index import read_index
from ffprep.errors import SourceError
from ffprep.fields import RGBImageField
from ffprep.sources.caption_shards import open_caption_shards
from ffprep.sources.coco import open_coco
from ffprep.sources.glue import TASKS, open_glue
from ffprep.sources.openwebtext import open_corpus
from ffprep.sources.reading.annotations import is_annotation_name
from ffprep.sources.reading.hub import parquet_files
from ffprep.sources.text import TableChoice, open_rows
from ffprep.sources.visual_genome import open_visual_genome
from ffprep.text.blocks.exchange import import_parts
from ffprep.text.tokens.vocabulary import Vocabulary


def jpeg(level: int = 100) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def options(vocabulary: Vocabulary) -> dict[str, Any]:
    return {"image": RGBImageField(), "vocabulary": vocabulary}


def notes_of(source: Any) -> str:
    return "; ".join(source.notes)


def test_shards(tmp_path: Path, options: dict[str, Any]) -> None:
    members = {
        "0.jpg": jpeg(), "0.txt": b"a", "._0.jpg": b"Mac OS X", "__MACOSX/._0.jpg": b"Mac OS X",
        ".ipynb_checkpoints/1.jpg": jpeg(), ".ipynb_checkpoints/1.txt": b"b",
        ".hidden/2.jpg": jpeg(), ".hidden/2.txt": b"c",
    }  # fmt: skip
    write_tar(tmp_path / "0.tar", members)
    write_tar(tmp_path / "._0.tar", {})
    source = open_caption_shards("cc3m", [tmp_path], **options)
    assert len(source) == 1 and notes_of(source).startswith("left out 7 ") and "--all-files" in notes_of(source)
    taken = open_caption_shards("cc3m", [tmp_path], all_files=True, **options)
    assert len(taken) == 3 and notes_of(taken) == ""


def coco(folder: Path, names: list[str]) -> tuple[list[Path], Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg())
    images = [{"id": number, "file_name": name.rsplit("/", 1)[-1]} for number, name in enumerate(names)]
    captions = [{"image_id": number, "caption": "x"} for number in range(len(names))]
    path = folder.parent / "captions.json"
    path.write_text(json.dumps({"images": images, "annotations": captions}))
    return [folder], path


def test_coco_folders(tmp_path: Path, options: dict[str, Any]) -> None:
    images, annotations = coco(tmp_path / "im", ["a.jpg", ".ipynb_checkpoints/b.jpg"])
    source = open_coco(images, annotations, **options)
    assert source.manifest()["images"] == 1 and notes_of(source).startswith("left out 1 ")
    taken = open_coco(images, annotations, all_files=True, **options)
    assert taken.manifest()["images"] == 2 and notes_of(taken) == ""


def test_visual_genome(tmp_path: Path, options: dict[str, Any]) -> None:
    with zipfile.ZipFile(tmp_path / "im.zip", "w") as zipped:
        for name in ("VG/1.jpg", "__MACOSX/VG/._1.jpg", "VG/.ipynb_checkpoints/2.jpg"):
            zipped.writestr(name, jpeg())
    regions = [{"id": number, "regions": [{"phrase": "x"}]} for number in (1, 2)]
    (tmp_path / "regions.json").write_text(json.dumps(regions))
    arguments: Any = ([tmp_path / "im.zip"], tmp_path / "regions.json")
    source = open_visual_genome(*arguments, **options)
    assert source.manifest()["images"] == 1 and notes_of(source).startswith("left out 2 ")
    assert open_visual_genome(*arguments, all_files=True, **options).manifest()["images"] == 2


def test_texts(tmp_path: Path) -> None:
    for name in ("a.txt", "._a.txt", ".ipynb_checkpoints/a.txt", ".hidden.txt", "sub/b.txt", "__MACOSX/._b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    def names(corpus: Any) -> set[str]:
        return {document.name for unit in corpus.units for document in unit.documents()}

    corpus = open_corpus(str(tmp_path))
    assert names(corpus) == {"a.txt", "sub/b.txt"}
    assert any(note.startswith("left out 4 ") for note in corpus.notes)
    taken = open_corpus(str(tmp_path), all_files=True)
    assert len(names(taken)) == 6 and not any("left out" in note for note in taken.notes)


@pytest.mark.parametrize("nested", [False, True])
def test_texts_in_archives_are_counted(tmp_path: Path, nested: bool, vocabulary: Vocabulary) -> None:
    tar = write_tar(tmp_path / "t.tar", {"a.txt": b"x " * 40, "__MACOSX/._a.txt": b"y " * 40, "__MACOSX/._a.png": b"z"})
    if nested:
        tar = write_tar(tmp_path / "outer.tar", {"t.tar": tar.read_bytes(), "__MACOSX/._t.tar": b"Mac OS X"})
    corpus = open_corpus(str(tar))
    report = convert_corpus(corpus, tmp_path / "x.beton", vocabulary, block=8)
    assert report.statistics.documents == 1 and report.statistics.clutter == 1
    assert "1  that systems leave among the data (" in report.table() and "--all-files" in report.table()
    assert any(note.startswith("left out 1 ") for note in corpus.notes) is nested
    if not nested:
        taken = convert_corpus(open_corpus(str(tar), all_files=True), tmp_path / "y.beton", vocabulary, block=8)
        assert taken.statistics.documents == 2 and "clutter" not in taken.statistics.as_dict()


def test_texts_beside_archives_in_an_archive(tmp_path: Path, vocabulary: Vocabulary) -> None:
    inner = write_tar(tmp_path / "t.tar", {"a.txt": b"x " * 40}).read_bytes()
    loose = {"t.tar": inner, "b.txt": b"y " * 40, "__MACOSX/._t.tar": b"Mac OS X", "README.txt": b"read as any other"}
    corpus = open_corpus(str(write_tar(tmp_path / "outer.tar", loose)))
    report = convert_corpus(corpus, tmp_path / "x.beton", vocabulary, block=8)
    assert len(corpus.units) == 2
    assert (report.statistics.documents, report.statistics.clutter) == (3, 1)
    without = write_tar(tmp_path / "archives.tar", {name: data for name, data in loose.items() if name != "b.txt"})
    assert len(open_corpus(str(without)).units) == 1


def test_tables_of_texts(tmp_path: Path, vocabulary: Vocabulary) -> None:
    for name in ("a.jsonl", "._a.jsonl", "lost+found/b.jsonl", ".cache/c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"text": "one"}\n')
    for pattern, left_out in ((str(tmp_path), 1), (f"{tmp_path}/**/*.jsonl", 1), (f"{tmp_path}/.cache/*.jsonl", 0)):
        rows = open_rows(TableChoice((pattern,), "text"), vocabulary, 8)
        assert len(rows) == 1 and notes_of(rows).startswith("left out 1 ") is bool(left_out)
        taken = open_rows(TableChoice((pattern,), "text", all_files=True), vocabulary, 8)
        assert len(taken) == 1 + left_out and not taken.notes and taken.manifest()["all_files"] is True
    with pytest.raises(SourceError, match=r"no such files; check the name; left out 1 that systems leave"):
        open_rows(TableChoice((f"{tmp_path}/._*",), "text"), vocabulary, 8)


def test_the_file_of_a_split(tmp_path: Path, vocabulary: Vocabulary) -> None:
    for name in ("my-train.tsv", "._my-train.tsv"):
        (tmp_path / name).write_text("sentence\tlabel\nfine\t1\n")
    rows = open_glue(str(tmp_path), TASKS["sst2"], "train", vocabulary, 8)
    assert len(rows) == 1 and notes_of(rows).startswith("left out 1 ")
    with pytest.raises(SourceError, match="may be the split"):
        open_glue(str(tmp_path), TASKS["sst2"], "train", vocabulary, 8, all_files=True)


def parquet(folder: Path) -> None:
    for name in ("train-0.parquet", ".ipynb_checkpoints/train-0.parquet", "._train-0.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"url": ["http://x/y.jpg"], "caption": ["c"]}), folder / name)


def test_tables(tmp_path: Path) -> None:
    parquet(tmp_path)
    for files in (
        lambda clutter: len(parquet_files(tmp_path, "train", clutter)),
        lambda clutter: sum(1 for _ in read_index(tmp_path, clutter)),
    ):
        counted: Callable[[Clutter], int] = files
        clutter = Clutter()
        assert counted(clutter) == 1 and clutter.notes()[0].startswith("left out 2 ")
        clutter = Clutter(taken=True)
        assert counted(clutter) == 3 and not clutter.notes()


def test_the_command_says_it(tmp_path: Path) -> None:
    images, annotations = coco(tmp_path / "im", ["a.jpg", ".ipynb_checkpoints/b.jpg"])
    arguments = ["convert", "coco", "--images", str(images[0]), "--annotations", str(annotations), "--out"]
    done = CliRunner().invoke(main, [*arguments, str(tmp_path / "x.beton")])
    assert done.exit_code == 0 and "left out 1 that systems leave among the data" in done.output
    done = CliRunner().invoke(main, [*arguments, str(tmp_path / "y.beton"), "--all-files"])
    assert done.exit_code == 0 and "left out" not in done.output and "2 images" in done.output


@pytest.mark.parametrize(
    ("name", "may"), [("a/captions.json", True), ("__MACOSX/a/captions.json", False), ("a/._captions.json", False),
                      (".ipynb_checkpoints/a.json", False), ("a/readme.txt", False)]
)  # fmt: skip
def test_annotations_in_archives(name: str, may: bool) -> None:
    assert is_annotation_name(name) is may


def test_a_pipe_as_the_source(tmp_path: Path, vocabulary: Vocabulary) -> None:
    pipe = tmp_path / "train.tsv"
    os.mkfifo(pipe)
    for open_it in (
        lambda: open_corpus(str(pipe)),
        lambda: open_rows(TableChoice((str(pipe),), "text"), vocabulary, 8),
        lambda: open_glue(str(pipe), TASKS["sst2"], "train", vocabulary, 8),
        lambda: open_glue(str(tmp_path), TASKS["sst2"], "train", vocabulary, 8),
        lambda: import_parts(pipe, vocabulary, tmp_path, 0),
    ):
        opened: Callable[[], Any] = open_it
        with pytest.raises(SourceError, match=r"train\.tsv: is a named pipe"):
            opened()


@pytest.mark.parametrize("named", [False, True])
def test_a_pipe_among_shards_is_left_out_if_that_is_asked_for(
    tmp_path: Path, options: dict[str, Any], named: bool
) -> None:
    write_tar(tmp_path / "0.tar", {"0.jpg": jpeg(), "0.txt": b"a"})
    os.mkfifo(tmp_path / "1.tar")
    places = [tmp_path / "0.tar", tmp_path / "1.tar"] if named else [tmp_path]
    with pytest.raises(SourceError, match=r"1\.tar.*is a named pipe.*--on-error skip"):
        open_caption_shards("cc3m", places, **options)
    source = open_caption_shards("cc3m", places, skip=True, **options)
    assert len(source) == 1 and "named pipe" in source.left_out.summary()

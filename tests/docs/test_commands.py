"""Every console block of the README and the manual runs as it stands, but for those that say why not.

Each page has a folder of its own with small data under the names that the pages use; ``/data`` stands for ``data`` in
it. The command line's page is made from the commands' examples, whose options are looked at instead.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from ffprep.cli import main
from ffprep.commands._shared.help import Command

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]+) -->\n+)?^ *```(?P<kind>[a-z]*)\n(?P<code>.*?)^ *```$", re.M | re.S
)


def blocks(page: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line, reason not to run, language and code of a page's blocks."""
    text = page.read_text()
    for found in BLOCK.finditer(text):
        yield text[: found.start("code")].count("\n") + 1, found["why"] or "", found["kind"], found["code"]


def run(*words: object) -> None:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, f"{shlex.join(map(str, words))}\n{done.output}"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, demo_data: Path, vocabulary: Any) -> Path:
    """What the pages take for granted."""
    place = tmp_path_factory.mktemp("data")
    photographs = sorted((demo_data / "imagenet" / "train").rglob("*.JPEG"))
    small = place / "small"
    small.mkdir()
    for number, path in enumerate(photographs):
        with Image.open(path) as image:
            image.resize((48, 40)).save(small / f"{number}.jpg")
    pictures = sorted(small.iterdir())
    for part in ("data/ILSVRC2012/train", "data/ILSVRC2012/val", "photos"):
        for number in range(18):
            target = place / part / f"n0000000{number % 3}" / f"{number}.JPEG"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(pictures[number % 6], target)
    shutil.copytree(demo_data / "text", place / "data" / "openwebtext")
    book = (demo_data / "text" / "alice.txt").read_text()
    for number in range(60):
        (place / "data" / "openwebtext" / f"{number}.txt").write_text(f"{number} {book * 4}")
    shutil.copytree(place / "data" / "openwebtext", place / "openwebtext")
    shutil.copytree(demo_data / "glue", place / "data" / "glue")
    for path in (place / "data" / "glue").rglob("train.tsv"):
        shutil.copy(path, path.with_name("dev.tsv"))
    lay_out_captions(place, pictures)
    (place / "shards").mkdir()
    (place / "data" / "photos").mkdir()
    rows = ["path,species,width,rating\n"]
    with tarfile.open(place / "shards" / "0.tar", "w") as tar:
        for number, path in enumerate(pictures):
            shutil.copy(path, place / "data" / "photos" / path.name)
            rows.append(f"{path.name},{'cat' if number % 2 else 'dog'},48,{number / 2}\n")
            (place / "one.json").write_text(json.dumps({"class": number % 2, "caption": "a picture"}))
            tar.add(path, f"{number}.jpg")
            tar.add(place / "one.json", f"{number}.json")
    (place / "list.csv").write_text("".join(rows))
    (place / "texts").mkdir()
    pairs = [json.dumps({"premise": "a", "hypothesis": "b", "label": n % 2}) + "\n" for n in range(4)]
    (place / "texts" / "pairs.jsonl").write_text("".join(pairs))
    (place / "pairs.yaml").write_text(
        "files: texts/*.jsonl\ntext: premise\ntext-pair: hypothesis\nlabel: label\nout: pairs.beton\n"
    )
    (place / "data-bin").mkdir()
    make_files(place)
    return place


def lay_out_captions(place: Path, pictures: list[Path]) -> None:
    karpathy, official = [], {"images": [], "annotations": []}  # type: ignore[var-annotated]
    for name in ("train2014.zip", "val2014.zip"):
        with zipfile.ZipFile(place / name, "w") as archive:
            for number, path in enumerate(pictures):
                if (number % 2 == 0) == name.startswith("train"):
                    archive.write(path, f"{name[:-4]}/{number}.jpg")
    (place / "train2017").mkdir()
    for shards in ("cc3m-shards", "sbu-shards"):
        (place / shards).mkdir()
    for number, path in enumerate(pictures):
        shutil.copy(path, place / "train2017" / path.name)
        text = f"picture number {number}"
        facts = {"filename": path.name, "filepath": "train2014" if number % 2 == 0 else "val2014", "cocoid": number}
        split = ("train", "restval", "train", "val", "train", "test")[number]
        karpathy.append({**facts, "imgid": number, "split": split, "sentences": [{"raw": text}]})
        official["images"].append({"id": number, "file_name": path.name})
        official["annotations"].append({"id": number, "image_id": number, "caption": text})
        (place / "caption.txt").write_text(text)
        for shards in ("cc3m-shards", "sbu-shards"):
            with tarfile.open(place / shards / "0.tar", "a") as tar:
                tar.add(path, f"{number:06}.jpg")
                tar.add(place / "caption.txt", f"{number:06}.txt")
    (place / "dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": karpathy}))
    (place / "captions_train2017.json").write_text(json.dumps(official))


def make_files(place: Path) -> None:
    """Files that some pages have others make."""
    made = place / "made"
    made.mkdir()
    run("convert", "imagenet", "--source", place / "data" / "ILSVRC2012", "--out", made / "train.beton", "--quiet")
    shutil.copy(made / "train.beton", made / "val.beton")
    shutil.copy(made / "train.beton", made / "more.beton")
    run("split", made / "train.beton", "--files", 2, "--out", made / "train.set.json")
    coco = ["--images", place / "train2017", "--annotations", place / "captions_train2017.json"]
    run("convert", "coco", *coco, "--out", made / "coco2017.beton", "--quiet")
    run("convert", "cc3m", "--shards", place / "cc3m-shards", "--out", made / "cc3m.beton", "--quiet")
    run("convert", "openwebtext", "--source", place / "openwebtext", "--out", made / "text.beton", "--quiet")
    run("convert", "glue", "--source", place / "data" / "glue", "--task", "all", "--out", made / "glue", "--quiet")


NEEDED = {
    "sets.md": ["train-00000-of-00002.beton", "train-00001-of-00002.beton", "more.beton"],
    "reliability.md": ["train.beton", "coco2017.beton", "cc3m.beton", "text.beton", "glue"],
    "datasets.md": ["train.beton"],
    "looking.md": ["train.beton"],
    "repeating.md": ["train.beton", "val.beton"],
    "image_text.md": [],
}
"""Files of others that a page's commands read."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "commands.md"], ids=lambda page: page.stem)
def test_commands_run(page: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [
        (line, command)
        for line, why, kind, code in blocks(page)
        if kind == "console" and not why
        for command in code.splitlines()
    ]
    if not commands:
        return
    shutil.copytree(data, tmp_path / "place", ignore=shutil.ignore_patterns("made"))
    monkeypatch.chdir(tmp_path / "place")
    for name in NEEDED.get(page.name, ()):
        source = data / "made" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, name)
    for line, command in commands:
        assert command.startswith("$ ffprep "), f"{page.name}, block in line {line}: {command!r} is no command of ours"
        words = shlex.split(command.removeprefix("$ ffprep "), comments=True)
        words = [word.replace("/data/", "data/") for word in words]
        if words == ["demo"]:
            words = [*words, "--quick"] if "--quick" in options("demo") else [*words, "--help"]
        expanded = [
            found for word in words for found in (sorted(map(str, Path().glob(word))) if "-*" in word else [word])
        ]
        done = CliRunner().invoke(main, expanded)
        assert done.exit_code == 0, f"{page.name}, block in line {line}: {command}\n{done.output}"


def options(*path: str) -> set[str]:
    command: Any = main
    for name in path:
        command = command.get_command(click.Context(command), name)
        assert command is not None, path
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def test_every_block_says_what_it_is() -> None:
    """Commands that users are to type are console blocks, so that they run here."""
    for page in PAGES:
        for line, _, kind, code in blocks(page):
            typed = re.match(r"(\$ )?(ffprep|pip|python|make|git) ", code)
            assert typed is None or kind == "console", f"{page.name}, line {line}"


def test_examples_of_the_commands_have_only_options_that_are_there() -> None:
    """The examples in the helps, which the command line's page repeats."""

    def examples(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            if isinstance(command, click.Group):
                yield from examples(command, (*path, name))
            elif isinstance(command, Command):
                for _, example in command.examples:
                    yield (*path, name), example

    found = 0
    for path, example in examples(main, ()):  # type: ignore[arg-type]
        for part in re.split(r" && | \| ", example):
            words = shlex.split(part, comments=True)
            if words[:1] == ["ffprep"] and words[1 : 1 + len(path)] == list(path):
                given = {word.partition("=")[0] for word in words if word.startswith("--")}
                assert given <= options(*path) | {"--help"}, example
                found += 1
    assert found > 40

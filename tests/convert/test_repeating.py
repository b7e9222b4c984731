"""The configuration in a file's manifest, and the same conversion again from it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ffprep.beton import Writer
from ffprep.beton.reader import Reader
from ffprep.cli import main
from ffprep.commands.convert import command as group
from ffprep.fields import IntField


def ffprep(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def converted(*words: object) -> None:
    done = ffprep("convert", *words, "--quiet")
    assert done.exit_code == 0, done.output


def recorded(path: Path) -> dict[str, Any]:
    with Reader(path) as reader:
        manifest = reader.manifest
    assert manifest is not None
    return dict(manifest["configuration"])


@pytest.fixture
def places(demo_data: Path, vocabulary: Any) -> dict[str, list[object]]:
    coco = demo_data / "coco"
    return {
        "imagenet": ["--source", demo_data / "imagenet"],
        "images": ["--source", demo_data / "imagenet" / "train"],
        "coco": ["--images", coco / "val2014", "--annotations", coco / "annotations" / "captions_val2014.json"],
        "openwebtext": ["--source", demo_data / "text"],
        "glue": ["--source", demo_data / "glue"],
    }


@pytest.mark.parametrize(
    ("dataset", "options"),
    [
        ("imagenet", ["--max-side=100", "--quality=70", "--limit=5", "--shuffle=3"]),
        ("images", ["--filter=label != 'n02419796'", "--png=jpeg", "--page-size=4194304"]),
        ("coco", ["--grouped", "--captions=2", "--keep-text", "--length=20"]),
        ("openwebtext", ["--block=16", "--padded", "--vocabulary=gpt2"]),
        ("glue", ["--task=cola", "--length=30"]),
    ],
)
def test_the_same_bytes_again(tmp_path: Path, places: Any, dataset: str, options: list[str]) -> None:
    one, other = tmp_path / "one.beton", tmp_path / "other.beton"
    converted(dataset, *places[dataset], *options, "--out", one)
    done = ffprep("convert", "--from-manifest", one, *places[dataset], "--out", other, "--workers", 1)
    assert done.exit_code == 0, done.output
    assert f"{other} and {one} are the same, byte for byte" in done.output
    assert one.read_bytes() == other.read_bytes()


def test_every_option_is_recorded_and_no_place_of_this_machine(tmp_path: Path, places: Any) -> None:
    out = tmp_path / "one.beton"
    converted("coco", *places["coco"], "--grouped", "--out", out, "--workers", 2, "--report", tmp_path / "r.json")
    found = recorded(out)
    assert found["dataset"] == "coco" and found["places"] == ["annotations", "images"]
    assert found["options"]["pairs"] is False and found["options"]["length"] == 64
    assert {"quality", "jpeg", "max-pixels", "max-expansion", "all-files"} <= set(found["options"])
    assert not {"out", "workers", "report", "quiet", "on-error"} & set(found["options"])
    assert str(tmp_path).encode() not in out.read_bytes() and str(places["coco"][1]).encode() not in out.read_bytes()


def test_the_same_source_elsewhere_gives_the_same_bytes(tmp_path: Path, places: Any) -> None:
    shutil.copytree(places["imagenet"][1], tmp_path / "moved" / "imagenet")
    converted("imagenet", *places["imagenet"], "--out", tmp_path / "one.beton")
    converted("imagenet", "--source", tmp_path / "moved" / "imagenet", "--out", tmp_path / "other.beton")
    assert (tmp_path / "one.beton").read_bytes() == (tmp_path / "other.beton").read_bytes()


def test_each_file_of_several_tasks_is_its_own_conversion(tmp_path: Path, places: Any) -> None:
    converted("glue", *places["glue"], "--task=all", "--split=train", "--out", tmp_path / "glue")
    (path,) = (tmp_path / "glue").glob("cola-*.beton")
    assert recorded(path)["options"]["task"] == "cola"
    done = ffprep("convert", "--from-manifest", path, *places["glue"], "--out", tmp_path / "again.beton")
    assert done.exit_code == 0 and path.read_bytes() == (tmp_path / "again.beton").read_bytes(), done.output


def test_parts_repeat_as_parts_and_merge_to_the_whole(tmp_path: Path, places: Any) -> None:
    whole, part = tmp_path / "whole.beton", tmp_path / "p.beton"
    converted("imagenet", *places["imagenet"], "--out", whole)
    for number in range(2):
        converted("imagenet", *places["imagenet"], "--out", part, "--part", f"{number}/2")
    names = sorted(tmp_path.glob("p-*.beton"))
    assert ffprep("merge", *names, "--out", tmp_path / "merged.beton").exit_code == 0
    assert (tmp_path / "merged.beton").read_bytes() == whole.read_bytes()
    done = ffprep("convert", "--from-manifest", names[1], *places["imagenet"], "--out", tmp_path / "q.beton")
    assert done.exit_code == 0 and "byte for byte" in done.output, done.output
    assert (tmp_path / "q-00001-of-00002.beton").read_bytes() == names[1].read_bytes()


def test_bad_samples_are_left_out_again(tmp_path: Path, places: Any) -> None:
    source = tmp_path / "data" / "train"
    shutil.copytree(places["images"][1], source)
    next(source.rglob("*.JPEG")).write_bytes(b"no image")
    converted("imagenet", "--source", source.parent, "--on-error", "skip", "--out", tmp_path / "one.beton")
    done = ffprep(
        "convert", "--from-manifest", tmp_path / "one.beton", f"source={source.parent}", f"out={tmp_path / 'o.beton'}"
    )
    assert done.exit_code == 0 and "byte for byte" in done.output, done.output


def test_an_option_changed_on_purpose_is_no_repetition(tmp_path: Path, places: Any) -> None:
    one, other = tmp_path / "one.beton", tmp_path / "other.beton"
    converted("imagenet", *places["imagenet"], "--out", one)
    done = ffprep("convert", f"--from-manifest={one}", *places["imagenet"], "max-side=64", "--out", other)
    assert done.exit_code == 0 and "byte for byte" not in done.output
    assert recorded(other)["options"] == {**recorded(one)["options"], "max-side": 64}


def test_a_source_that_changed_is_told(tmp_path: Path, places: Any) -> None:
    source, one = tmp_path / "data", tmp_path / "one.beton"
    shutil.copytree(places["imagenet"][1], source)
    converted("imagenet", "--source", source, "--out", one)
    path = next((source / "train").rglob("*.JPEG"))
    shutil.copy(path, path.with_stem("another"))
    done = ffprep("convert", "--from-manifest", one, "--source", source, "--out", tmp_path / "other.beton")
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].startswith(f"ffprep: {tmp_path / 'other.beton'}: is not the same as {one} (")


def written(path: Path, **manifest: Any) -> Path:
    with Writer(path, {"x": IntField()}, 1, manifest=manifest) as writer:
        writer.write([IntField().encode(1)])
    return path


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({}, "does not record its configuration"),
        ({"configuration": "x"}, "does not record its configuration"),
        ({"configuration": {"dataset": "imagnet"}}, "unknown dataset 'imagnet'; did you mean imagenet?"),
        ({"configuration": {"dataset": "imagenet"}}, "its record of the conversion is damaged"),
        ({"configuration": {"dataset": "imagenet", "options": {}, "places": ["x"]}}, "is damaged"),
        ({"configuration": {"dataset": "imagenet", "options": {"out": "y", "overwrite": True}}}, "holds out, which no"),
        ({"configuration": {"dataset": "imagenet", "options": {"a b": 1}}}, "unknown option 'a b'"),
        ({"configuration": {"dataset": "imagenet", "options": {}, "places": ["source"]}}, "add --source PATH"),
        ({"merged": []}, "was merged; repeat the conversions"),
    ],
)
def test_what_cannot_be_repeated_is_one_line(tmp_path: Path, manifest: dict[str, Any], words: str) -> None:
    path = written(tmp_path / "x.beton", **manifest)
    done = ffprep("convert", "--from-manifest", path, "--out", tmp_path / "y.beton")
    (line,) = done.output.splitlines()
    assert done.exit_code == 2 and line.startswith(f"ffprep: {path}: ") and words in line


def test_the_output_has_to_be_named(tmp_path: Path, places: Any) -> None:
    converted("imagenet", *places["imagenet"], "--out", tmp_path / "x.beton")
    done = ffprep("convert", "--from-manifest", tmp_path / "x.beton", *places["imagenet"])
    assert done.exit_code == 2 and "--out" in done.output.splitlines()[-1]
    done = ffprep("convert", "--from-manifest", tmp_path / "y.beton", "--out", tmp_path / "z.beton")
    assert done.exit_code == 2 and "y.beton: no such file or folder" in done.output


def test_all_recorded_options_can_be_given_again() -> None:
    """No option is of a kind that a configuration in JSON could not give back."""
    import click

    from ffprep.commands._shared.group import opposites, switches

    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        known = switches(command)
        for option in command.params:
            if isinstance(option, click.Option) and option.is_flag and option.default is True:
                assert known.keys() >= {*opposites(command)} and option.opts[0][2:] in opposites(command), option.name

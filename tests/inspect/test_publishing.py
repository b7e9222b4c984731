"""Croissant metadata and data cards: what they say, and that it is what the file holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ffprep.beton import Writer
from ffprep.cli import main
from ffprep.fields import BytesField, FloatField, IntField, JSONField, NDArrayField


def ffprep(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    path = tmp_path_factory.mktemp("p") / "my photos.beton"
    done = ffprep("convert", "imagenet", "--source", demo_data / "imagenet", "--out", path, "--quiet", "--max-side", 64)
    assert done.exit_code == 0, done.output
    return path


def croissant(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["info", *map(str, words), "--croissant"])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from nodes(one)
    elif isinstance(value, list):
        for one in value:
            yield from nodes(one)


def check_whole(described: dict[str, Any]) -> None:
    """What Croissant 1.0 asks of every file: named nodes, and references to nodes that are there."""
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0" and described["@type"] == "sc:Dataset"
    body = {key: value for key, value in described.items() if key != "@context"}
    defined = [node["@id"] for node in nodes(body) if "@id" in node and "@type" in node]
    assert len(set(defined)) == len(defined) and not any(set(name) & set(" \t\n") for name in defined)
    assert {node["@id"] for node in nodes(body) if "@id" in node and "@type" not in node} <= set(defined)
    for node in nodes(body):
        assert "name" in node or "@type" not in node
        if node.get("@type") == "cr:FileObject":
            assert {"contentUrl", "contentSize", "encodingFormat", "sha256"} <= set(node)


def test_croissant_of_a_file(photos: Path) -> None:
    described = croissant(photos, "--url", "https://example.org/data/", "--license", "CC0-1.0", "--name", "photos")
    check_whole(described)
    assert described["name"] == "photos" and described["license"] == "CC0-1.0"
    (file,) = described["distribution"]
    assert file["sha256"] == hashlib.sha256(photos.read_bytes()).hexdigest()
    assert file["contentUrl"] == "https://example.org/data/my%20photos.beton"
    assert file["contentSize"] == f"{photos.stat().st_size} B"
    classes, samples = described["recordSet"]
    assert [row["classes/name"] for row in classes["data"]] == sorted(row["classes/name"] for row in classes["data"])
    assert {field["name"]: field["dataType"] for field in samples["field"]} == {
        "image": "sc:ImageObject",
        "label": "sc:Integer",
    }
    assert samples["field"][1]["references"] == {"field": {"@id": "classes/number"}}


def test_croissant_of_a_set_and_of_every_kind_of_field(photos: Path, tmp_path: Path) -> None:
    assert ffprep("split", photos, "--files", 2, "--out", tmp_path / "p.set.json").exit_code == 0
    described = croissant(tmp_path / "p.set.json")
    check_whole(described)
    assert [file["name"] for file in described["distribution"]] == [f"p-0000{n}-of-00002.beton" for n in range(2)]
    fields: dict[str, Any] = {
        "a": IntField(), "b": FloatField(), "c": BytesField(), "d": JSONField(), "e": NDArrayField("float32", (2,)),
        "f": NDArrayField("uint16", (2, 3)),
    }  # fmt: skip
    with Writer(tmp_path / "x.beton", fields, 0) as writer:
        writer.close()
    described = croissant(tmp_path / "x.beton")
    check_whole(described)
    found = {
        field["name"]: (field["dataType"], field.get("repeated", False)) for field in described["recordSet"][0]["field"]
    }
    assert found == {
        "a": ("sc:Integer", False), "b": ("sc:Float", False), "c": ("sc:Text", False), "d": ("sc:Text", False),
        "e": ("sc:Float", True), "f": ("sc:Integer", True),
    }  # fmt: skip


def test_a_card_says_what_is_there_and_how_to_repeat_it(photos: Path, tmp_path: Path) -> None:
    done = ffprep("info", photos, "--card", "--license", "CC0-1.0")
    assert done.exit_code == 0
    for line in (
        "# my photos.beton",
        "| `label` | IntField, 0 to 5, 6 different |",
        "- dataset: imagenet",
        "- licence: CC0-1.0",
        "| 6 | `image` | reencoded | resized |",
        "$ ffprep convert --from-manifest FILE --source PATH --out COPY",
        "$ ffprep verify 'my photos.beton'",
    ):
        assert line in done.output.splitlines()
    assert "`max-side: 64`" in done.output
    block = done.output.partition("```python\n")[2].partition("```")[0]
    compile(block, "card", "exec")
    assert "Dataset('my photos.beton')" in block


def test_a_card_of_a_file_that_says_nothing_of_itself(tmp_path: Path) -> None:
    with Writer(tmp_path / "x.beton", {"a": IntField()}, 1, manifest={"source": {"dataset": "a|b\n# c"}}) as writer:
        writer.write([IntField().encode(1)])
    shown = ffprep("info", tmp_path / "x.beton", "--card").output
    assert "- dataset: a\\|b # c" in shown and "# c" not in shown.splitlines()
    assert "licence: that of the source, which the file does not record" in shown


@pytest.mark.parametrize(
    "words", [["--card", "--json"], ["--croissant", "--card"], ["--license", "MIT"], ["--json", "--url", "x"]]
)
def test_options_that_do_not_go_together(photos: Path, words: list[str]) -> None:
    done = ffprep("info", photos, *words)
    assert done.exit_code == 2 and len(done.output.splitlines()) == 1

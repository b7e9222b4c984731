"""Duplicates within and between files, beside a slow twin that compares everything with everything."""

from __future__ import annotations

import io
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ffprep.beton import Writer
from ffprep.beton.sets import SetFile, files_of
from ffprep.cli import main
from ffprep.errors import OptionError
from ffprep.fields import IntField, RGBImageField
from ffprep.inspect.duplicates import find_duplicates
from ffprep.text.tokens.vocabulary import Vocabulary


def picture(number: int, quality: int = 90) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


PICTURES = [picture(number) for number in range(4)]


def written(path: Path, images: list[bytes], jpeg: str = "keep", **columns: list[int]) -> list[SetFile]:
    fields: dict[str, Any] = {"image": RGBImageField("jpg", jpeg=jpeg), **{name: IntField() for name in columns}}
    with Writer(path, fields, len(images), overwrite=True) as writer:
        for number, image in enumerate(images):
            values = [image, *(column[number] for column in columns.values())]
            encoded = [field.encode(value) for field, value in zip(fields.values(), values, strict=True)]
            writer.write(encoded, f"{number}.jpg")
    return files_of(str(path))


@settings(max_examples=12)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2)), min_size=1, max_size=7), min_size=1, max_size=3)
)
def test_as_when_everything_is_compared(tmp_path_factory: pytest.TempPathFactory, sets: list[list[Any]]) -> None:
    place = tmp_path_factory.mktemp("d")
    given_sets = [
        written(place / f"{number}.beton", [PICTURES[kind] for kind, _ in rows], label=[label for _, label in rows])
        for number, rows in enumerate(sets)
    ]
    where: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for number, rows in enumerate(sets):
        for sample, (kind, label) in enumerate(rows):
            where[kind].append((number, sample, label))
    several = sorted((found for found in where.values() if len(found) > 1), key=lambda found: found[0][:2])
    for by in ("bytes", "pixels"):
        found = find_duplicates(given_sets, by, workers=2)
        assert found.items == [len(rows) for rows in sets] and found.different == len(where)
        assert found.within == [len(rows) - len({kind for kind, _ in rows}) for rows in sets]
        kinds = [{kind for kind, _ in rows} for rows in sets]
        assert found.between == [
            (i, j, len(kinds[i] & kinds[j])) for i in range(len(sets)) for j in range(i + 1, len(sets))
        ]
        assert found.groups == len(several)
        assert found.labels_differ == sum(len({label for *_, label in one if label >= 0}) > 1 for one in several)
        listed = [[(int(Path(one.file).stem), one.sample) for one in group] for group in found.listed]
        assert listed == [[(number, sample) for number, sample, _ in group[:10]] for group in several]


def test_one_picture_stored_in_two_ways_is_equal_by_pixels_alone(tmp_path: Path) -> None:
    one = written(tmp_path / "one.beton", PICTURES)
    other = written(tmp_path / "other.beton", PICTURES[::-1], jpeg="seekable")
    assert find_duplicates([one, other]).between == [(0, 1, 0)]
    found = find_duplicates([one, other], "pixels")
    assert found.between == [(0, 1, 4)]
    assert [[one.name for one in group] for group in found.listed] == [[f"{n}.jpg", f"{3 - n}.jpg"] for n in range(4)]


def test_samples_that_share_an_image_are_no_duplicates(tmp_path: Path) -> None:
    twice = written(tmp_path / "x.beton", [PICTURES[0], PICTURES[0], PICTURES[1], PICTURES[0]], image_id=[7, 7, 8, 9])
    found = find_duplicates([twice])
    assert found.items == [3] and found.different == 2 and found.within == [1]
    assert [one.sample for one in found.listed[0]] == [0, 3]


def test_equal_checksums_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all checksums are equal, the images themselves tell."""
    from ffprep.inspect import duplicates

    files = written(tmp_path / "x.beton", [PICTURES[0], PICTURES[1], PICTURES[0]])
    monkeypatch.setattr(duplicates, "row_sums", lambda reader: np.zeros(len(reader.table), np.uint64))
    found = find_duplicates([files], workers=1)
    assert [[one.sample for one in group] for group in found.listed] == [[0, 2]]


def test_a_set_is_one_of_the_sides(tmp_path: Path) -> None:
    written(tmp_path / "t-00000-of-00002.beton", PICTURES[:2])
    written(tmp_path / "t-00001-of-00002.beton", PICTURES[1:3])
    val = written(tmp_path / "v.beton", PICTURES[2:])
    found = find_duplicates([files_of(str(tmp_path / "t-*.beton")), val])
    assert found.items == [4, 2] and found.within == [1, 0] and found.between == [(0, 1, 1)]


def ffprep(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_captions_rows_and_blocks_by_their_tokens(tmp_path: Path, vocabulary: Vocabulary) -> None:
    texts = ["one text", "another text", "one text", "a third"]
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"text": text, "label": i}) + "\n" for i, text in enumerate(texts))
    )
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "a third", "label": 3}) + "\n")
    for name, length in (("a", 16), ("b", 20)):
        done = ffprep("convert", "text", "--files", tmp_path / f"{name}.jsonl", "--label", "label", "--length", length,
                      "--out", tmp_path / f"{name}.beton", "--quiet")  # fmt: skip
        assert done.exit_code == 0, done.output
    shown = json.loads(
        ffprep("stats", tmp_path / "a.beton", tmp_path / "b.beton", "--duplicates", "--form", "json").output
    )
    assert shown["by"] == "text" and shown["items"] == [4, 1] and shown["different"] == 3
    assert shown["within"] == [1, 0] and shown["between"] == [[0, 1, 1]] and shown["labels_differ"] == 1
    (tmp_path / "text").mkdir()
    for name in "cd":
        (tmp_path / "text" / f"{name}.txt").write_text("the same words again and again, and then some more " * 4)
    done = ffprep(
        "convert", "openwebtext", "--source", tmp_path / "text", "--block", 8, "--padded", "--out", tmp_path / "o.beton"
    )
    assert done.exit_code == 0, done.output
    found = find_duplicates([files_of(str(tmp_path / "o.beton"))])
    assert found.items[0] == 2 * found.within[0]


def test_the_command_says_what_is_where(tmp_path: Path) -> None:
    written(tmp_path / "train.beton", PICTURES, label=[0, 1, 2, 3])
    written(tmp_path / "val.beton", [PICTURES[3]], label=[1])
    done = ffprep("stats", tmp_path / "train.beton", tmp_path / "val.beton", "--duplicates")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0] == "images by their stored bytes: 4 different ones of 5"
    assert any(
        line.split(maxsplit=1) == ["1", f"in {tmp_path}/train.beton and in {tmp_path}/val.beton"] for line in lines
    )
    assert lines[-1] == f"  {tmp_path}/train.beton 3 (3.jpg, label 3)  =  {tmp_path}/val.beton 0 (0.jpg, label 1)"


def test_what_cannot_be_compared_is_one_error(tmp_path: Path) -> None:
    with Writer(tmp_path / "n.beton", {"x": IntField()}, 1) as writer:
        writer.write([IntField().encode(1)])
    files = files_of(str(tmp_path / "n.beton"))
    for by, words in (("bytes", "has no images"), ("text", "has no texts as tokens"), (None, "has no texts")):
        with pytest.raises(OptionError, match=words):
            find_duplicates([files], by)
    for words in (["--by", "pixels"], ["--duplicates", "--form", "csv"]):
        done = ffprep("stats", tmp_path / "n.beton", *words)
        assert done.exit_code == 2 and len(done.output.splitlines()) == 1
    shutil.copy(written(tmp_path / "x.beton", PICTURES[:1] * 2)[0].path, tmp_path / "damaged.beton")
    data = bytearray((tmp_path / "damaged.beton").read_bytes())
    data[data.index(PICTURES[0]) + 300] ^= 1
    (tmp_path / "damaged.beton").write_bytes(data)
    done = ffprep("stats", tmp_path / "damaged.beton", "--duplicates")
    assert done.exit_code == 1 and "the value changed since the file was written" in done.output

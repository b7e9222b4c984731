"""Tables and conditions of strangers: one short error that names the row, never another value than was written."""

from __future__ import annotations

import io
import os
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ffprep.beton.reader import Reader
from ffprep.cli import main
from ffprep.errors import OptionError, SourceError
from ffprep.sources.images.filters import RowFilter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture in a folder, and one beside the folder."""
    file = io.BytesIO()
    Image.new("RGB", (12, 8)).save(file, "JPEG")
    (tmp_path / "in").mkdir()
    for name in ("in/0.jpg", "outside.jpg"):
        (tmp_path / name).write_bytes(file.getvalue())
    return tmp_path / "in"


def convert(folder: Path, text: str, *more: str, name: str = "t.jsonl") -> Result:
    (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    command = ["convert", "images", "--source", folder / name, "--out", folder.parent / "x.beton", *more]
    return CliRunner().invoke(main, [str(word) for word in command])


def refused(done: Result, says: str) -> None:
    assert done.exit_code in (1, 2) and says in done.output, done.output
    assert "internal" not in done.output and "Error" not in done.output and "\x1b" not in done.output
    assert len(done.output) < 2000


@pytest.mark.parametrize("path", ["../outside.jpg", "{outside}", "/etc/passwd", "a/../../outside.jpg", "a\\u0000.jpg"])
def test_paths_that_lead_out_of_the_folder(folder: Path, path: str) -> None:
    path = path.replace("{outside}", str(folder.parent / "outside.jpg"))
    refused(convert(folder, f'{{"path": "{path}"}}\n'), "is not in the folder")


def test_paths_of_no_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    for path, says in (
        ("pipe.jpg", "is a named pipe"),
        ("zero.jpg", "is a device"),
        ("\\ud800.jpg", "is no path that a file can have"),
        ("a" * 5000, "is no path that a file can have"),
        ("\\u001b[31m", "No such file"),
    ):
        refused(convert(folder, f'{{"path": "{path}"}}\n'), says)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("ints", v) for v in ("[1.5]", "[NaN]", "[1e400]", "[18446744073709551615]", "[9.3e18]", "[-1e19]", "1.5")),
        *(("floats", v) for v in ("[1e300]", "[-1e39]", "[[1], 2]", '"x"', "[null]")),
        *(("boxes", v) for v in ("[[1, 2, NaN, 4]]", "[[1, 2, 1e300, 4]]", "[[1, 2, Infinity, 4]]", "[[1, 2, 3]]")),
        *((kind, "[" * 500 + "]" * 500) for kind in ("int", "ints", "boxes", "text", "float")),
        *(("int", v) for v in ("1e400", "NaN", "1.5", '"' + "9" * 5000 + '"')),
    ],
)
def test_values_that_a_field_cannot_hold(folder: Path, kind: str, value: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(convert(folder, f'{{"path": "0.jpg", "x": {value}}}\n', "--field", f"x={kind}"), "0.jpg (sample 0)")


def test_values_at_the_edge_are_kept(folder: Path) -> None:
    numbers = '"i": [9223372036854775807, -9223372036854775808], "j": [3.0], "f": [NaN, Infinity, 3e38]'
    row = f'{{"path": "0.jpg", {numbers}}}\n'
    done = convert(folder, row, "--field", "i=ints", "--field", "j=ints", "--field", "f=floats")
    assert done.exit_code == 0, done.output
    with Reader(folder.parent / "x.beton") as reader:
        assert reader.value("i", 0).tolist() == [2**63 - 1, -(2**63)] and reader.value("j", 0).tolist() == [3]
        np.testing.assert_array_equal(reader.value("f", 0), np.array([np.nan, np.inf, 3e38], np.float32))


@pytest.mark.parametrize("value", ["[1]", "{}", "[" * 500 + "]" * 500])
def test_labels_are_numbers_or_names(folder: Path, value: str) -> None:
    refused(convert(folder, f'{{"path": "0.jpg", "label": {value}}}\n'), "label is neither a number nor a name")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 9000,
        "not " * 2400 + "a",
        "a == " + "-" * 9000 + "1",
        "a" + ".a" * 4000 + " == 1",
        "9**9**9",
        "a == 9**9**9",
        "a == 9" + "9" * 5000,
        "f(0x" + "f" * 9000 + ")",
        "a == [0x" + "f" * 9000 + "] + 1",
        "a == f'{a}'",
        "(a := 1)",
        "__import__('os')",
        " " * 9999,
        "a" * 10_001,
        "\0",
    ],
)
def test_conditions_that_are_none(text: str) -> None:
    with pytest.raises(OptionError, match="--filter") as caught:
        RowFilter(text)
    assert len(str(caught.value)) < 1000


def test_long_conditions_take_no_longer_than_they_are() -> None:
    """Each of these once took from seconds to hours."""
    values = {"a": [1, 2]}
    assert RowFilter(" " * 5000 + "a" + " " * 4900).rows(values, {}, 2) == [0, 1]
    assert RowFilter("a == 1 == " * 900 + "1").rows(values, {}, 2) == [0]
    assert RowFilter(f"a in [{'3, ' * 3000}1]").rows(values, {}, 2) == [0]


def test_constants_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = RowFilter("a in [1, 2, -3]")
    monkeypatch.setattr("ffprep.sources.images.filters._constant", None)
    assert one.rows({"a": [1, -3, 4]}, {}, 3) == [0, 1]


def test_nested_values_that_are_compared() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    other: list[object] = []
    for _ in range(100_000):
        other = [other]
    with pytest.raises(SourceError, match=r"row 0: --filter 'a == b'"):
        RowFilter("a == b").rows({"a": [deep], "b": [other]}, {}, 1)
    for one in (deep, other):  # taken apart, since Python would free them by recursion
        while one:
            one = one.pop()  # type: ignore[assignment]


def test_files_that_are_too_large_for_a_sample(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffprep.sources.images.rows.LARGEST", 100)
    refused(convert(folder, '{"path": "0.jpg"}\n'), "bytes are more than a sample may have (100)")


@pytest.mark.parametrize(
    ("content", "says"),
    [(b'{"a": "' + b"x" * 1000 + b'"}', "1,009 bytes of JSON are more"), (b"[" * 100_000, "not valid JSON")],
)
def test_json_of_shards(folder: Path, content: bytes, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffprep.sources.images.shards._LARGEST_JSON", 1000 if b"x" in content else 1 << 26)
    with tarfile.open(folder / "t.tar", "w") as archive:
        for name, data in (("0.jpg", (folder / "0.jpg").read_bytes()), ("0.json", content)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    command = [
        "convert",
        "images",
        "--source",
        folder / "t.tar",
        "--out",
        folder / "x.beton",
        "--field",
        "a=text:json.a",
    ]
    refused(CliRunner().invoke(main, [str(word) for word in command]), says)


def test_a_first_line_that_is_nested_too_deep(folder: Path) -> None:
    refused(convert(folder, "[" * 100_000 + "\n"), "its first line is no JSON object")
    refused(convert(folder, '{"path": ' * 100_000 + "\n"), "its first line is no JSON object")


def test_labels_of_more_than_64_bits(folder: Path) -> None:
    """They would become floating-point numbers, and all the others with them."""
    text = '{"image": "0.jpg", "label": %s}\n' % 2**70
    refused(convert(folder, '{"image": "0.jpg", "label": 3}\n' + text), f"label does not fit 64 bits: {2**70}")
    done = convert(folder, '{"image": "0.jpg", "label": 3}\n' + text, "--on-error", "skip")
    assert done.exit_code == 0, done.output
    with Reader(folder.parent / "x.beton") as reader:
        assert [reader.value("label", i) for i in range(reader.num_samples)] == [3]


@pytest.mark.parametrize("inner", ["in", "in/a"])
def test_images_that_imagefolder_leaves_out_are_named(folder: Path, inner: str) -> None:
    (folder.parent / inner).mkdir(exist_ok=True)
    if inner == "in/a":
        (folder / "0.jpg").rename(folder / "a" / "0.jpg")
    (folder.parent / inner / "1.GIF").write_bytes(b"GIF89a")
    command = ["convert", "images", "--source", folder, "--out", folder.parent / "x.beton"]
    done = CliRunner().invoke(main, [str(word) for word in command])
    assert done.exit_code == 0 and "left out 1 image with an ending that ImageFolder does not take" in done.output
    assert "1.GIF" in done.output


def test_a_split_that_chooses_nothing_is_refused(folder: Path) -> None:
    says = "--split train: {} has no splits, so all of it would be converted; leave --split out"
    refused(convert(folder, "path\n0.jpg\n", "--split", "train", name="t.csv"), says.format(folder / "t.csv"))
    with tarfile.open(folder.parent / "x.tar", "w") as tar:
        tar.add(folder / "0.jpg", "0.jpg")
    words = ["convert", "images", "--split", "train", "--out", str(folder.parent / "x.beton"), "--source"]
    refused(CliRunner().invoke(main, [*words, str(folder.parent / "x.tar")]), says.format(folder.parent / "x.tar"))
    (folder / "metadata.csv").write_text("file_name\n0.jpg\n")
    refused(CliRunner().invoke(main, [*words, str(folder)]), says.format(folder / "metadata.csv"))
    folder.rename(folder.with_name("train"))  # a folder that the split names is one
    done = CliRunner().invoke(main, [*words, str(folder.parent)])
    assert done.exit_code == 0, done.output


def test_what_spreadsheets_write_is_read(folder: Path) -> None:
    done = convert(folder, '"path";"label"\n"0.jpg";"a, b"\n', name="t.csv")
    assert done.exit_code == 0 and "label of label, 1 classes" in done.output, done.output
    refused(convert(folder, " path ,label\n0.jpg,a\n", "--image", "path", name="u.csv"), "there are ' path ', label")


def test_images_within_other_values_are_read(folder: Path) -> None:
    image = (folder / "0.jpg").read_bytes()
    rows = [{"image": {"bytes": image, "path": "a"}, "kind": 3}, {"image": {"bytes": None, "path": "0.jpg"}, "kind": 4}]
    pq.write_table(pa.table({"inner": pa.array(rows)}), folder / "t.parquet")
    command = ["convert", "images", "--source", folder / "t.parquet", "--out", folder.parent / "x.beton"]
    command += ["--image", "inner.image", "--label", "inner.kind"]
    done = CliRunner().invoke(main, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    with Reader(folder.parent / "x.beton") as reader:
        assert [reader.value("label", i) for i in range(2)] == [3, 4]


def test_a_class_of_images_that_imagefolder_leaves_out(folder: Path) -> None:
    for name in ("a/0.jpg", "b/1.avif"):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(b"")
    (folder / "0.jpg").unlink()
    command = ["convert", "images", "--source", folder, "--out", folder.parent / "x.beton"]
    done = CliRunner().invoke(main, [str(word) for word in command])
    refused(done, "no images that ImageFolder takes in the class folders b; name images such as b/1.avif in a CSV file")

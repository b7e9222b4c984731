"""Names that are not UTF-8, files that systems leave behind, and pipes among the images."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ffprep.beton.reader import Reader
from ffprep.cli import main
from ffprep.convert import conversion
from ffprep.convert.conversion import convert
from ffprep.errors import ConversionError, SourceError
from ffprep.fields import RGBImageField
from ffprep.sources.base import Source
from ffprep.sources.imagenet import open_imagenet
from ffprep.sources.reading.zipped import ZipFiles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux file names are bytes")

ODD = [b"caf\xe9", "na\u00efve \u732b".encode(), b"a\nb", b"100%", b"{x}", b"\xff\xfe", b"-rf", b" "]


def image(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 10 * number, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def opened(path: Path, **options: Any) -> Source:
    return open_imagenet(str(path), "train", image=RGBImageField(jpeg="keep"), **options)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Two images in each class, with names of bytes that are not UTF-8, and one that is no image."""
    for number, name in enumerate(ODD):
        folder = os.path.join(os.fsencode(tmp_path), b"src", b"train", name)  # noqa: PTH118
        os.makedirs(folder)  # noqa: PTH103
        for which in range(2):
            with open(os.path.join(folder, b"im\xe9_%d.JPEG" % which), "wb") as file:  # noqa: PTH118, PTH123
                file.write(image(2 * number + which))
    with open(os.path.join(os.fsencode(tmp_path), b"src/train/caf\xe9/bad\xe9.JPEG"), "wb") as file:  # noqa: PTH118, PTH123
        file.write(b"no image")
    return tmp_path / "src"


def test_odd_names_are_converted_resumed_and_reported(
    odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, resumed = tmp_path / "whole.beton", tmp_path / "resumed.beton"
    command = ["convert", "imagenet", "--source", str(odd), "--on-error", "skip"]
    done = CliRunner().invoke(main, [*command, "--out", str(whole), "--report", str(tmp_path / "r.json")])
    assert done.exit_code == 0, done.output
    assert r"caf\xe9/bad\xe9.JPEG" in done.output
    assert [entry["sample"] for entry in json.loads((tmp_path / "r.json").read_text())["refused"]] == [
        r"caf\xe9/bad\xe9.JPEG"
    ]
    classes = sorted(map(os.fsdecode, ODD))
    with Reader(whole) as reader:
        assert reader.manifest is not None
        written = [os.fsencode(name).decode("utf-8", "backslashreplace") for name in classes]
        assert reader.manifest["source"]["classes"] == written
        names = reader.sample_names()
        assert names is not None and len(names) == len(reader) == 2 * len(ODD)
        assert names[reader.column("label").tolist().index(written.index(r"caf\xe9"))] == r"caf\xe9/im\xe9_0.JPEG"
        for sample in range(len(reader)):
            original = ODD.index(os.fsencode(classes[int(reader.value("label", sample))]))
            value = np.asarray(Image.open(io.BytesIO(reader.value("image", sample))))
            assert abs(int(value[0, 0, 0]) - 10 * (2 * original + sample % 2)) <= 2

    original = conversion.write_results

    def stopping(writer: Any, results: Any, *rest: Any) -> None:
        original(writer, (unit[:9] for unit in [next(results)]), *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "write_results", stopping)
    source = open_imagenet(str(odd), "train", image=RGBImageField(jpeg="seekable"))
    with pytest.raises(KeyboardInterrupt):
        convert(source, resumed, on_error="skip")
    monkeypatch.undo()
    done = CliRunner().invoke(main, [*command, "--out", str(resumed), "--resume"])
    assert done.exit_code == 0, done.output
    assert resumed.read_bytes() == whole.read_bytes()


def test_an_output_may_have_such_a_name_and_standard_output_takes_it(odd: Path, tmp_path: Path) -> None:
    out = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.beton")
    done = CliRunner().invoke(main, ["convert", "imagenet", "--source", str(odd), "--on-error", "skip", "--out", out])
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(main, ["info", out]).exit_code == 0


def clutter(folder: Path) -> None:
    """What notebooks, archivers and file systems leave in a folder of classes."""
    for name in ("train/.ipynb_checkpoints/x.JPEG", "train/__MACOSX/n1/._0.JPEG", "train/n2/._0.JPEG"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"Mac OS X")
    (folder / "train" / "lost+found").mkdir()
    (folder / "train" / "n1" / ".ipynb_checkpoints").mkdir()
    (folder / "train" / "n1" / ".ipynb_checkpoints" / "0-checkpoint.JPEG").write_bytes(image(1))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    for number, name in enumerate(("n1/0", "n1/1", "n2/0", "n3/0")):
        path = tmp_path / "src" / "train" / f"{name}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image(number))
    return tmp_path / "src"


def contents(source: Source) -> list[Any]:
    return [(source.sample_name(index), *source.sample(index)) for index in range(len(source))]


def test_clutter_is_left_out_of_folders_with_a_note(plain: Path, tmp_path: Path) -> None:
    expected = contents(opened(plain))
    clutter(plain)
    source = opened(plain)
    assert contents(source) == expected
    assert source.manifest()["classes"] == ["n1", "n2", "n3"]
    done = CliRunner().invoke(main, ["convert", "imagenet", "--source", str(plain), "--out", str(tmp_path / "x.beton")])
    assert done.exit_code == 0 and "left out 5" in done.output and "--all-files" in done.output
    with pytest.raises(SourceError, match="lost.found: no images"):
        opened(plain, all_files=True)
    (plain / "train" / "lost+found").rmdir()
    taken = opened(plain, all_files=True)
    assert taken.manifest()["classes"] == [".ipynb_checkpoints", "__MACOSX", "n1", "n2", "n3"]
    assert len(taken) == 4 + 4


def test_clutter_is_left_out_of_archives(plain: Path, tmp_path: Path) -> None:
    expected = contents(opened(plain))
    clutter(plain)
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        tar.add(plain / "train", "train")
    source = opened(tmp_path / "train.tar")
    assert [row[1:] for row in contents(source)] == [row[1:] for row in expected]
    assert getattr(source, "notes")[0].startswith("left out 4")  # noqa: B009 - sources need not have any
    assert len(opened(tmp_path / "train.tar", all_files=True)) == 8
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "ILSVRC2012_img_train.tar", "w") as outer:
        for name in ("n01440764", "n01443537"):
            for prefix, content in (("._", b"Mac OS X"), ("", None)):
                inner = io.BytesIO()
                with tarfile.open(fileobj=inner, mode="w") as tar:
                    for file in (f"._{name}_1.JPEG", f"{name}_1.JPEG"):
                        info = tarfile.TarInfo(file)
                        info.size = len(image(3))
                        tar.addfile(info, io.BytesIO(image(3)))
                data = inner.getvalue() if content is None else content
                info = tarfile.TarInfo(f"{prefix}{name}.tar")
                info.size = len(data)
                outer.addfile(info, io.BytesIO(data))
    source = opened(tmp_path / "tars")
    assert source.manifest()["classes"] == ["n01440764", "n01443537"] and len(source) == 2


def test_clutter_is_left_out_of_zip_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("__MACOSX/._a.jpg", "a.jpg", "._b.jpg"):
            archive.writestr(name, image(1))
    assert ZipFiles(tmp_path / "a.zip").names == ["a.jpg"]


@pytest.mark.parametrize("layout", ["classes", "flat"])
def test_a_pipe_among_the_images_is_refused_and_named(plain: Path, tmp_path: Path, layout: str) -> None:
    if layout == "classes":
        os.mkfifo(plain / "train" / "n1" / "pipe.JPEG")
        (plain / "train" / "n2" / "zero.JPEG").symlink_to("/dev/zero")
    else:
        for path in sorted((plain / "train").glob("*/*.JPEG")):
            path.rename(plain / "train" / f"{path.parent.name}_{path.name}")
        for folder in ("n1", "n2", "n3"):
            (plain / "train" / folder).rmdir()
        os.mkfifo(plain / "train" / "pipe.JPEG")
        names = sorted(path.name for path in (plain / "train").iterdir())
        (plain / "val.txt").write_text("".join(f"{name} {number % 3}\n" for number, name in enumerate(names)))
    with pytest.raises(ConversionError, match=r"pipe.JPEG.*named pipe"):
        convert(opened(plain), tmp_path / "x.beton")
    report = convert(opened(plain), tmp_path / "y.beton", on_error="skip")
    assert report.written == 4 and report.refused_count == (2 if layout == "classes" else 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["imagenet", "--source", "PIPE"],
        ["imagenet", "--source", "FOLDER", "--labels", "PIPE"],
        ["cc3m", "--shards", "PIPE"],
        ["coco", "--images", "FOLDER", "--annotations", "PIPE"],
        ["text", "--files", "PIPE", "--format", "jsonl"],
        ["text", "--files", "PIPE", "--format", "csv"],
        ["text", "--files", "PIPE", "--format", "parquet"],
        ["glue", "--task", "rte", "--source", "PIPE"],
        ["openwebtext", "--source", "PIPE"],
        ["tokens", "--source", "PIPE"],
    ],
)
def test_a_pipe_as_a_source_is_an_error_not_a_wait(tmp_path: Path, arguments: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.JPEG").write_bytes(image(1))
    places = {"PIPE": str(tmp_path / "pipe"), "FOLDER": str(tmp_path / "folder")}
    given = [places.get(argument, argument) for argument in arguments]
    done = CliRunner().invoke(main, ["convert", *given, "--out", str(tmp_path / "x.beton")])
    assert done.exit_code in (1, 2) and str(tmp_path / "pipe") in done.output, done.output
    assert not (tmp_path / "x.beton").exists()

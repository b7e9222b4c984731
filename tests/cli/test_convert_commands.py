"""The commands as a user types them: results, exit statuses, one-line errors, interruptions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ffprep.beton.reader import Reader
from ffprep.cli import main


def ffprep(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def launched(*arguments: object, first: str = "", **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"{first}from ffprep.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.fixture
def folder(tmp_path: Path, demo_data: Path) -> Path:
    """An ImageFolder of 48 demo photographs."""
    for number in range(8):
        for path in sorted((demo_data / "imagenet" / "train").glob("*/*.JPEG")):
            target = tmp_path / "data" / "train" / path.parent.name / f"{path.parent.name}_{number}.JPEG"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return tmp_path / "data"


def convert(folder: Path, out: Path, *more: object) -> Result:
    return ffprep("convert", "imagenet", "--source", folder, "--out", out, *more)


# -- what works ------------------------------------------------------------------------------------------------------


def test_convert_info_verify(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "train.beton"
    done = convert(folder, out, "--report", tmp_path / "report.json")
    assert done.exit_code == 0, done.output
    assert "48  samples written" in done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["samples"] == 48 and report["samples_per_second"] > 0
    shown = ffprep("info", out)
    assert shown.exit_code == 0
    assert "48 samples" in shown.output and "48 JPEG" in shown.output and "0 to 5, 6 different" in shown.output
    facts = json.loads(ffprep("info", out, "--json").output)
    assert facts["samples"] == 48
    assert facts["fields"]["image"]["images"]["jpeg"] == 48
    assert facts["manifest"]["report"]["samples"] == 48
    checked = ffprep("verify", out)
    assert checked.exit_code == 0, checked.output
    assert "no problem found" in checked.output


def test_raw_pixels_and_an_index_beside(folder: Path, tmp_path: Path) -> None:
    import io

    import numpy as np
    from PIL import Image

    raw, keep = tmp_path / "raw.beton", tmp_path / "keep.beton"
    assert convert(folder, raw, "--jpeg", "raw", "--min-side", 100).exit_code == 0
    done = convert(folder, keep, "--jpeg", "keep", "--index")
    assert done.exit_code == 0 and "48 of 48 JPEGs" in done.output
    with Reader(raw) as pixels, Reader(keep) as streams:
        for index in range(6):
            found = pixels.value("image", index)
            with Image.open(io.BytesIO(streams.value("image", index))) as image:
                wanted = np.asarray(image.convert("RGB").resize(found.shape[1::-1], Image.Resampling.BICUBIC))
            assert min(found.shape[:2]) == 100
            assert np.abs(found.astype(int) - wanted).mean() < 2
    facts = json.loads(ffprep("info", raw, "--json").output)
    assert facts["fields"]["image"]["images"]["raw"] == 48 and facts["seek_index"] is None
    assert json.loads(ffprep("info", keep, "--json").output)["seek_index"]["indexed"] == 48
    planned = ffprep("plan", "imagenet", "--source", folder, "--jpeg", "raw", "--json")
    assert json.loads(planned.output)["actions"] == {"image raw pixels": 1.0}


@pytest.mark.parametrize("jpeg", ["seekable", "keep", "reencode", "raw"])
def test_same_bytes_for_any_number_of_workers(folder: Path, tmp_path: Path, jpeg: str) -> None:
    found = set()
    for workers in (1, 2, 5):
        out = tmp_path / f"{workers}.beton"
        assert convert(folder, out, "--workers", workers, "--jpeg", jpeg, "--quiet").exit_code == 0
        found.add(out.read_bytes())
    assert len(found) == 1


def test_kept_files_are_byte_for_byte_and_named(folder: Path, tmp_path: Path) -> None:
    assert convert(folder, tmp_path / "x.beton", "--jpeg", "keep").exit_code == 0
    files = sorted((folder / "train").glob("*/*"))
    with Reader(tmp_path / "x.beton") as reader:
        assert reader.sample_names() == [str(path.relative_to(folder / "train")) for path in files]
        assert [bytes(reader.value("image", i)) for i in range(48)] == [path.read_bytes() for path in files]
        assert reader.column("label").tolist() == [i // 8 for i in range(48)]


def test_max_side_shrinks(folder: Path, tmp_path: Path) -> None:
    assert convert(folder, tmp_path / "x.beton", "--max-side", 100, "--limit", 5).exit_code == 0
    with Reader(tmp_path / "x.beton") as reader:
        column = reader.column("image")
        assert len(column) == 5
        assert max(column["width"].max(), column["height"].max()) == 100


def test_shuffle_changes_the_order_only(folder: Path, tmp_path: Path) -> None:
    for seed in ("1", "1", "2"):
        assert convert(folder, tmp_path / f"{seed}.beton", "--shuffle", seed, "--overwrite").exit_code == 0
    with Reader(tmp_path / "1.beton") as one, Reader(tmp_path / "2.beton") as two:
        names, others = one.sample_names(), two.sample_names()
        assert names is not None and others is not None
        assert names != others and sorted(names) == sorted(others)
        assert [int(label) for label in one.column("label")] == [
            sorted({n.split("/")[0] for n in names}).index(name.split("/")[0]) for name in names
        ]


def test_configuration_with_overrides(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "both.yaml"
    config.write_text(
        f"- {{dataset: imagenet, source: '{folder}', out: '{tmp_path}/a.beton', jpeg: keep, quiet: true}}\n"
        f"- {{dataset: imagenet, source: '{folder}', out: '{tmp_path}/b.beton', max_side: 64, quiet: true}}\n"
    )
    done = ffprep("convert", config, "limit=7")
    assert done.exit_code == 0, done.output
    with Reader(tmp_path / "a.beton") as a, Reader(tmp_path / "b.beton") as b:
        assert len(a) == len(b) == 7
        assert b.column("image")["width"].max() <= 64


def test_plan_tells_the_cost(folder: Path, tmp_path: Path) -> None:
    done = ffprep("plan", "imagenet", "--source", folder, "--out", tmp_path / "x.beton", "--json", "--jpeg", "keep")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output)
    assert facts["samples"] == 48 and facts["fits"] is True and facts["refused"] == 0
    assert convert(folder, tmp_path / "x.beton", "--jpeg", "keep").exit_code == 0
    assert facts["bytes_out"] == pytest.approx((tmp_path / "x.beton").stat().st_size, rel=0.05)
    assert "samples        48" in ffprep("plan", "imagenet", "--source", folder).output


def test_preview_is_one_page_with_pictures(folder: Path, tmp_path: Path) -> None:
    assert convert(folder, tmp_path / "x.beton").exit_code == 0
    assert ffprep("preview", tmp_path / "x.beton", "--out", tmp_path / "x.html", "--count", 6).exit_code == 0
    page = (tmp_path / "x.html").read_text()
    assert page.count("<img") == page.count("data:image/jpeg;base64,") == 6
    remote = page.replace("http://www.w3.org/2000/svg", "")  # a namespace, which nothing fetches
    assert "http:" not in remote and "https:" not in remote
    assert "0 (n02124075)" in page
    done = ffprep("preview", tmp_path / "x.beton", "--out", tmp_path / "y.html", "--sample", 99)
    assert done.exit_code == 2 and "has no sample 99" in done.stderr


def test_merge_joins_files(folder: Path, tmp_path: Path) -> None:
    assert convert(folder, tmp_path / "a.beton", "--limit", 3).exit_code == 0
    assert convert(folder, tmp_path / "b.beton", "--limit", 4).exit_code == 0
    done = ffprep("merge", tmp_path / "a.beton", tmp_path / "b.beton", "--out", tmp_path / "c.beton")
    assert done.exit_code == 0, done.output
    with Reader(tmp_path / "c.beton") as reader:
        assert reader.column("label").tolist() == [0] * 7


def test_doctor_examines_this_machine() -> None:
    facts = json.loads(ffprep("doctor", "--json").output)
    assert facts["kernel"]["level"] in ("scalar", "avx2", "avx512")
    assert facts["packages"]["numpy"] is not None
    assert "ffprep" in ffprep("doctor").output
    assert "kernels compiled" in ffprep("doctor", "--compile", "--json").stderr


# -- what does not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nonsense"], 2, "no command 'nonsense'; there are bench, convert"),
        (["convert", "nonsense"], 2, "no command 'nonsense'; there are ade20k, cc12m"),
        (["convert", "imagenet", "--source", "x"], 2, "Missing option '--out'"),
        (["convert", "imagenet", "--source", "/nonexistent", "--out", "/tmp/x.beton"], 1, "no such file or folder"),
        (["convert", "imagenet", "--source", "x", "--out", "x", "--quality", "101"], 2, "101"),
        (["info", "/nonexistent"], 2, "no such file or folder; check the name"),
        (["convert", "/nonexistent.yaml"], 2, "cannot be read"),
    ],
)
def test_errors_are_one_line_and_a_status(arguments: list[str], status: int, words: str) -> None:
    done = ffprep(*arguments)
    assert done.exit_code == status
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_bad_data_is_status_1(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    path.write_bytes(b"hello")
    done = ffprep("info", path)
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1 and "x.beton" in done.stderr
    assert "Traceback" in ffprep("info", path, "-v").stderr


def test_sample_that_cannot_be_converted_is_named(folder: Path, tmp_path: Path) -> None:
    bad = sorted((folder / "train").glob("*/*"))[17]
    bad.write_bytes(b"<html>not found</html>")
    name = str(bad.relative_to(folder / "train"))
    done = convert(folder, tmp_path / "x.beton")
    assert done.exit_code == 1
    assert f"ffprep: {name} (sample 17): " in done.stderr
    assert not (tmp_path / "x.beton").exists()
    done = convert(folder, tmp_path / "x.beton", "--resume", "--on-error", "skip")
    assert done.exit_code == 0, done.output
    assert "1  refused" in done.output and name in done.output
    with Reader(tmp_path / "x.beton") as reader:
        assert len(reader) == 47
        assert reader.manifest is not None
        assert reader.manifest["report"]["refused"][0]["sample"] == name


def test_damaged_image_is_stored_as_pillow_sees_it_if_asked(folder: Path, tmp_path: Path) -> None:
    bad = sorted((folder / "train").glob("*/*"))[17]
    data = bad.read_bytes()
    bad.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    done = convert(folder, tmp_path / "x.beton")
    assert done.exit_code == 1 and "(sample 17)" in done.stderr
    done = convert(folder, tmp_path / "x.beton", "--damaged", "reencode", "--restart")
    assert done.exit_code == 0, done.output
    assert "1  image reencoded: damaged" in done.output
    assert str(bad.relative_to(folder / "train")) in done.output
    assert ffprep("verify", tmp_path / "x.beton").exit_code == 0


def test_existing_file_is_not_replaced_unasked(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.beton").write_bytes(b"mine")
    done = convert(folder, tmp_path / "x.beton")
    assert done.exit_code == 2 and "exists" in done.stderr
    assert (tmp_path / "x.beton").read_bytes() == b"mine"
    assert convert(folder, tmp_path / "x.beton", "--overwrite").exit_code == 0


@pytest.mark.parametrize("change", ["sauce=1", "dataset=imagenot", "limit=many"])
def test_configuration_is_checked_before_anything_is_made(folder: Path, tmp_path: Path, change: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"dataset: imagenet\nsource: {folder}\nout: {tmp_path}/x.beton\n")
    done = ffprep("convert", config, change)
    assert done.exit_code == 2
    assert change.partition("=")[2] in done.stderr or "sauce" in done.stderr
    assert not list(tmp_path.glob("x.beton*"))


# -- processes -------------------------------------------------------------------------------------------------------


def test_help_answers_without_heavy_imports() -> None:
    code = (
        "import sys\nfrom ffprep.cli import main\n"
        "for words in ([], ['convert'], ['convert', 'imagenet'], ['info']):\n"
        "    try: main([*words, '--help'])\n    except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'numba', 'numpy', 'PIL', 'datasets', 'pyarrow', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "imagenet" in done.stdout


def test_closed_pipe_is_no_traceback(folder: Path, tmp_path: Path) -> None:
    assert convert(folder, tmp_path / "x.beton").exit_code == 0
    process = launched("info", tmp_path / "x.beton", "--json")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()


WAITING = """
import os
from ffprep.sources.reading import file_sets
read = file_sets.read_whole_files
def waiting(paths, *limits):
    if any(path.endswith({name!r}) for path in paths):
        os.write({ready}, b"!")
        os.read({go}, 1)
    return read(paths, *limits)
file_sets.read_whole_files = waiting
"""
"""A program's first lines, which let it say that it reaches an image, and wait, before it reads it."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_interrupted_conversion_is_resumed_to_the_same_bytes(folder: Path, tmp_path: Path, number: int) -> None:
    """The converter waits where it reads an image, so the signal finds it in the middle."""
    assert convert(folder, tmp_path / "whole.beton").exit_code == 0
    image = sorted((folder / "train").glob("*/*"))[40]
    out = tmp_path / "x.beton"
    ignoring = (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if number == signal.SIGTERM else None
    (reached, ready), (go, gone) = os.pipe(), os.pipe()
    process = launched(
        *("convert", "imagenet", "--source", folder, "--out", out, "--workers", 1),
        first=WAITING.format(name=image.name, ready=ready, go=go),
        preexec_fn=ignoring,  # a background job ignores SIGINT
        pass_fds=(ready, go),
    )
    os.close(ready)
    os.close(go)
    with os.fdopen(reached, "rb") as reached_file, os.fdopen(gone, "wb"):
        assert reached_file.read(1) == b"!"  # nothing comes from a program that ended before
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()
    _, errors = process.communicate()
    assert not out.exists()
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert "interrupted after" in errors and "the same command goes on" in errors
        assert "Traceback" not in errors
    done = convert(folder, out, "--resume")
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == (tmp_path / "whole.beton").read_bytes()
    assert not list(tmp_path.glob("x.beton.*"))


@pytest.mark.parametrize("config", sorted((Path(__file__).parents[2] / "configs").glob("imagenet*.yaml")), ids=str)
def test_configurations_that_come_along_are_valid(
    folder: Path, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder / "train", folder / "val")
    monkeypatch.chdir(tmp_path)
    done = ffprep("convert", config, f"source={folder}", "quiet=true", "limit=5")
    assert done.exit_code == 0, done.output
    assert len(list(tmp_path.glob("*.beton"))) == 2

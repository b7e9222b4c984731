"""``ffprep preview``: which samples the page shows, and how."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ffprep.cli import main


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    """150 photographs of six classes."""
    place = tmp_path_factory.mktemp("preview")
    for path in (demo_data / "imagenet" / "train").rglob("*.JPEG"):
        for number in range(25):
            target = place / "photos" / path.parent.name / f"{number:02}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    done = run("convert", "imagenet", "--source", place / "photos", "--out", place / "x.beton", "--quiet")
    assert done.exit_code == 0, done.output
    return place / "x.beton"


def names(page: Path) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page.read_text())


def pictures(page: Path) -> list[Image.Image]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page.read_text())
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in found]


def test_random_samples_are_those_of_the_seed(file: Path, tmp_path: Path) -> None:
    shown = []
    for number, seed in enumerate((3, 3, 4)):
        page = tmp_path / f"{number}.html"
        assert run("preview", file, "--count", 20, "--random", seed, "--out", page).exit_code == 0
        shown.append(names(page))
    assert shown[0] == shown[1] != shown[2] and len(set(shown[0])) == 20
    assert run("preview", file, "--random", 1, "--sample", 1, "--out", tmp_path / "x.html").exit_code == 2


def test_pictures_say_what_they_show(file: Path, tmp_path: Path) -> None:
    assert run("preview", file, "--sample", 30, "--out", tmp_path / "p.html").exit_code == 0
    page = (tmp_path / "p.html").read_text()
    (alt,) = re.findall(r'alt="([^"]*)"', page)
    assert alt.startswith("image of ") and "label 1 (n02419796" in alt
    assert '<html lang="en">' in page and "prefers-color-scheme: dark" in page and "max-width: 600px" in page
    assert 'name="viewport"' in page


def test_many_pictures_are_thumbnails(file: Path, tmp_path: Path) -> None:
    few, many = tmp_path / "few.html", tmp_path / "many.html"
    assert run("preview", file, "--count", 6, "--out", few).exit_code == 0
    assert run("preview", file, "--count", 150, "--out", many).exit_code == 0
    assert run("preview", file, "--count", 6, "--side", 32, "--out", tmp_path / "small.html").exit_code == 0
    assert len(pictures(many)) == 150 and {max(one.size) for one in pictures(many)} == {256}
    assert {max(one.size) for one in pictures(tmp_path / "small.html")} == {32}
    assert many.stat().st_size / 150 * 2000 < 30e6

"""``ffprep preview``: which samples the page shows, and how."""

from __future__ import annotations

import base64
import io
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ffprep.beton.writing.writer import Writer
from ffprep.cli import main
from ffprep.fields import RGBImageField
from ffprep.fields.dense import MaskField, VariableArrayField
from ffprep.inspect.pages.originals import Originals

if TYPE_CHECKING:
    from ffprep.text.tokens.vocabulary import Vocabulary


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


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as image:
        return image.size


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


def test_originals_lie_beside_the_page(file: Path, tmp_path: Path, demo_data: Path) -> None:
    page, folder = tmp_path / "p.html", tmp_path / "p_files"
    done = run("preview", file, "--count", 6, "--side", 32, "--out", page)
    assert "6 samples, the originals in" in done.output, done.output
    links = re.findall(r'<a class="open" href="([^"]+)"', page.read_text())
    assert len(links) == 6 and all(size_of(tmp_path / link)[0] > 32 for link in links)
    assert run("preview", file, "--count", 6, "--side", 32, "--out", page).exit_code == 0
    (folder / "letter.txt").write_text("to grandmother")
    done = run("preview", file, "--count", 3, "--side", 32, "--out", page, "--overwrite")
    assert done.exit_code == 2 and "p_files: has letter.txt" in done.output
    assert len(list(folder.iterdir())) == 8 and sorted(one.name for one in tmp_path.iterdir()) == ["p.html", "p_files"]
    (folder / "letter.txt").unlink()
    assert run("preview", file, "--count", 3, "--side", 32, "--out", page, "--overwrite").exit_code == 0
    assert len(list(folder.iterdir())) == 4


def test_a_folder_of_other_things_is_left_alone(file: Path, tmp_path: Path) -> None:
    (tmp_path / "p_files").mkdir()
    done = run("preview", file, "--side", 32, "--out", tmp_path / "p.html")
    assert done.exit_code == 2 and "p_files: is there already" in done.output and not (tmp_path / "p.html").exists()
    assert run("preview", file, "--side", 32, "--no-originals", "--out", tmp_path / "p.html").exit_code == 0


def test_contact_sheets_and_figures(file: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert run("preview", file, "--count", 6, "--png", sheet).exit_code == 0
    with Image.open(sheet) as picture:
        assert picture.format == "PNG" and picture.width > 3 * 192
    page = tmp_path / "crops.html"
    for what, pictures in (("crops", 2 * 2 * 25), ("trivialaugment", 4 * 2), ("imagenet_val", 2)):
        words = ["--sample", 0, "--sample", 30, "--show", what, "--out", page, "--overwrite"]
        assert run("preview", file, *words).exit_code == 0
        assert page.read_text().count("<img") == pictures and "<article" not in page.read_text()
    assert run("preview", file, "--scale", 0.5, 0.1, "--png", sheet).exit_code == 2
    assert run("preview", file, "--png", tmp_path / "x.gif").exit_code == 2


def test_classes_in_words(file: Path, tmp_path: Path) -> None:
    names = tmp_path / "LOC_synset_mapping.txt"
    names.write_text("n02419796 antelope & <co>\n")
    assert run("preview", file, "--sample", 30, "--words", names, "--out", tmp_path / "p.html").exit_code == 0
    assert "1 (n02419796) antelope &amp; &lt;co&gt;</dd>" in (tmp_path / "p.html").read_text()
    names.write_text("n02419796\n")
    done = run("preview", file, "--words", names, "--out", tmp_path / "q.html")
    assert done.exit_code == 2 and "LOC_synset_mapping.txt, line 1: has one word" in done.output


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    """A grey picture with a mask and two boxes; the mask of the second sample has another size."""
    fields = {"image": RGBImageField("raw"), "mask": MaskField(), "boxes": VariableArrayField("float32", (4,))}
    with Writer(tmp_path / "dense.beton", fields, 2) as writer:
        for number in range(2):
            mask = np.zeros((60, 80 + number), np.uint8)
            mask[:, 40:] = 3
            values = (np.full((60, 80, 3), 128, np.uint8), mask, [[5, 5, 30, 30], [np.nan, 1e30, -1e30, 9]])
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])
    return tmp_path / "dense.beton"


def test_masks_and_boxes_are_drawn(dense: Path, tmp_path: Path) -> None:
    assert run("preview", dense, "--no-originals", "--out", tmp_path / "p.html").exit_code == 0
    page = (tmp_path / "p.html").read_text()
    with_mask, without = (np.asarray(one.convert("RGB"), int) for one in pictures(tmp_path / "p.html"))
    assert np.ptp(with_mask[50, 60]) > 60 and np.ptp(without[50, 60]) < 10
    assert all(np.ptp(one[5, 20]) > 60 for one in (with_mask, without))  # the upper side of the first box
    assert page.count("the mask has 81 x 60 pixels, its image 80 x 60") == 1
    assert run("preview", dense, "--boxes", "xywh", "--no-originals", "--out", tmp_path / "q.html").exit_code == 0
    (other, _) = (np.asarray(one.convert("RGB"), int) for one in pictures(tmp_path / "q.html"))
    assert (other != with_mask).any()


def test_blocks_show_where_documents_end(vocabulary: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for number in range(4):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"Text number {number}.")
    words = ["--source", tmp_path / "texts", "--block", 12, "--out", tmp_path / "x.beton", "--quiet"]
    done = run("convert", "openwebtext", *words)
    assert done.exit_code == 0, done.output
    assert run("preview", tmp_path / "x.beton", "--out", tmp_path / "p.html").exit_code == 0
    found = re.findall(r'<span class="document">(.*?)</span>', (tmp_path / "p.html").read_text())
    assert found[:2] == ["Text number 0.&lt;/s&gt;", "Text number 1.&lt;/s&gt;"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("place", ["a card", "the folder", "the page"])
def test_nothing_is_left_of_a_preview_that_was_stopped(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, place: str
) -> None:
    """The signal comes after some cards, after the folder of originals is made, or before the page has its name."""
    words = ("preview", file, "--side", 32, "--count", 5, "--out", tmp_path / "p.html")
    assert run(*words, "--random", 1).exit_code == 0

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    before = contents()
    owner, name, when = {
        "a card": (Originals, "take", 3),
        "the folder": (Path, "mkdir", 1),
        "the page": (Path, "replace", 1),
    }[place]
    real, calls = getattr(owner, name), []

    def stopped(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        if place == "the folder":
            real(*arguments, **options)
        if len(calls) == when:
            signal.raise_signal(number)
        return None if place == "the folder" else real(*arguments, **options)

    monkeypatch.setattr(owner, name, stopped)
    done = run(*words, "--overwrite")
    monkeypatch.undo()
    assert done.exit_code == 130 and done.output == "ffprep: interrupted\n", done.output
    assert contents() == before and sorted(one.name for one in tmp_path.iterdir()) == ["p.html", "p_files"]

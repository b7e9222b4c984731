"""The page of ``ffprep preview`` in a browser: it complains of nothing, filters, enlarges, and fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import BROWSER, Chromium
from click.testing import CliRunner
from PIL import Image

from ffprep.beton.writing.writer import Writer
from ffprep.cli import main
from ffprep.fields import BytesField, IntField, RGBImageField

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no browser: apt-get install chromium")
EVIL = '</script><script>alert(1)</script><img src="https://example.org/x.png" onerror="alert(2)">'
COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of three classes, with captions, one of which is hostile."""
    folder = tmp_path_factory.mktemp("browser")
    fields = {"image": RGBImageField("jpg"), "label": IntField(), "caption": BytesField()}
    manifest = {"source": {"dataset": "made", "classes": [*COLOURS[:2], f"blue {EVIL}"]}}
    with Writer(folder / "x.beton", fields, 12, manifest=manifest) as writer:
        for number in range(12):
            picture = Image.new("RGB", (300 + number, 200), COLOURS[number % 3])
            caption = EVIL if number == 5 else f"a plain {COLOURS[number % 3]} wall, number {number}"
            values = (picture, number % 3, caption.encode())
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])
    words = ["preview", str(folder / "x.beton"), "--out", str(folder / "x.html")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return folder / "x.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


SHOWN = "document.querySelectorAll('article:not([hidden])').length"


def test_nothing_is_loaded_and_nothing_complains(browser: Chromium, page: Path) -> None:
    browser.open(page)
    assert browser.complaints == [] and browser.requests == [page.as_uri()]
    pictures = "Array.from(document.querySelectorAll('article img'))"
    waited = f"Promise.all({pictures}.map((image) => {{ image.loading = 'eager'; return image.decode(); }}))"
    browser.run(f"{waited}.then(() => 0)")
    assert browser.run(f"{pictures}.map((image) => image.naturalWidth)") == list(range(300, 312))
    assert browser.run(f"{pictures}.every((image) => image.alt.startsWith('image of sample '))")


def test_search_and_class_filter(browser: Chromium, page: Path) -> None:
    browser.open(page)
    assert browser.run(SHOWN) == 12
    browser.press("/")
    browser.type("WALL blue")  # sample 5, of the same class, has another caption
    assert browser.run("document.getElementById('count').textContent") == "3 of 12 shown"
    assert browser.run(SHOWN) == 3
    browser.run("search.value = ''; search.dispatchEvent(new Event('input'))")
    browser.run("kind.selectedIndex = 1; kind.dispatchEvent(new Event('change'))")
    assert browser.run("kind.value") == "0 (red)" and browser.run(SHOWN) == 4
    browser.run("kind.selectedIndex = 3; kind.dispatchEvent(new Event('change'))")
    assert browser.run(SHOWN) == 4 and browser.run(f"kind.value.includes({EVIL!r})")
    assert browser.complaints == []


def test_sizes_are_searched_for(browser: Chromium, page: Path) -> None:
    browser.open(page)
    for words, shown in (("width>308", 3), ("width<302 red", 1), ("height>200", 0), ("height<201", 12), ("width>", 0)):
        browser.run(f"search.value = {words!r}; search.dispatchEvent(new Event('input'))")
        assert browser.run(SHOWN) == shown, words


def test_keys_lead_through_the_samples(browser: Chromium, page: Path) -> None:
    browser.open(page)
    for key in "jjk":
        browser.press(key)
    assert browser.run("document.activeElement.id") == "s0"
    browser.press("Enter")
    assert browser.run("dialog.open") and browser.run("large.alt.startsWith('image of sample 0')")
    browser.press("ArrowRight")
    assert browser.run("large.alt.startsWith('image of sample 1,')")
    browser.press("Escape")
    assert not browser.run("dialog.open") and browser.complaints == []


def test_a_phone_and_the_night(browser: Chromium, page: Path) -> None:
    browser.open(page, width=390)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.run("document.querySelector('article').getBoundingClientRect().width") > 300
    light = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.open(page, dark=True)
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)" != light

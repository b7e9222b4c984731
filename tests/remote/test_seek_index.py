"""Seek indexes beside remote files: found, fetched, checked, and counted against the cache's limit."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from range_server import Served
from small_pages import SIZE as PAGE

from ffprep import Loader, OrderOption
from ffprep.beton import Reader, Writer
from ffprep.beton.seek_index import find_index
from ffprep.convert.indexing import make_index
from ffprep.errors import IndexMismatchError, OptionError
from ffprep.fields import IntField, RGBImageField
from ffprep.fields.decoders import SimpleRGBImageDecoder
from ffprep.remote import folder_at
from ffprep.remote.places import with_suffix
from ffprep.transforms import ToTensor

COUNT, SIDE = 24, 160


def photographs(path: Path, jpeg: str = "keep", seed: int = 0) -> Path:
    fields = {"image": RGBImageField(jpeg=jpeg), "label": IntField()}
    draw = np.random.default_rng(seed)
    with Writer(path, fields, COUNT) as writer:
        for k in range(COUNT):
            data = io.BytesIO()
            pixels = draw.integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8)
            Image.fromarray(pixels).resize((SIDE, SIDE)).save(data, "JPEG", quality=97, subsampling=0)
            writer.write([fields["image"].encode(data.getvalue()), fields["label"].encode(k)])
    return path


@pytest.fixture
def images(tmp_path: Path, server: Served) -> tuple[Path, str]:
    """A local file with its index, and the URL of both."""
    path = photographs(tmp_path / "images.beton")
    make_index(path, workers=1)
    url = server.put("/b/images.beton", path.read_bytes(), "one")
    server.put("/b/images.beton.index", (tmp_path / "images.beton.index").read_bytes(), "index")
    return path, url


def epoch(place: Any, **more: Any) -> list[bytes]:
    pipelines = {"image": [SimpleRGBImageDecoder(), ToTensor()]}
    options = {"order": OrderOption.QUASI_RANDOM, "seed": 2, "num_workers": 1, "pipelines": pipelines, **more}
    with Loader(place, 6, **options) as loader:
        assert loader.reader.seek_index is None or len(loader.reader.seek_index) == COUNT
        found = [np.asarray(images).tobytes() for images, _ in loader]
        assert (loader.reader.seek_index is not None) == more.get("expected", True)
    return found


def test_the_index_beside_a_remote_file_is_used(images: tuple[Path, str], server: Served, cache: Path) -> None:
    path, url = images
    with Reader(path) as local, Reader(url) as remote:
        wanted, found = find_index(local, None), find_index(remote, None)
        assert wanted is not None and found is not None and found.source is not None
        assert found.data.tobytes() == wanted.data.tobytes() and found.path.is_relative_to(cache)
        assert np.count_nonzero(found.bytes_each) == COUNT
    del found
    assert epoch(url) == epoch(path)
    asked = [one for one in server.ranges if one[0].endswith(".index")]
    assert len(asked) == -(-(path.with_name("images.beton.index").stat().st_size) // PAGE), "each page of it once"
    with Reader(url) as remote:
        assert find_index(remote, False) is None
        assert find_index(remote, f"{url}.index") is not None
    with Reader(url) as remote:
        remote.seek_index = find_index(remote, True)
        source = remote.seek_index.source
        users = source.path.parent / "users"
        assert len(list(users.iterdir())) == 1
    assert not list(users.iterdir()), "closing the file lets go of its index"


def test_no_index_there(tmp_path: Path, server: Served, cache: Path) -> None:
    path = photographs(tmp_path / "images.beton")
    url = server.put("/b/images.beton", path.read_bytes(), "one")
    with warnings.catch_warnings(), Reader(url) as remote:
        warnings.simplefilter("error")
        assert find_index(remote, None) is None
        assert server.asked[-1] == "/b/images.beton.index"
        with pytest.raises(OptionError, match=r"http://.*images.beton.index: .*no such object.*; `ffprep index` makes"):
            find_index(remote, True)


def test_files_that_have_restart_markers_are_not_asked_for_one(tmp_path: Path, server: Served, cache: Path) -> None:
    path = photographs(tmp_path / "images.beton", "seekable")
    with Reader(server.put("/b/images.beton", path.read_bytes(), "one")) as remote:
        assert find_index(remote, None) is None
    assert set(server.asked) == {"/b/images.beton"}


def test_an_index_of_another_file_is_not_used(images: tuple[Path, str], server: Served, cache: Path) -> None:
    path, _ = images
    other = photographs(path.with_name("other.beton"), seed=1)
    url = server.put("/b/other.beton", other.read_bytes(), "other")
    server.put("/b/other.beton.index", path.with_name("images.beton.index").read_bytes(), "index")
    with Reader(url) as remote:
        with pytest.warns(RuntimeWarning, match=r"without an index: http://.*other.beton.index: it was not made from"):
            assert find_index(remote, None) is None
        with pytest.raises(IndexMismatchError, match="it was not made from"):
            find_index(remote, True)


def test_an_index_that_came_wrong_is_fetched_again(images: tuple[Path, str], server: Served, cache: Path) -> None:
    path, url = images
    wrong = []

    def fault(request: Any) -> str | None:
        if request.path.endswith(".index") and request.start == 0 and not wrong:
            wrong.append(request)
            return "wrong"
        return None

    server.fault = fault
    with Reader(url) as remote:
        found = find_index(remote, None)
        assert wrong and found is not None
        assert found.data.tobytes() == path.with_name("images.beton.index").read_bytes()


def test_the_pages_of_an_index_count(images: tuple[Path, str], cache: Path) -> None:
    _, url = images
    folder = folder_at(None)
    folder.set_limit(2 * PAGE)
    with Loader(url, 6, order=OrderOption.RANDOM, num_workers=1, batches_ahead=1, pipelines={"label": None}) as loader:
        index = loader.reader.seek_index.source.size
        tables = sum(loader.reader.source.kept().values()) + index
        with pytest.raises(OptionError, match=rf"^http:.*and the tables {tables:,}, and the cache's limit is"):
            list(loader)


def test_names() -> None:
    assert with_suffix("s3://b/a?c.beton", ".index") == "s3://b/a?c.beton.index"
    assert with_suffix("https://h/a.beton?token=1", ".index") == "https://h/a.beton.index?token=1"

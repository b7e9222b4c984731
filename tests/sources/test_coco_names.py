"""Which image an annotation means: by its path, by its name where that is unique, by COCO's number."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.errors import SourceError
from ffprep.fields import RGBImageField
from ffprep.sources.caption_source import CaptionSource
from ffprep.sources.coco import open_coco
from ffprep.sources.reading.image_names import ImageNames, Wanted
from ffprep.text.tokens.vocabulary import Vocabulary


@pytest.fixture
def options(vocabulary: Vocabulary) -> dict[str, Any]:
    return {"image": RGBImageField(jpeg="keep"), "vocabulary": vocabulary, "text": True}


def put(root: Path, *names: str) -> Path:
    """Files that hold their own paths."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def annotate(path: Path, images: list[dict[str, Any]]) -> Path:
    """Annotations whose captions are the image's ids."""
    content = {
        "images": [{"id": number, **image} for number, image in enumerate(images)],
        "annotations": [{"image_id": number, "caption": str(number)} for number in range(len(images))],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def karpathy(path: Path, images: list[dict[str, Any]], dataset: str = "coco") -> Path:
    listed = [{"split": "train", "imgid": n, "sentences": [{"raw": str(n)}], **image} for n, image in enumerate(images)]
    path.write_text(json.dumps({"images": listed, "dataset": dataset}))
    return path


def pairs(source: CaptionSource) -> dict[str, str]:
    """The image's content by the text of its caption."""
    samples = [source.sample(number) for number in range(len(source))]
    return {values[4].decode(): values[0].value.decode() for values in samples}


TWO = ["cam1/0001.jpg", "cam2/0001.jpg"]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("below", ["", "set/images/"])
def test_the_path_decides(tmp_path: Path, options: dict[str, Any], zipped: bool, below: str) -> None:
    place = put(tmp_path / "photos", *(below + name for name in TWO))
    if zipped:
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
            for name in TWO:
                archive.write(place / (below + name), below + name)
        place = tmp_path / "photos.zip"
    listed = [{"file_name": TWO[1]}, {"file_name": "./" + TWO[0]}, {"file_name": "C:\\data\\cam1\\0001.jpg"}]
    source = open_coco([place], annotate(tmp_path / "a.json", listed), **options)
    assert pairs(source) == {"0": below + TWO[1], "1": below + TWO[0], "2": below + TWO[0]}
    assert source.notes == []


def test_folders_given_one_by_one_have_names_too(tmp_path: Path, options: dict[str, Any]) -> None:
    put(tmp_path, "train/0001.jpg", "val/0001.jpg")
    with zipfile.ZipFile(tmp_path / "test.zip", "w") as archive:
        archive.writestr("0001.jpg", "test/0001.jpg")
    listed = [{"file_name": f"{split}/0001.jpg"} for split in ("val", "test", "train")]
    places = [tmp_path / "train", tmp_path / "test.zip", tmp_path / "val"]
    source = open_coco(places, annotate(tmp_path / "a.json", listed), **options)
    assert pairs(source) == {str(n): image["file_name"] for n, image in enumerate(listed)}


def test_a_base_name_that_fits_two_images_is_an_error(tmp_path: Path, options: dict[str, Any]) -> None:
    put(tmp_path / "x", "train/0001.jpg", "val/0001.jpg", "val/0002.jpg")
    for name in ("0001.jpg", "/data/0001.jpg"):
        bare = annotate(tmp_path / "a.json", [{"file_name": "0002.jpg"}, {"file_name": name}])
        if "/" in name:  # a folder is given that is not there
            assert open_coco([tmp_path / "x"], bare, **options).facts["images_missing"] == 1
            continue
        with pytest.raises(SourceError, match=r"0001.jpg may be .*train/0001.jpg or .*val/0001.jpg"):
            open_coco([tmp_path / "x"], bare, **options)
    hinted = [{"file_name": "0001.jpg", "coco_url": f"http://images.org/{s}/0001.jpg"} for s in ("val", "train")]
    source = open_coco([tmp_path / "x"], annotate(tmp_path / "a.json", hinted), **options)
    assert pairs(source) == {"0": "val/0001.jpg", "1": "train/0001.jpg"}
    put(tmp_path / "x", "0001.jpg")
    source = open_coco([tmp_path / "x"], annotate(tmp_path / "a.json", [{"file_name": "0001.jpg"}]), **options)
    assert pairs(source) == {"0": "0001.jpg"}  # the path within --images, as it is written


def test_an_image_that_is_absent_does_not_become_another(tmp_path: Path, options: dict[str, Any]) -> None:
    put(tmp_path / "x", "cam1/0001.jpg", "cam3/0002.jpg")
    listed = annotate(tmp_path / "a.json", [{"file_name": name} for name in TWO])
    source = open_coco([tmp_path / "x"], listed, **options)
    assert pairs(source) == {"0": "cam1/0001.jpg"}
    assert source.facts["images_missing"] == 1
    assert (source.facts["images_not_annotated"], source.facts["images_elsewhere_not_annotated"]) == (0, 1)
    put(tmp_path / "flat", "0001.jpg")
    with pytest.raises(SourceError, match=r"cam1/0001.jpg and cam2/0001.jpg are annotated, but only .*flat/0001.jpg"):
        open_coco([tmp_path / "flat"], listed, **options)


def test_a_name_alone_is_enough_where_it_is_unique(tmp_path: Path, options: dict[str, Any]) -> None:
    put(tmp_path / "x", "all/a.jpg", "all/b.jpg", "all/nai\u0308ve.jpg")
    names = ["one/a.jpg", "b.jpg", "na\u00efve.jpg"]
    source = open_coco([tmp_path / "x"], annotate(tmp_path / "a.json", [{"file_name": n} for n in names]), **options)
    assert pairs(source) == {"0": "all/a.jpg", "1": "all/b.jpg", "2": "all/nai\u0308ve.jpg"}
    assert len(source.notes) == 1
    assert source.notes[0].startswith("1 images found by name alone")


def test_one_file_found_twice_is_one(tmp_path: Path, options: dict[str, Any]) -> None:
    put(tmp_path / "x", "val/0001.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    listed = annotate(tmp_path / "a.json", [{"file_name": "0001.jpg"}])
    for places in ([tmp_path / "x", tmp_path / "x" / "val"], [tmp_path / "x", tmp_path / "link"]):
        assert pairs(open_coco(places, listed, **options)) == {"0": "val/0001.jpg"}


def test_karpathys_folder_and_name(tmp_path: Path, options: dict[str, Any]) -> None:
    put(tmp_path / "x", *TWO)
    images = [{"filepath": f"cam{n}", "filename": "0001.jpg", "cocoid": n} for n in (2, 1)]
    source = open_coco([tmp_path / "x"], karpathy(tmp_path / "k.json", images), "karpathy:train", **options)
    assert pairs(source) == {"0": TWO[1], "1": TWO[0]}
    images[0]["split"] = "val"  # the images of other splits keep their files
    (tmp_path / "x" / "cam1" / "0001.jpg").unlink()
    with pytest.raises(SourceError, match=r"none of its 1 images"):
        open_coco([tmp_path / "x"], karpathy(tmp_path / "k.json", images), "karpathy:train", **options)


def test_images_of_2017_and_of_2014_are_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    old = {"filepath": "val2014", "filename": "COCO_val2014_000000000042.jpg", "cocoid": 42}
    put(tmp_path / "new", "train2017/000000000042.jpg", "train2017/000000000043.jpg")
    put(tmp_path / "old", "val2014/COCO_val2014_000000000042.jpg")
    annotations = karpathy(tmp_path / "k.json", [old])
    for places, found in ((["new"], "train2017/000000000042.jpg"), (["new", "old"], "val2014/" + old["filename"])):
        source = open_coco([tmp_path / p for p in places], annotations, "karpathy:train", **options)
        assert pairs(source) == {"0": found}
        assert source.sample(0)[3] == 42
        assert source.notes == []
    official = annotate(tmp_path / "captions_train2017.json", [{"file_name": "000000000042.jpg"}])
    assert pairs(open_coco([tmp_path / "old"], official, **options)) == {"0": "val2014/" + old["filename"]}


@pytest.mark.parametrize("name", ["1000092795.jpg", "2513260012_03d33305cf.jpg"])
def test_karpathys_files_without_ids_of_coco(tmp_path: Path, options: dict[str, Any], name: str) -> None:
    put(tmp_path / "x", name, "z.jpg")
    images: list[dict[str, Any]] = [{"filename": "z.jpg", "split": "test"}, {"filename": name}]
    annotations = karpathy(tmp_path / "dataset_flickr30k.json", images, "flickr30k")
    source = open_coco([tmp_path / "x"], annotations, "karpathy:train", **options)
    assert pairs(source) == {"1": name}
    assert source.sample(0)[3] == 1  # its imgid, whatever is chosen
    assert source.facts["images_not_annotated"] == 0  # the test image is annotated, in another split


PATH = st.lists(st.sampled_from(["a", "b", "train", "val"]), max_size=3).map("/".join)


@given(st.sets(PATH, min_size=1, max_size=6), st.sampled_from(["", "a/", "x/y/"]))
def test_every_image_is_found_by_its_whole_path(
    tmp_path_factory: pytest.TempPathFactory, folders: set[str], below: str
) -> None:
    """Whatever else has its name: the path within --images is enough, and is never taken for another."""
    root = tmp_path_factory.mktemp("names")
    names = sorted(f"{below}{folder}/0.jpg".replace("//", "/").strip("/") for folder in folders)
    put(root, *names)
    found = ImageNames([root])
    places = found.match([Wanted(name) for name in names], [True] * len(names))
    taken = found.take([place for place in places if place is not None])
    assert [taken.read(number).decode() for number in range(len(names))] == names

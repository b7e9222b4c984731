"""Image-text data sets: every caption with its own image, nothing dropped without being counted."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tar_files import write_tar

from ffprep.beton.reader import Reader
from ffprep.convert.conversion import convert
from ffprep.errors import OptionError, SourceError
from ffprep.fields import RGBImageField
from ffprep.sources.base import shuffled
from ffprep.sources.caption_shards import open_caption_shards
from ffprep.sources.caption_source import CaptionSource
from ffprep.sources.coco import open_coco
from ffprep.sources.reading.zipped import ZipFiles
from ffprep.sources.visual_genome import open_visual_genome
from ffprep.text.documents.json_arrays import json_items
from ffprep.text.tokens.vocabulary import Vocabulary

PHOTOS = 6


@pytest.fixture
def options(vocabulary: Vocabulary) -> dict[str, Any]:
    return {"image": RGBImageField(jpeg="keep"), "vocabulary": vocabulary}


@pytest.fixture
def photos(demo_data: Path) -> Path:
    return demo_data / "coco" / "val2014"


def photo_bytes(photos: Path) -> dict[int, bytes]:
    return {int(p.stem[-6:]): p.read_bytes() for p in photos.glob("*.jpg")}


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def official(path: Path, photos: Path, captions: list[tuple[int, str]], images: list[int] | None = None) -> Path:
    ids = list(range(1, PHOTOS + 1)) if images is None else images
    content = {
        "images": [{"id": i, "file_name": f"COCO_val2014_{i:012d}.jpg"} for i in ids],
        "annotations": [{"id": n, "image_id": i, "caption": c} for n, (i, c) in enumerate(captions)],
    }
    return write_json(path, content)


def check_pairs(source: CaptionSource, path: Path, expected: list[tuple[int, str]], images: dict[int, bytes]) -> None:
    """The file holds these pairs in this order, every caption with its image's bytes, each image stored once."""
    convert(source, path)
    with Reader(path) as reader:
        assert reader.num_samples == len(expected)
        offsets = reader.extents("image")[0]
        for i, (image_id, text) in enumerate(expected):
            assert reader.value("image_id", i) == image_id
            assert reader.value("image", i) == images[image_id]
            length = int(reader.value("length", i))
            row = reader.value("tokens", i)
            assert source.vocabulary.decode(row[:length]) == text
            assert row[0] == source.vocabulary.bos
            assert row[length - 1] == source.vocabulary.eos
            assert (row[length:] == source.vocabulary.pad).all()
        assert len(np.unique(offsets)) == len({image_id for image_id, _ in expected})


HARD = ["A cat .", "  two\nlines ", "naïve café 日本 🙂", "<|endoftext|> </s>", "x" * 10, "A cat .", "seventh"]


def test_pairs_share_images_and_keep_text(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    captions = [(1 + n % 3, text) for n, text in enumerate(HARD)]
    source = open_coco([photos], official(tmp_path / "captions.json", photos, captions), text=True, **options)
    expected = sorted(((i, c.strip()) for i, c in captions), key=lambda pair: pair[0])
    images = photo_bytes(photos)
    check_pairs(source, tmp_path / "pairs.beton", expected, images)
    with Reader(tmp_path / "pairs.beton") as reader:
        assert [reader.value("caption", i).decode() for i in range(len(expected))] == [c for _, c in expected]
    facts = source.manifest()
    assert (facts["images"], facts["captions"]) == (3, 7)
    assert (facts["images_without_caption"], facts["images_missing"], facts["images_not_annotated"]) == (3, 0, 0)


@pytest.mark.parametrize("form", ["pairs", "grouped"])
def test_captions_encoded_together_are_those_encoded_alone(
    photos: Path, tmp_path: Path, options: dict[str, Any], form: str
) -> None:
    captions = [(1 + n % 3, text) for n, text in enumerate(HARD * 2)]
    annotations = official(tmp_path / "captions.json", photos, captions)
    source = open_coco([photos], annotations, form=form, text=True, length=9, **options)
    alone = [source.sample(index) for index in range(len(source))]

    def comparable(values: tuple[Any, ...]) -> list[Any]:
        return [getattr(values[0], "value", values[0]), values[1].tokens.tolist(), values[1].cut, *map(str, values[2:])]

    mixed = shuffled(source, 3)
    mixed.announce(range(len(source)))
    together = {int(mixed.indices[i]): comparable(mixed.sample(i)) for i in range(len(source))}
    assert [together[i] for i in range(len(source))] == [comparable(values) for values in alone]


def test_threads_share_what_was_announced(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    annotations = official(tmp_path / "captions.json", photos, [(1 + n % 3, text) for n, text in enumerate(HARD * 2)])
    source = open_coco([photos], annotations, length=9, **options)
    alone = [source.sample(index)[1].tokens.tolist() for index in range(len(source))]
    asked: list[int] = []
    encode = source._encode

    def counted(indices: Any) -> Any:
        asked.extend(indices)
        return encode(indices)

    source._encode = counted  # type: ignore[method-assign]
    source.announce(range(len(source)))
    source.announce(range(4))  # as the units of the same samples do
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda index: source.sample(index)[1].tokens.tolist(), range(len(source))))
    assert found == alone
    assert asked == list(range(len(source)))
    convert(source, tmp_path / "all.beton", workers=2)
    assert asked == list(range(len(source))) * 2
    assert not source._announced


def test_a_bad_caption_among_good_ones_is_the_only_one_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    members: list[tuple[str, bytes]] = []
    for number in range(4):
        facts = {"caption": "fine" if number != 2 else 7}
        members += ((f"{number}.jpg", b"jpeg"), (f"{number}.json", json.dumps(facts).encode()))
    write_tar(tmp_path / "0.tar", members)
    source = open_caption_shards("cc3m", [tmp_path], **options)
    source.announce(range(4))
    with pytest.raises(SourceError, match="holds no caption"):
        source.sample(2)
    assert [source.sample(i)[3] for i in (0, 1, 3)] == [0, 1, 3]


def test_grouped_has_a_row_for_each_caption(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    captions = [(2, "one"), (1, "two"), (2, "three"), (2, "four")]
    annotations = official(tmp_path / "captions.json", photos, captions)
    source = open_coco([photos], annotations, form="grouped", text=True, length=8, **options)
    convert(source, tmp_path / "grouped.beton")
    with Reader(tmp_path / "grouped.beton") as reader:
        assert reader.num_samples == 2
        assert reader.value("captions", 1) == 3
        assert reader.value("tokens", 1).shape == (3, 8)
        assert reader.value("length", 0)[1:].tolist() == [0, 0]
        assert reader.value("caption", 1) == ["one", "three", "four"]
        decoded = [
            source.vocabulary.decode(row[:n])
            for row, n in zip(reader.value("tokens", 1), reader.value("length", 1), strict=True)
        ]
        assert decoded == ["one", "three", "four"]
    fewer = open_coco([photos], annotations, form="grouped", most=2, length=8, **options)
    assert fewer.manifest()["captions_left_out"] == 1
    assert fewer.fields["tokens"].shape == (2, 8)  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [1, 3])
def test_same_bytes_for_any_number_of_workers(
    photos: Path, tmp_path: Path, options: dict[str, Any], workers: int
) -> None:
    captions = [(1 + n % PHOTOS, f"caption {n}") for n in range(70)]
    annotations = official(tmp_path / "captions.json", photos, captions)
    convert(open_coco([photos], annotations, **options), tmp_path / "one.beton", workers=1)
    convert(open_coco([photos], annotations, **options), tmp_path / "many.beton", workers=workers + 1)
    assert (tmp_path / "one.beton").read_bytes() == (tmp_path / "many.beton").read_bytes()


def test_what_does_not_match_is_counted(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    annotations = official(
        tmp_path / "captions.json", photos, [(1, "a"), (9, "b"), (99, "c"), (2, "  ")], images=[1, 2, 3, 9]
    )
    source = open_coco([photos], annotations, **options)
    facts = source.manifest()
    assert facts["images_missing"] == 1
    assert facts["images_without_caption"] == 1
    assert facts["captions_without_image"] == 1
    assert facts["images_not_annotated"] == 3
    assert facts["captions_empty"] == 1
    check_pairs(source, tmp_path / "x.beton", [(1, "a"), (2, "")], photo_bytes(photos))


def test_too_long_captions_are_cut_and_reported(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    annotations = official(tmp_path / "captions.json", photos, [(1, "word " * 50), (2, "short")])
    report = convert(open_coco([photos], annotations, length=16, **options), tmp_path / "x.beton")
    truncated = [entry for entry in report.facts()["outcomes"] if entry["action"] == "truncated"]
    assert [(entry["field"], entry["count"]) for entry in truncated] == [("tokens", 1)]
    with Reader(tmp_path / "x.beton") as reader:
        assert [int(reader.value("length", i)) for i in (0, 1)] == [16, 3]


def test_karpathy_split(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    splits = ["train", "restval", "val", "test", "train", "restval"]
    images = [
        {
            "filepath": "val2014",
            "filename": f"COCO_val2014_{i:012d}.jpg",
            "cocoid": i,
            "split": split,
            "sentences": [{"raw": f"image {i} caption {n}"} for n in range(5)],
        }
        for i, split in enumerate(splits, 1)
    ]
    annotations = write_json(tmp_path / "dataset_coco.json", {"images": images, "dataset": "coco"})
    source = open_coco([photos], annotations, "karpathy:train+restval", **options)
    expected = [(i, f"image {i} caption {n}") for i in (1, 2, 5, 6) for n in range(5)]
    check_pairs(source, tmp_path / "x.beton", expected, photo_bytes(photos))
    with pytest.raises(OptionError, match="train, restval"):
        open_coco([photos], annotations, "karpathy:training", **options)
    with pytest.raises(SourceError, match="--split karpathy"):
        open_coco([photos], annotations, None, **options)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_archives(photos: Path, tmp_path: Path, options: dict[str, Any], compression: int) -> None:
    with zipfile.ZipFile(tmp_path / "val2014.zip", "w", compression) as archive:
        for photo in sorted(photos.glob("*.jpg")):
            archive.write(photo, f"val2014/{photo.name}")
    captions = [(i, f"photo {i}") for i in range(1, PHOTOS + 1)]
    plain = official(tmp_path / "captions_val2014.json", photos, captions)
    with zipfile.ZipFile(tmp_path / "annotations.zip", "w") as archive:
        archive.write(plain, "annotations/captions_val2014.json")
        archive.writestr("annotations/captions_train2014.json", "{}")
        archive.writestr("annotations/instances_val2014.json", "{}")
    source = open_coco([tmp_path / "val2014.zip"], tmp_path / "annotations.zip", "val2014", **options)
    check_pairs(source, tmp_path / "x.beton", captions, photo_bytes(photos))
    with pytest.raises(SourceError, match="--split"):
        open_coco([tmp_path / "val2014.zip"], tmp_path / "annotations.zip", None, **options)


def test_damaged_zip(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(SourceError, match="zip archive"):
        ZipFiles(tmp_path / "x.zip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2", "not valid JSON"),
        ("[]", "no COCO annotations"),
        ('{"images": [{}], "annotations": []}', "image 0"),
        ('{"images": [], "annotations": [{"image_id": 1}]}', "annotation 0"),
        ('{"images": [], "annotations": 3}', "no list"),
        ('{"images": [], "annotations": []}', "none of its 0 images"),
        ("[" * 100000, "not valid JSON"),
    ],
)
def test_broken_annotations(photos: Path, tmp_path: Path, options: dict[str, Any], content: str, message: str) -> None:
    (tmp_path / "captions.json").write_text(content)
    with pytest.raises(SourceError, match=message) as error:
        open_coco([photos], tmp_path / "captions.json", **options)
    assert "captions.json" in str(error.value)


def test_missing_images(tmp_path: Path, photos: Path, options: dict[str, Any]) -> None:
    annotations = official(tmp_path / "captions.json", photos, [(1, "a")])
    with pytest.raises(SourceError, match="neither a folder"):
        open_coco([tmp_path / "nothing"], annotations, **options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no images"):
        open_coco([tmp_path / "empty"], annotations, **options)


def test_visual_genome(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    images = photo_bytes(photos)
    for folder, ids in (("VG_100K", (1, 2, 3)), ("VG_100K_2", (4, 5))):
        (tmp_path / folder).mkdir()
        for i in ids:
            (tmp_path / folder / f"{i}.jpg").write_bytes(images[i])
    regions = {i: [f"region {n} of {i}" for n in range(i % 4)] for i in (1, 2, 3, 4, 5, 6)}
    content = [
        {"id": i, "regions": [{"region_id": n, "phrase": p, "x": 0} for n, p in enumerate(r)]}
        for i, r in regions.items()
    ]
    annotations = write_json(tmp_path / "region_descriptions.json", content)
    source = open_visual_genome([tmp_path / "VG_100K", tmp_path / "VG_100K_2"], annotations, **options)
    expected = [(i, phrase) for i in (1, 2, 3, 5) for phrase in regions[i]]
    check_pairs(source, tmp_path / "x.beton", expected, images)
    facts = source.manifest()
    assert (facts["images_missing"], facts["images_without_caption"], facts["images_not_annotated"]) == (1, 1, 0)
    write_json(annotations, [{"id": 1}])
    with pytest.raises(SourceError, match="image 0"):
        open_visual_genome([tmp_path / "VG_100K"], annotations, **options)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(JSON, max_size=8), st.sampled_from([None, 1, 2]), st.integers(1, 9))
def test_json_items_equal_json(items: list[Any], indent: int | None, chunk: int) -> None:
    class Drop(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            return super().read(min(chunk, size or chunk))

    assert list(json_items(Drop(json.dumps(items, indent=indent)), "x")) == items


@pytest.mark.parametrize("text", ["", "{}", "[1, 2", '[{"a": ', "[1 2 x]"])
def test_json_items_of_damaged_text(text: str) -> None:
    with pytest.raises(SourceError, match="x:"):
        list(json_items(io.StringIO(text), "x"))


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def test_webdataset_shards(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    images = photo_bytes(photos)
    shards = tmp_path / "shards"
    shards.mkdir()
    for shard, ids in enumerate(((1, 2, 3), (4, 5, 6))):
        with tarfile.open(shards / f"{shard:05d}.tar", "w") as tar:
            for i in ids:
                if i == 3:  # the caption in the .json only, which comes first
                    add(tar, f"./{i:09d}.json", json.dumps({"caption": " caption 3 ", "url": "http://x/3"}).encode())
                    add(tar, f"./{i:09d}.jpg", images[i])
                elif i == 5:  # no caption
                    add(tar, f"{i:09d}.jpg", images[i])
                elif i == 6:  # no image
                    add(tar, f"{i:09d}.txt", b"x")
                else:
                    add(tar, f"{i:09d}.jpg", images[i])
                    add(tar, f"{i:09d}.txt", f"caption {i}\n".encode())
                    add(tar, f"{i:09d}.json", json.dumps({"url": f"http://x/{i}", "sha256": f"{i:064d}"}).encode())
    source = open_caption_shards("cc3m", [shards], **options)
    check_pairs(source, tmp_path / "x.beton", [(i, f"caption {i}") for i in (1, 2, 3, 4)], images)
    facts = source.manifest()
    assert (facts["images_without_caption"], facts["captions_without_image"]) == (1, 1)
    record = list(source.record())
    assert [(line["id"], line["url"]) for line in record] == [(i, f"http://x/{i}") for i in (1, 2, 3, 4)]
    assert record[0]["sha256"] == f"{1:064d}"


def test_shards_without_pairs(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match=r"no \.tar"):
        open_caption_shards("cc3m", [tmp_path], **options)
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        add(tar, "1.txt", b"x")
    with pytest.raises(SourceError, match="no image with a caption"):
        open_caption_shards("cc3m", [tmp_path], **options)
    (tmp_path / "1.tar").write_bytes(b"garbage" * 200)
    with pytest.raises(SourceError, match=r"1\.tar"):
        open_caption_shards("cc3m", [tmp_path], **options)

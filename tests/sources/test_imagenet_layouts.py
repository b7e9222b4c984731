"""ImageNet opened from every layout gives the same samples: names, bytes, labels, order."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ffprep.errors import OptionError, SourceError
from ffprep.fields import RGBImageField
from ffprep.sources.base import Source, shuffled
from ffprep.sources.imagenet import open_imagenet
from ffprep.sources.reading.synsets import Hints

FIELD = RGBImageField(jpeg="keep")


def opened(path: object, split: str = "train", **hints: Path) -> Source:
    return open_imagenet(str(path), split, image=FIELD, hints=Hints(**hints))


def samples(source: Source) -> list[tuple[str, bytes, int]]:
    return [(source.sample_name(i), *source.sample(i)) for i in range(len(source))]


def test_folder_has_torchvisions_order_and_labels(layouts: Any) -> None:
    source = opened(layouts.folder())
    assert samples(source) == layouts.expected()
    assert source.manifest()["classes"] == layouts.classes
    assert list(source.fields) == ["image", "label"]


def test_folder_of_classes_itself_is_a_source(layouts: Any) -> None:
    assert samples(opened(layouts.folder() / "train")) == layouts.expected()


def test_nested_folders_follow_symbolic_links_in_torchvisions_order(layouts: Any) -> None:
    train = layouts.folder() / "train"
    first = train / layouts.classes[0]
    names = sorted(path.name for path in first.iterdir())
    (first / "deeper").mkdir()
    (first / names[0]).rename(first / "deeper" / names[0])
    (train.parent / "elsewhere").mkdir()
    (first / names[1]).rename(train.parent / "elsewhere" / names[1])
    (first / "aside").symlink_to(train.parent / "elsewhere")
    found = [name for name, _, label in samples(opened(train.parent)) if label == 0]
    base = layouts.classes[0]
    assert found == [f"{base}/{names[2]}", f"{base}/aside/{names[1]}", f"{base}/deeper/{names[0]}"]


def test_files_that_are_no_pictures_are_passed_over(layouts: Any) -> None:
    folder = layouts.folder()
    (folder / "train" / layouts.classes[0] / "notes.txt").write_text("x")
    (folder / "train" / "readme.md").write_text("x")
    assert len(opened(folder)) == len(layouts.images)


def test_empty_class_folder_is_refused(layouts: Any) -> None:
    folder = layouts.folder()
    (folder / "train" / "n99999999").mkdir()
    with pytest.raises(SourceError, match=r"n99999999: no images in this class folder"):
        opened(folder)


def test_missing_split_names_what_is_there(layouts: Any) -> None:
    with pytest.raises(SourceError, match="no folder for the split 'val', only train"):
        opened(layouts.folder(), "val")


def test_nothing_usable_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no class folders with images"):
        opened(tmp_path)
    with pytest.raises(SourceError, match="no such file or folder"):
        opened(tmp_path / "absent")
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(SourceError, match=r"a folder, a \.tar or a \.parquet file"):
        opened(tmp_path / "data.zip")
    with pytest.raises(OptionError, match="'train' or 'val'"):
        opened(tmp_path, "test")


@pytest.mark.parametrize("inside", [False, True])
def test_training_archive_of_archives(layouts: Any, inside: bool) -> None:
    path = layouts.train_tar()
    source = opened(layouts.root if inside else path)
    assert samples(source) == layouts.expected()
    assert source.manifest()["classes"] == layouts.classes
    assert source.manifest()["layout"] == "tar"


def test_class_archives_in_a_folder(layouts: Any) -> None:
    assert samples(opened(layouts.class_tars())) == layouts.expected()


def test_archive_of_class_folders(layouts: Any) -> None:
    folder = layouts.folder()
    with tarfile.open(layouts.root / "own.tar", "w") as tar:
        tar.add(folder / "train", "./train")
    assert samples(opened(layouts.root / "own.tar")) == layouts.expected()


def test_archive_is_read_from_threads_and_in_another_process(layouts: Any) -> None:
    source = opened(layouts.train_tar())
    copy = pickle.loads(pickle.dumps(source))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(copy.sample, range(len(copy))))
    assert together == [(data, label) for _, data, label in layouts.expected()]


def test_truncated_training_archive_is_refused(layouts: Any) -> None:
    path = layouts.train_tar()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match="is the file complete"):
        opened(path)


def test_archive_shortened_while_it_is_read_names_the_file(layouts: Any) -> None:
    path = layouts.train_tar()
    source = opened(path)
    with path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(SourceError, match=r"ILSVRC2012_img_train\.tar: has 0 of the "):
        source.sample(0)


# -- validation ------------------------------------------------------------------------------------------------------


def kit(layouts: Any, form: str) -> Path:
    """The development kit as folder, archive, meta.mat or list of WordNet ids."""
    if form == "list":
        path = layouts.root / "kit_order.txt"
        path.write_text("".join(f"{wnid} a thing\n" for wnid in layouts.kit))
        return path
    folder = layouts.root / "kit" / "ILSVRC2012_devkit_t12"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "meta.mat").write_bytes(layouts.meta())
    (folder / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text(layouts.ground_truth())
    if form == "folder":
        return folder
    if form == "meta":
        return folder / "data" / "meta.mat"
    with tarfile.open(layouts.root / "kit" / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        tar.add(folder, folder.name)
    return layouts.root / "kit" / "ILSVRC2012_devkit_t12.tar.gz"


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_validation_archive_with_the_development_kit(layouts: Any, form: str) -> None:
    source = opened(layouts.val_tar(), "val", devkit=kit(layouts, form))
    assert samples(source) == layouts.expected_val()
    assert source.manifest()["classes"] == layouts.classes


@pytest.mark.parametrize("form", ["meta", "list"])
def test_ground_truth_with_the_kits_numbering(layouts: Any, form: str) -> None:
    truth = layouts.root / "truth.txt"
    truth.write_text(layouts.ground_truth())
    source = opened(layouts.val_tar(), "val", labels=truth, devkit=kit(layouts, form))
    assert samples(source) == layouts.expected_val()


def test_kit_beside_the_archive_is_found(layouts: Any) -> None:
    folder = kit(layouts, "folder").parent
    layouts.val_tar(folder)
    assert samples(opened(folder, "val")) == layouts.expected_val()


def test_ground_truth_without_the_numbering_says_what_is_missing(layouts: Any) -> None:
    truth = layouts.root / "ILSVRC2012_validation_ground_truth.txt"
    truth.write_text(layouts.ground_truth())
    with pytest.raises(SourceError, match="give the kit with --devkit"):
        opened(layouts.val_tar(), "val")


def test_labels_that_are_nowhere_say_what_to_give(layouts: Any) -> None:
    with pytest.raises(SourceError, match="no list of labels was found"):
        opened(layouts.val_tar(), "val")


def listing(layouts: Any, form: str) -> tuple[str, str]:
    """File name and contents of a list of labels."""
    rows = [(name, wnid) for name, (wnid, _) in layouts.val.items()]
    if form == "wnids":
        return "imagenet_2012_validation_synset_labels.txt", "".join(f"{wnid}\n" for _, wnid in rows)
    if form == "kaggle":
        text = "ImageId,PredictionString\n"
        return "LOC_val_solution.csv", text + "".join(f"{n[:-5]},{w} 1 2 3 4 {w} 5 6 7 8 \n" for n, w in reversed(rows))
    separator = {"names": " ", "tabs": "\t", "commas": ","}[form]
    return "val_labels.txt", "\r\n".join(f"{name}{separator}{wnid}" for name, wnid in rows)


@pytest.mark.parametrize("form", ["wnids", "kaggle", "names", "tabs", "commas"])
@pytest.mark.parametrize("layout", ["tar", "flat folder", "kaggle folder"])
def test_validation_with_lists_of_ids(layouts: Any, form: str, layout: str) -> None:
    top = layouts.root / "data"
    top.mkdir()
    if layout == "tar":
        layouts.val_tar(top)
    elif layout == "flat folder":
        layouts.val_folder(top / "val")
    else:
        layouts.val_folder(top / "ILSVRC" / "Data" / "CLS-LOC" / "val")
    name, text = listing(layouts, form)
    (top / name).write_text(text)
    source = opened(top, "val")
    assert samples(source) == layouts.expected_val()
    assert source.manifest()["classes"] == layouts.classes


def test_caffes_numbers_are_places_among_the_sorted_ids(layouts: Any) -> None:
    top = layouts.root / "data"
    layouts.val_folder(top / "val")
    (top / "val.txt").write_text(
        "".join(f"{name} {layouts.classes.index(wnid)}\n" for name, (wnid, _) in layouts.val.items())
    )
    source = opened(top, "val")
    expected = [(name.split("/")[1], data, label) for name, data, label in layouts.expected_val()]
    assert samples(source) == expected
    assert "classes" not in source.manifest()


def test_some_images_of_a_complete_list_keep_their_numbers(layouts: Any) -> None:
    top = layouts.root / "data"
    layouts.val_folder(top / "val")
    for name in list(layouts.val)[:9]:
        (top / "val" / name).unlink()
    name, text = listing(layouts, "wnids")
    (top / name).write_text(text)
    kept = set(list(layouts.val)[9:])
    assert samples(opened(top, "val")) == [row for row in layouts.expected_val() if row[0].split("/")[1] in kept]


def test_classes_may_be_listed_when_only_some_occur(layouts: Any) -> None:
    top = layouts.root / "data"
    layouts.val_folder(top / "val")
    name, text = listing(layouts, "names")
    (top / name).write_text(text)
    more = sorted([*layouts.classes, "n00000007"])
    (top / "all.txt").write_text("\n".join(f"{wnid} words" for wnid in more))
    source = opened(top, "val", classes=top / "all.txt")
    assert [label for _, _, label in samples(source)] == [label + 1 for _, _, label in layouts.expected_val()]
    (top / "all.txt").write_text("\n".join(layouts.classes[1:]))
    with pytest.raises(SourceError, match="which the list of classes lacks"):
        opened(top, "val", classes=top / "all.txt")


def test_image_the_list_lacks_is_named(layouts: Any) -> None:
    top = layouts.root / "data"
    layouts.val_folder(top / "val")
    name, text = listing(layouts, "names")
    (top / name).write_text("\n".join(text.splitlines()[1:]))
    with pytest.raises(SourceError, match=r"does not list ILSVRC2012_val_00000001\.JPEG"):
        opened(top, "val")
    (top / name).unlink()
    name, text = listing(layouts, "wnids")
    (top / name).write_text("\n".join(text.splitlines()[:3]))
    with pytest.raises(SourceError, match=r"has 3 lines and none for ILSVRC2012_val_00000004\.JPEG"):
        opened(top, "val")


def test_validation_in_class_folders(layouts: Any) -> None:
    for name, (wnid, data) in layouts.val.items():
        target = layouts.root / "data" / "val" / wnid / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    assert samples(opened(layouts.root / "data", "val")) == layouts.expected_val()


# -- selections ------------------------------------------------------------------------------------------------------


def test_shuffled_source_is_a_permutation_that_the_seed_gives(layouts: Any) -> None:
    source = opened(layouts.folder())
    first, again, other = (samples(shuffled(source, seed)) for seed in (3, 3, 4))
    assert first == again != other
    assert sorted(first) == sorted(layouts.expected()) != first
    assert shuffled(source, 3).manifest()["shuffle_seed"] == 3


def test_file_removed_since_the_listing_is_an_error_of_that_sample(layouts: Any) -> None:
    folder = layouts.folder()
    source = opened(folder)
    shutil.rmtree(folder / "train" / layouts.classes[0])
    with pytest.raises(OSError, match="No such file"):
        source.sample(0)
    assert source.sample(len(source) - 1)[1] == 5


def test_large_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "train" / "a").mkdir(parents=True)
    data = io.BytesIO(bytes(range(256)) * 20_000).getvalue()
    (tmp_path / "train" / "a" / "x.png").write_bytes(data)
    assert opened(tmp_path).sample(0) == (data, 0)

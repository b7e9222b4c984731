"""ImageNet from parquet files, save_to_disk folders and hub-like data sets: bytes untouched, rows in order."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep.errors import OptionError, SourceError
from ffprep.fields import RGBImageField
from ffprep.sources.base import Source, shuffled
from ffprep.sources.imagenet import open_imagenet

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FIELD = RGBImageField(jpeg="keep")
WORDS = ["tench", "goldfish", "great white shark"]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def rows(demo_data: Path) -> list[tuple[str, bytes, int]]:
    files = sorted((demo_data / "imagenet").rglob("*.JPEG"))
    return [(f"{n}_{path.name}", path.read_bytes() + bytes([n]), (n * 2) % 3) for n, path in enumerate(files * 3)]


def table(rows: list[tuple[str, bytes, int]], names: list[str] | None = None, image: str = "image") -> Any:
    features: dict[str, Any] = {image: {"_type": "Image"}}
    features["label"] = {"_type": "ClassLabel", "names": names} if names else {"_type": "Value", "dtype": "int64"}
    schema = pa.schema(
        [(image, IMAGE), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    cells = [{"bytes": data, "path": name} for name, data, _ in rows]
    return pa.Table.from_arrays([pa.array(cells, IMAGE), pa.array([label for *_, label in rows])], schema=schema)


def write(path: Path, *args: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(*args, **options), path, row_group_size=4)
    return path


def opened(path: Path, split: str = "train", **options: Any) -> Source:
    return open_imagenet(str(path), split, image=FIELD, **options)


def samples(source: Source) -> list[tuple[str, bytes, int]]:
    return [(source.sample_name(i), *source.sample(i)) for i in range(len(source))]


def test_hub_layout_of_parquet_files(tmp_path: Path, rows: Any) -> None:
    write(tmp_path / "data" / "train-00001-of-00002.parquet", rows[10:], WORDS)
    write(tmp_path / "data" / "train-00000-of-00002.parquet", rows[:10], WORDS)
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", rows[:5], WORDS)
    source = opened(tmp_path)
    assert samples(source) == rows
    assert source.manifest()["classes"] == WORDS
    assert samples(opened(tmp_path, "val")) == rows[:5]
    with ThreadPoolExecutor(4) as pool:
        copy = pickle.loads(pickle.dumps(source))
        assert list(pool.map(copy.sample, range(len(rows)))) == [row[1:] for row in rows]


def test_single_file_needs_no_name(tmp_path: Path, rows: Any) -> None:
    assert samples(opened(write(tmp_path / "part.parquet", rows))) == rows
    with pytest.raises(SourceError, match="none of its 1 parquet files is named for the split 'train'"):
        opened(tmp_path)


def test_many_row_groups_pass_through_a_small_cache(tmp_path: Path, rows: Any) -> None:
    from ffprep.sources.labelled_tables import ParquetTable

    made = ParquetTable([write(tmp_path / "train.parquet", rows)], keep=1)
    order = np.random.default_rng(0).permutation(len(rows))
    assert [made.read(int(i)) for i in order] == [rows[i][1] for i in order]
    assert [made.name(int(i)) for i in order] == [rows[i][0] for i in order]


def test_wordnet_ids_out_of_order_are_renumbered(tmp_path: Path, rows: Any) -> None:
    names = ["n00000009", "n00000001", "n00000005"]
    source = opened(write(tmp_path / "train.parquet", rows, names))
    assert source.manifest()["classes"] == sorted(names)
    assert [label for *_, label in samples(source)] == [[2, 0, 1][label] for *_, label in rows]


def test_label_beyond_the_names_is_refused(tmp_path: Path, rows: Any) -> None:
    with pytest.raises(SourceError, match="label 2 with 2 class names"):
        opened(write(tmp_path / "train.parquet", rows, WORDS[:2]))


def test_columns_go_by_declared_type_or_by_name(tmp_path: Path, rows: Any) -> None:
    assert samples(opened(write(tmp_path / "a.parquet", rows, image="photograph"))) == rows
    plain = pa.table({"jpg": [data for _, data, _ in rows], "cls": pa.array([label for *_, label in rows], pa.int8())})
    pq.write_table(plain, tmp_path / "b.parquet")
    source = opened(tmp_path / "b.parquet")
    assert samples(source) == [(f"train[{i}]", data, label) for i, (_, data, label) in enumerate(rows)]
    pq.write_table(plain.rename_columns(["foo", "cls"]), tmp_path / "c.parquet")
    with pytest.raises(SourceError, match="no column of images among foo, cls"):
        opened(tmp_path / "c.parquet")


def test_labels_must_be_numbers_and_complete(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"x"], "label": ["cat"]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="the label column holds string"):
        opened(tmp_path / "a.parquet")
    pq.write_table(pa.table({"image": [b"x", b"y"], "label": [1, None]}), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match="1 rows have no label"):
        opened(tmp_path / "b.parquet")


def test_image_by_path_is_read_and_missing_ones_are_named(tmp_path: Path, rows: Any) -> None:
    (tmp_path / "one.JPEG").write_bytes(rows[0][1])
    cells = [{"bytes": None, "path": "one.JPEG"}, {"bytes": None, "path": "two.JPEG"}, {"bytes": None, "path": None}]
    pq.write_table(pa.table({"image": pa.array(cells, IMAGE), "label": [0, 1, 2]}), tmp_path / "train.parquet")
    source = opened(tmp_path / "train.parquet")
    assert source.sample(0) == (rows[0][1], 0)
    with pytest.raises(SourceError, match=r"train\.parquet, row 1: its image file .*two\.JPEG cannot be read"):
        source.sample(1)
    with pytest.raises(SourceError, match="row 2: holds no encoded image"):
        source.sample(2)


@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
def test_damaged_parquet_is_one_typed_error(tmp_path: Path, rows: Any, damage: str) -> None:
    path = write(tmp_path / "train.parquet", rows)
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello" * 100, "cut": data[: len(data) // 2]}[damage])
    with pytest.raises(SourceError, match=r"train\.parquet: cannot be read as parquet"):
        opened(path)


def test_row_group_damaged_after_opening_is_one_typed_error(tmp_path: Path, rows: Any) -> None:
    path = write(tmp_path / "train.parquet", rows)
    source = opened(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(SourceError, match="cannot be read as parquet"):
        source.sample(0)


# -- datasets --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, rows: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out like a data set on the hub, its card stating the sizes; caches below tmp_path."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write(tmp_path / "hub" / "data" / "train-00000-of-00002.parquet", rows[:9], WORDS)
    write(tmp_path / "hub" / "data" / "train-00001-of-00002.parquet", rows[9:], WORDS)
    write(tmp_path / "hub" / "data" / "validation-00000-of-00001.parquet", rows[:4], WORDS)
    names = "".join(f"          '{i}': {name}\n" for i, name in enumerate(WORDS))
    (tmp_path / "hub" / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - name: image\n    dtype: image\n  - name: label\n    dtype:\n"
        f"      class_label:\n        names:\n{names}"
        f"  splits:\n  - name: train\n    num_bytes: 1\n    num_examples: {len(rows)}\n"
        "  - name: validation\n    num_bytes: 1\n    num_examples: 4\n---\n"
    )
    return tmp_path / "hub"


def test_saved_data_set(hub: Path, tmp_path: Path, rows: Any) -> None:
    import datasets

    loaded = datasets.load_dataset(str(hub))
    loaded.save_to_disk(tmp_path / "saved")
    assert samples(opened(tmp_path / "saved")) == rows
    assert samples(opened(tmp_path / "saved", "val")) == rows[:4]
    loaded["train"].shuffle(seed=1).save_to_disk(tmp_path / "one")
    assert sorted(samples(opened(tmp_path / "one"))) == sorted(rows)
    del loaded["validation"]
    loaded.save_to_disk(tmp_path / "half")
    with pytest.raises(SourceError, match="has the splits train, none of them 'val'"):
        opened(tmp_path / "half", "val")
    (tmp_path / "half" / "train" / "state.json").write_text("{}")
    with pytest.raises(SourceError, match="cannot be read as a saved data set"):
        opened(tmp_path / "half")


def test_hub_data_set_whole_and_streamed(hub: Path, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    for name in ("load_dataset", "load_dataset_builder"):
        real = getattr(datasets, name)
        monkeypatch.setattr(datasets, name, lambda _, real=real, **options: real(str(hub), **options))
    source = open_imagenet("owner/name", "train", image=FIELD)
    assert samples(source) == rows
    assert source.manifest()["classes"] == WORDS
    assert source.manifest()["origin"] == "owner/name"
    stream = open_imagenet("owner/name", "train", image=FIELD, streaming=True)
    assert len(stream) == len(rows)
    for start in (0, 1, 9, 13):
        assert [(name, *values) for name, values in stream.stream(start)] == rows[start:]
    with pytest.raises(OptionError, match="come in their own order only"):
        shuffled(stream, 1)
    with pytest.raises(SourceError, match="read in order only"):
        stream.sample(0)


def test_unreachable_hub_data_set_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the Hub\nlong explanation")

    monkeypatch.setattr(datasets, "load_dataset_builder", offline)
    with pytest.raises(SourceError, match="neither a file or folder here nor .*Couldn't reach the Hub$"):
        open_imagenet("nobody/nothing", "train", image=FIELD)


@pytest.mark.parametrize("binary", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("plain", [False, True])
def test_images_of_several_rows_are_those_of_single_ones(tmp_path: Path, rows: Any, plain: bool, binary: Any) -> None:
    """Rows of several groups, of which some have no image in the table."""
    cells: list[Any] = [data for _, data, _ in rows]
    cells[5] = None
    kind = binary
    if not plain:
        kind = pa.struct([("bytes", binary), ("path", pa.string())])
        cells = [{"bytes": cell, "path": "x.jpg"} for cell in cells]
        cells[7] = None
    written = pa.table({"image": pa.array(cells, kind), "label": pa.array([label for *_, label in rows])})
    pq.write_table(written, tmp_path / "train.parquet", row_group_size=4)
    source: Any = opened(tmp_path / "train.parquet")
    for indices in (range(len(rows)), [9, 2, 2, 5]):
        found = source.read_together(indices, 1 << 24)
        for index, read in zip(indices, found, strict=True):
            if index == 5 or (index == 7 and not plain):
                assert read is None
            else:
                image, label = read.values
                assert (bytes(image), label) == source.sample(index) and image.format == "B"

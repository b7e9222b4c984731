"""What a loader offers beyond its batches: samples' numbers, names of classes, epochs without end."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import Loader, OrderOption
from ffprep.beton.writing.writer import Writer
from ffprep.errors import OptionError
from ffprep.fields import IntField, MaskField, VariableArrayField
from ffprep.transforms import ToTensor


def write(path: Path, classes: list[str] | None, count: int = 7, **fields: Any) -> Path:
    """A file of numbers, with names of classes in its manifest, and with a value of each field in every sample."""
    columns = {"label": IntField(), **{name: field for name, (field, _) in fields.items()}}
    with Writer(path, columns, count, manifest=None if classes is None else {"source": {"classes": classes}}) as writer:
        for i in range(count):
            values = [i % 3, *(value for _, value in fields.values())]
            writer.write([field.encode(value) for field, value in zip(columns.values(), values, strict=True)])
    return path


def test_the_index_is_an_output(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.beton", None), write(tmp_path / "b.beton", None, 5)]
    with Loader(paths, 5, order=OrderOption.RANDOM, seed=1, with_index=True, drop_last=False, pad="mask") as loader:
        seen = [(label, index, mask) for label, index, mask in loader]
    index = torch.cat([index[mask] for _, index, mask in seen])
    assert index.dtype == torch.int64 and sorted(index.tolist()) == list(range(12))
    for label, numbers, _ in seen:
        assert label[:, 0].tolist() == [(n if n < 7 else n - 7) % 3 for n in numbers.tolist()]


def test_a_filter_keeps_the_index_and_may_go_by_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.beton", None)
    with Loader(path, 2, with_index=True, pipelines={"label": [ToTensor()]}) as loader:
        with loader.filter("label", lambda row: int(row[0]) == 1) as ones:
            assert [index.tolist() for _, index in ones] == [[1, 4]]
        with loader.filter("index", lambda number: int(number) > 3) as late:
            assert late.indices.tolist() == [4, 5, 6]


def test_another_index_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.beton", None, index=(IntField(), 3))
    with pytest.raises(OptionError, match="there is one already"):
        Loader(path, 2, with_index=True)


def test_classes(tmp_path: Path) -> None:
    named = write(tmp_path / "a.beton", ["cat", "dog", "eel"])
    plain, other = write(tmp_path / "b.beton", None), write(tmp_path / "c.beton", ["dog", "cat"])
    with Loader([plain, named], 2) as loader:
        assert loader.classes == ["cat", "dog", "eel"]
        assert loader.class_to_idx == {"cat": 0, "dog": 1, "eel": 2}
    with Loader(plain, 2) as loader:
        assert loader.classes is None and loader.class_to_idx is None
    with Loader([named, other], 2) as loader, pytest.raises(OptionError, match="differently"):
        _ = loader.classes


def test_forever_is_one_epoch_after_the_other_and_resumes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.beton", None)
    options: dict[str, Any] = {"order": OrderOption.RANDOM, "seed": 3, "with_index": True}
    with Loader(path, 2, **options) as loader:
        wanted = [index.tolist() for _ in range(3) for _, index in loader]
    with Loader(path, 2, **options) as loader:
        got = [index.tolist() for _, index in itertools.islice(loader.forever(), 4)]
        state = loader.state_dict()
    with Loader(path, 2, **options) as loader:
        loader.load_state_dict(state)
        got += [index.tolist() for _, index in itertools.islice(loader.forever(), 5)]
    assert got == wanted


def test_files_with_other_masks_or_arrays_are_refused(tmp_path: Path) -> None:
    for name, first, second in (
        ("mask", MaskField(), MaskField("uint16")),
        ("boxes", VariableArrayField("float32", 4), VariableArrayField("float64", 4)),
    ):
        value = np.zeros((4, 4), np.uint8)
        paths = [
            write(tmp_path / f"{name}{k}.beton", None, **{name: (field, value)})
            for k, field in enumerate((first, second))
        ]
        with pytest.raises(OptionError, match=f"field '{name}' is"):
            Loader(paths, 2)

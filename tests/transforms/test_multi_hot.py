"""Targets of several classes, from lists of labels to mixed targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_pictures import info

from ffprep import Loader
from ffprep.beton.writing.writer import Writer
from ffprep.errors import OptionError
from ffprep.fields import VariableArrayField
from ffprep.fields.decoders import Ragged
from ffprep.fields.dense import VariableArrayDecoder
from ffprep.transforms import Mixup, MultiHot, ToTensor

LISTS = st.lists(st.lists(st.integers(0, 6), max_size=5), min_size=1, max_size=8)


@given(lists=LISTS, tensor=st.booleans(), ragged=st.booleans())
def test_one_for_each_label(lists: list[list[int]], tensor: bool, ragged: bool) -> None:
    data = np.full((len(lists), 5), 3 if ragged else -1, np.int64)
    for row, labels in zip(data, lists, strict=True):
        row[: len(labels)] = labels
    given_: Any = torch.from_numpy(data) if tensor else data
    lengths: Any = np.array([len(labels) for labels in lists])
    lengths = torch.from_numpy(lengths) if tensor else lengths
    out = MultiHot(7).apply(Ragged(given_, lengths) if ragged else given_, info(len(lists)))
    assert isinstance(out, torch.Tensor) == tensor and np.asarray(out).dtype == np.float32
    assert [set(np.flatnonzero(row)) for row in np.asarray(out)] == [set(labels) for labels in lists]
    assert set(np.unique(out)) <= {0, 1}


def test_wrong_labels() -> None:
    for rows in (np.array([[1, 7]]), np.array([[0.5]]), np.array([1, 2])):
        with pytest.raises(OptionError, match="MultiHot"):
            MultiHot(7).apply(rows, info(len(rows)))
    with pytest.raises(OptionError, match="has the label -2"):
        MultiHot(7).apply(Ragged(np.array([[-2, 0]]), np.array([1])), info(1))
    with pytest.raises(OptionError):
        MultiHot(0)


def test_from_the_file_to_mixed_targets(tmp_path: Path) -> None:
    lists = [[0, 2], [], [1], [2, 2, 0]]
    field = VariableArrayField("int64")
    with Writer(tmp_path / "a.beton", {"labels": field}, 4) as writer:
        for labels in lists:
            writer.write([field.encode(np.array(labels, np.int64))])
    mix = Mixup(1.0)
    pipeline = [VariableArrayDecoder(), ToTensor(), MultiHot(3)]
    with Loader(tmp_path / "a.beton", 4, 1, pipelines={"labels": pipeline}, seed=3) as loader:
        [(plain,)] = loader
    with Loader(tmp_path / "a.beton", 4, 1, pipelines={"labels": [*pipeline, mix.labels]}, seed=3) as loader:
        [(mixed,)] = loader
    assert plain.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 1]]
    share = float(mixed[1].max())
    assert 0 < share < 1 and torch.allclose(mixed, (1 - share) * plain + share * plain.roll(1, 0))

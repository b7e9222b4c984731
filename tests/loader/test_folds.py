"""Folds and shares of a data set that keep the classes' shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.errors import OptionError
from ffprep.loader.folds import fold_of, k_fold, stratified

LABELS = st.lists(st.integers(-1, 4), min_size=8, max_size=80)


@given(LABELS, st.integers(2, 8), st.integers(0, 99))
def test_folds_are_even_in_all_and_in_each_class(labels: list[int], folds: int, seed: int) -> None:
    found = fold_of(labels, folds, seed)
    for chosen in (np.ones(len(labels), bool), *(np.array(labels) == label for label in set(labels))):
        counts = np.bincount(found[chosen], minlength=folds)
        assert counts.max() - counts.min() <= 1
    parts = [k_fold(labels, folds, k, seed) for k in range(folds)]
    assert sorted(np.concatenate([validation for _, validation in parts])) == list(range(len(labels)))
    for train, validation in parts:
        assert sorted([*train, *validation]) == list(range(len(labels)))


@given(LABELS, st.integers(0, 99), st.data())
def test_shares_keep_the_classes(labels: list[int], seed: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(labels)))
    chosen = stratified(labels, count, seed)
    assert len(set(chosen.tolist())) == count
    for label in set(labels):
        wanted = labels.count(label) * count / len(labels)
        assert abs((np.array(labels)[chosen] == label).sum() - wanted) < len(set(labels))
    if count:
        assert set(stratified(labels, count - 1, seed)) < set(chosen)


def test_seeds_and_mistakes() -> None:
    labels = np.arange(60) % 3
    assert (fold_of(labels, 5, 1) == fold_of(labels, 5, 1)).all() and (
        fold_of(labels, 5, 1) != fold_of(labels, 5, 2)
    ).any()
    counts = np.bincount(labels[stratified(labels, 30)])
    assert counts.tolist() == [10, 10, 10]
    for call in (lambda: fold_of(labels, 1), lambda: fold_of(labels, 61), lambda: k_fold(labels, 5, 5)):
        with pytest.raises(OptionError):
            call()
    with pytest.raises(OptionError, match="there are 60 samples"):
        stratified(labels, 61)


def test_samples_with_several_labels_have_no_class() -> None:
    several = np.zeros((6, 2), np.int64)
    for choose in (lambda: k_fold(several, 2, 0), lambda: stratified(several, 3)):
        with pytest.raises(OptionError, match=r"labels have the shape \[6, 2\]"):
            choose()
    assert np.array_equal(fold_of(np.arange(6)[:, None], 3), fold_of(np.arange(6), 3))
    with pytest.raises(OptionError, match="no more than the 1 samples"):
        fold_of([0], 2)

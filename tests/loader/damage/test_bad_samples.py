"""Samples that cannot be decoded are left out or replaced, within a budget, and said in `errors` and in the state."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep import Loader, OrderOption
from ffprep.beton import Reader, Writer
from ffprep.errors import DecodeError, OptionError
from ffprep.fields import Field, IntField, NDArrayField
from ffprep.fields.decoders import IntDecoder, NDArrayDecoder
from ffprep.loader import ErrorBudget
from ffprep.loader.epoch.failures import MOST_NAMED, Failure, LoaderErrors, as_budget

COUNT = 40
BAD = (3, 4, 11, 25)
PIPELINES = {"array": [NDArrayDecoder()], "label": [IntDecoder()]}


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A file in which the arrays of some samples changed after it was written."""
    fields: dict[str, Field] = {"array": NDArrayField(np.dtype("<i4"), (2,)), "label": IntField()}
    path = tmp_path / "x.beton"
    with Writer(path, fields, COUNT) as writer:
        for n in range(COUNT):
            writer.write([fields["array"].encode(np.array([n, -n], "<i4")), fields["label"].encode(n)], f"n{n}.txt")
    offsets = Reader(path).extents("array")[0]
    with path.open("r+b") as file:
        for sample in BAD:
            file.seek(int(offsets[sample]) + 1)
            file.write(b"\x55")
    return path


def rows(loader: Loader) -> list[list[int]]:
    """The labels of an epoch's batches; arrays and labels of a row must belong together."""
    batches = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for array, label in loader:
            assert array[:, 0].tolist() == (-array[:, 1]).tolist() == label[:, 0].tolist()
            batches.append(label[:, 0].tolist())
    return batches


def make(path: Path, threads: int = 2, **options: Any) -> Loader:
    options = {"on_error": "replace", "order": OrderOption.RANDOM, "seed": 5, **options}
    return Loader(path, 8, threads, pipelines=PIPELINES, **options)


@pytest.mark.parametrize("order", [OrderOption.SEQUENTIAL, OrderOption.RANDOM])
def test_replaced_batches_are_full_and_the_same_for_any_number_of_threads(damaged: Path, order: OrderOption) -> None:
    with make(damaged, 1, order=order) as loader:
        found = rows(loader)
        again = rows(loader)
    assert [len(batch) for batch in found] == [8] * 5
    with make(damaged, 4, order=order, batches_ahead=1) as loader:
        assert rows(loader) == found
    with make(damaged, order=order, on_error="skip", drop_last=False) as loader:
        kept = [label for batch in rows(loader) for label in batch]
    flat = [label for batch in found for label in batch]
    assert [label for label in range(COUNT) if label not in kept] == list(BAD)
    assert not set(flat) & set(BAD) and len(flat) == len(kept) + len(BAD)
    places = iter(flat)
    assert all(label in places for label in kept)  # in the same order
    assert order is OrderOption.SEQUENTIAL or again != found


def test_replacing_goes_on_where_a_state_was_saved(damaged: Path) -> None:
    with make(damaged) as loader:
        whole = rows(loader)
        everything = loader.errors.copy()
    with make(damaged) as loader, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        iterator = iter(loader)
        next(iterator), next(iterator)
        state = json.loads(json.dumps(loader.state_dict()))
        seen = dict(loader.errors.samples)
        iterator.close()
    assert state["errors"]["count"] == len(seen) > 0
    with make(damaged, 3) as loader:
        loader.load_state_dict(state)
        assert loader.errors.samples == seen
        assert rows(loader) == whole[2:]
        assert loader.errors == everything and sorted(everything.samples) == list(BAD)
        assert rows(loader) != whole
        assert (loader.errors.count > everything.count, loader.errors.different) == (True, len(BAD))


def test_a_run_of_bad_samples_goes_on_where_a_state_was_saved(damaged: Path) -> None:
    options = {"indices": [0, 3, 4, 11, 25, 1, 2, 5], "on_error": "skip", "error_budget": ErrorBudget(in_a_row=3)}

    def started() -> Loader:
        return Loader(damaged, 2, 1, pipelines=PIPELINES, **options)

    with started() as loader, pytest.raises(DecodeError, match="4 samples in a row"):
        rows(loader)
    with started() as loader, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert next(iter(loader))[1].tolist() == [[0]]
        state = json.loads(json.dumps(loader.state_dict()))
        assert (loader.errors.in_a_row, state["errors"]["in_a_row"]) == (1, 1)
    with started() as loader:
        loader.load_state_dict(state)
        assert loader.errors.in_a_row == 1
        with pytest.raises(DecodeError, match="4 samples in a row"):
            rows(loader)
    del state["errors"]["in_a_row"]  # of an earlier version
    with started() as loader:
        loader.load_state_dict(state)
        assert rows(loader) == [[1], [2, 5]]
        with pytest.warns(RuntimeWarning, match="sample 3"):
            loader.batch([0, 3])
        assert loader.errors.in_a_row == 0  # single batches are not part of the epoch
        with pytest.raises(DecodeError, match="4 samples in a row"):
            rows(loader)  # the next epoch begins at 0


def test_errors_are_those_of_batches_handed_out(damaged: Path) -> None:
    with make(damaged, order=OrderOption.SEQUENTIAL, on_error="skip") as loader:
        iterator = iter(loader)
        with pytest.warns(RuntimeWarning, match=r"left out: .*x\.beton: sample 3 \(n3\.txt\).*1 more"):
            next(iterator)
        assert sorted(loader.errors.samples) == [3, 4]
        assert "sample 4 (n4.txt), field 'array'" in loader.errors.samples[4]
        iterator.close()
        assert "errors" in loader.state_dict()


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (2, "3 different samples cannot be decoded, and error_budget allows 2"),
        (0.05, "3 of 40 samples cannot be decoded, and error_budget allows 0.05"),
        (ErrorBudget(in_a_row=1), "2 samples in a row cannot be decoded, and error_budget allows 1"),
        (4, ""),
        (0.1, ""),
        (ErrorBudget(4, 0.1, 2), ""),
        (None, ""),
    ],
)
@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_a_budget(damaged: Path, budget: Any, reason: str, on_error: str) -> None:
    with make(damaged, order=OrderOption.SEQUENTIAL, on_error=on_error, error_budget=budget) as loader:
        if reason:
            with pytest.raises(DecodeError, match=reason + r"; the last of them: .*x\.beton: sample"):
                rows(loader)
        else:
            rows(loader)
            rows(loader)  # the same bad samples once more do not count again
            assert loader.errors.count >= 2 * len(BAD) and loader.errors.different == len(BAD)


def test_a_file_of_bad_samples_has_no_replacement(damaged: Path) -> None:
    with (
        make(damaged, indices=[3, 4] * 4) as loader,
        pytest.raises(DecodeError, match="samples in its place cannot be decoded either"),
    ):
        rows(loader)


def test_damaged_names_do_not_hide_a_bad_sample(damaged: Path) -> None:
    block = Reader(damaged).superblock
    assert block is not None
    [section] = [section for section in block.sections if section.name == "names"]
    with damaged.open("r+b") as file:
        file.seek(section.offset + 3)
        file.write(b"\xff\xff")
    with (
        make(damaged, order=OrderOption.SEQUENTIAL, on_error="raise") as loader,
        pytest.raises(DecodeError, match=r"x\.beton: sample 3, field 'array': the value changed"),
    ):
        rows(loader)


def test_arguments_and_states_that_mean_nothing(damaged: Path) -> None:
    for bad in (-1, -0.5, 1.5, ErrorBudget(in_a_row=-1), "many"):
        with pytest.raises(OptionError, match="error_budget"):
            as_budget(bad)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="on_error is 'ignore'"):
        make(damaged, on_error="ignore")
    with make(damaged) as loader:
        state = loader.state_dict()
        assert "errors" not in state
        for errors in ({}, {"count": 1}, 7, {"count": 1, "different": 1, "samples": [3]}):
            with pytest.raises(OptionError, match="errors in the state"):
                loader.load_state_dict({**state, "errors": errors})


def runs(bad: list[list[bool]]) -> int:
    """The longest run of bad samples over batches, one after the other: a slow twin of `LoaderErrors.went`."""
    text = "".join("b" if row else "." for batch in bad for row in batch)
    return max(map(len, text.split(".")))


def test_runs_reach_over_batches() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        batches = [(rng.random(int(rng.integers(1, 6))) < 0.6).tolist() for _ in range(5)]
        errors, longest = LoaderErrors(), 0
        for batch in batches:
            longest = max(longest, errors.went(len(batch), np.flatnonzero(batch).tolist()))
        assert longest == runs(batches), batches


def test_only_so_many_are_named() -> None:
    errors = LoaderErrors()
    for sample in range(MOST_NAMED + 5):
        errors.add(Failure(sample, "bad"))
    assert (errors.count, errors.different, len(errors.samples)) == (MOST_NAMED + 5, MOST_NAMED + 5, MOST_NAMED)
    assert LoaderErrors.from_dict(json.loads(json.dumps(errors.to_dict()))) == errors

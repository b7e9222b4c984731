"""Histograms count every value once, whatever the values are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.inspect.charts import histogram_chart, svg_of
from ffprep.inspect.histograms import BINS, _classes, _numbers, histogram_text

VALUES = st.lists(st.integers(0, 1 << 40), min_size=1, max_size=50)


@given(VALUES, st.sampled_from(["x: bytes", "x"]))
def test_every_value_is_in_a_bin(values: list[int], title: str) -> None:
    one = _numbers(title, np.array(values, np.int64))
    assert sum(one.counts) == len(values) and len(one.counts) == len(one.labels) <= BINS
    assert one.counts[0] >= values.count(min(values))


@given(st.lists(st.integers(-1, 60), min_size=1, max_size=80))
def test_classes_by_name_or_by_how_many(labels: list[int]) -> None:
    one = _classes("classes (label)", np.array(labels, np.int64), ["cat", "dog"])
    distinct = len(set(labels))
    assert sum(one.counts) in (len(labels), distinct)
    if distinct <= 24:
        assert dict(zip(one.labels, one.counts, strict=True)).get("1 (dog)", 0) == labels.count(1)
    assert f"{distinct:,} classes" in one.note


def test_far_values_do_not_flatten_the_rest() -> None:
    one = _numbers("x", np.r_[np.arange(1000) % 100, 10**9])
    assert max(one.counts) < 200 and one.labels[-1].endswith(" and more")


def test_bars_in_the_terminal_and_in_a_picture() -> None:
    one = _numbers("x", np.array([1] * 8 + [2] * 4 + [3]))
    lines = histogram_text(one, width=8).splitlines()
    assert lines[1].split() == ["1", "8", "████████"] and lines[2].split() == ["2", "4", "████"]
    drawn = svg_of([histogram_chart(one)], name="<x>")
    assert drawn.count("<rect") == 4 and 'aria-label="&lt;x&gt;"' in drawn
    assert float(drawn.split('width="')[2].partition('"')[0]) == pytest.approx(380)

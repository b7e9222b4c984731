"""Numbers and shares as the command line takes them, and the order of file names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.errors import OptionError
from ffprep.sources.openwebtext import natural, numbers_of, share_of


@pytest.mark.parametrize(("text", "numbers"), [("0-5", [0, 1, 2, 3, 4, 5]), ("3", [3]), ("7-8, 1,7", [1, 7, 8])])
def test_numbers(text: str, numbers: list[int]) -> None:
    assert numbers_of(text, "--chunks") == numbers


@pytest.mark.parametrize("text", ["", "a", "5-1", "1-", "-1", "1,,2", "1.5"])
def test_numbers_that_are_none(text: str) -> None:
    with pytest.raises(OptionError, match="--chunks"):
        numbers_of(text, "--chunks")


def test_shares() -> None:
    assert share_of("0-0.25") == (0, 0.25)
    assert share_of("6/21 - 1/3") == (6 / 21, 1 / 3)
    for text in ("", "0.5", "0.5-0.5", "1-0", "0-2", "a-b", "0-1/0", "-1-1"):
        with pytest.raises(OptionError, match="--share"):
            share_of(text)


@given(st.lists(st.from_regex(r"[a-b0-9./]{0,6}", fullmatch=True), max_size=6))
def test_natural_order_is_total_and_numeric(names: list[str]) -> None:
    assert sorted(sorted(names), key=natural) == sorted(sorted(names, reverse=True), key=natural) or len(
        {str(natural(n)) for n in names}
    ) < len(set(names))
    assert sorted(["s10", "s9", "s1"], key=natural) == ["s1", "s9", "s10"]

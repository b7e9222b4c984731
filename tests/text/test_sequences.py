"""Rows of marked and padded texts against their slow specification."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.errors import OptionError
from ffprep.text.tokens import vocabulary as vocabularies
from ffprep.text.tokens.sequences import encode_rows, fitting_lengths, split_row
from ffprep.text.tokens.vocabulary import Vocabulary

WORDS = st.lists(st.sampled_from(["a", "word", "é", "中", " two", "\n", '"q"', ""]), max_size=9).map("".join)


def longest_first(a: list[int], b: list[int], room: int) -> tuple[list[int], list[int]]:
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60))
def test_shares_are_longest_first(first: int, second: int, room: int) -> None:
    a, b = longest_first([0] * first, [0] * second, room)
    found = fitting_lengths(np.array([first]), np.array([second]), room)
    assert [int(x[0]) for x in found] == [len(a), len(b)]


@given(texts=st.lists(WORDS, max_size=5), length=st.integers(2, 14))
def test_single_texts(vocabulary: Vocabulary, texts: list[str], length: int) -> None:
    rows = encode_rows(vocabulary, texts, None, length)
    assert rows.tokens.shape == (len(texts), length)
    for text, row, size, cut in zip(texts, *rows, strict=True):
        ids = vocabulary.encode(text).tolist()
        expected = [0, *ids[: length - 2], 2]
        assert row.tolist() == expected + [1] * (length - len(expected))
        assert (size, cut) == (len(expected), max(0, len(ids) - length + 2))


@given(pairs=st.lists(st.tuples(WORDS, WORDS), max_size=5), length=st.integers(3, 20))
def test_pairs(vocabulary: Vocabulary, pairs: list[tuple[str, str]], length: int) -> None:
    rows = encode_rows(vocabulary, [p[0] for p in pairs], [p[1] for p in pairs], length)
    for (one, two), row, size, cut in zip(pairs, *rows, strict=True):
        whole = vocabulary.encode(one).tolist(), vocabulary.encode(two).tolist()
        a, b = longest_first(*whole, length - 3)
        expected = [0, *a, 2, *b, 2]
        assert row.tolist() == expected + [1] * (length - len(expected))
        assert (size, cut) == (len(expected), len(whole[0]) + len(whole[1]) - len(a) - len(b))
        if cut == 0:
            assert split_row(vocabulary, row, size, True) == (one, two)


def test_plain_gpt2_marks_with_its_only_special_token(vocabulary: Vocabulary) -> None:
    plain = vocabularies.gpt2()
    rows = encode_rows(plain, ["hi"], ["<|endoftext|>"], 16)
    assert rows.tokens[0, 0] == 50256
    assert split_row(plain, rows.tokens[0], int(rows.lengths[0]), True) == ("hi", "<|endoftext|>")


def test_marks_must_fit(vocabulary: Vocabulary) -> None:
    with pytest.raises(OptionError, match="length 2"):
        encode_rows(vocabulary, ["a"], ["b"], 2)

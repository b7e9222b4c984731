"""Cutting long documents leaves their tokens as they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ffprep.text.documents.segments import Cuts, boundary, segments
from ffprep.text.tokens.vocabulary import Vocabulary

TEXT = st.lists(
    st.sampled_from(
        [
            "a",
            "Ab",
            " ",
            "  ",
            "\n",
            "\t",
            "'s",
            "'",
            "'ll",
            "5",
            "42",
            ".",
            "?!",
            "é",
            "中文",
            "。",
            "\u0301",
            "\x1c",
            "\u2028",
            "word",
            "\u00a0",
            "😀",
            "_",
            "²",
            "don't",
        ]
    ),
    max_size=40,
).map("".join)


@given(TEXT, st.integers(1, 12), st.lists(st.integers(0, 60), max_size=6))
def test_segments_join_to_the_text(text: str, size: int, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(min(c, len(text)) for c in cuts)})
    pieces = [text[a:b] for a, b in pairwise(places)]
    found = list(segments(pieces, Cuts(), size))
    assert "".join(found) == text
    assert all(0 < len(s) <= size for s in found)


@given(text=TEXT, size=st.integers(4, 30))
def test_tokens_of_segments_are_tokens_of_the_whole(vocabulary: Vocabulary, text: str, size: int) -> None:
    cuts = Cuts()
    parts = [vocabulary.encode(s) for s in segments([text], cuts, size)]
    if cuts.inside_words == 0:
        joined = np.concatenate([*parts, np.empty(0, np.uint16)])
        assert np.array_equal(joined, vocabulary.encode(text))


def test_a_word_longer_than_a_segment_is_cut_and_counted() -> None:
    cuts = Cuts()
    assert [len(s) for s in segments(["a" * 25], cuts, 10)] == [10, 10, 5]
    assert cuts.inside_words == 2


def test_a_run_of_whitespace_is_found_in_one_step() -> None:
    text = "word" + " " * 1_000_000
    assert boundary(text, 0, 999_999) == 4

"""Cleaning against a slow specification, whole and in pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.text.documents import cleaning
from ffprep.text.documents.cleaning import Removed, clean, clean_pieces, clean_text

NASTY = st.lists(
    st.sampled_from(
        [
            b"a",
            b" ",
            b"\n",
            b"\r",
            b"\r\n",
            b"\0",
            b"\t",
            b"\xc3\xa9",
            b"\xe2\x80\xa8",
            b"\xef\xbf\xbd",
            b"\xff",
            b"\xc3",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x91",
            b"\xef\xbb\xbf",
            b"\xff\xfe",
            b"\xfe\xff",
            b"\x1c",
            b"\x85",
            b"word",
        ]
    ),
    max_size=24,
).map(b"".join)


def specification(data: bytes) -> str:
    """The rules of the module, one after the other."""
    if data[:3] == b"\xef\xbb\xbf":
        text = data[3:].decode("utf-8", "replace")
    elif data[:2] == b"\xff\xfe":
        text = data[2:].decode("utf-16-le", "replace")
    elif data[:2] == b"\xfe\xff":
        text = data[2:].decode("utf-16-be", "replace")
    else:
        text = data.decode("utf-8", "replace")
    text = "".join(c for c in text if c != "\0").replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(line for line in text.split("\n") if line.strip())


@given(NASTY)
def test_clean_is_what_the_rules_say(data: bytes) -> None:
    assert clean(data, Removed()) == specification(data)


@given(NASTY, st.lists(st.integers(0, 40), max_size=8))
def test_pieces_give_the_same_text_and_counts(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(min(c, len(data)) for c in cuts)})
    pieces = [data[a:b] for a, b in pairwise(places)]
    whole, parts = Removed(), Removed()
    assert "".join(clean_pieces(pieces, parts)) == clean(data, whole)
    assert parts == whole


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_and_its_bytes_are_cleaned_alike(text: str) -> None:
    if text.encode()[:3] != b"\xef\xbb\xbf":
        text = "x" + text
    one, two = Removed(), Removed()
    assert clean_text(text, one) == clean(text.encode(), two)
    assert one == two


@pytest.mark.parametrize(
    ("data", "text", "counts"),
    [
        (b"", "", {}),
        (b"hello", "hello", {}),
        (b"hello\n", "hello", {}),
        (b"a\rb\r", "a\nb", {"newlines": 2}),
        (b"a\r\nb\r\n", "a\nb", {"newlines": 2}),
        (b"a\0b\0", "ab", {"nul": 2}),
        (b" \n\t\r\n  ", "", {"newlines": 1, "blank_lines": 3}),
        (b"\xef\xbb\xbfhello", "hello", {"bom": 1}),
        (b"\xff\xfeh\0i\0", "hi", {"bom": 1, "utf16": 1}),
        (b"caf\xe9 na\xefve", "caf\ufffd na\ufffdve", {"invalid": 2}),
        (b"a\n\n\n  b \n\nc", "a\n  b \nc", {"blank_lines": 3}),
        ("a\u2028b\x85c\x0bd".encode(), "a\u2028b\x85c\x0bd", {}),
        ("kept \ufffd".encode(), "kept \ufffd", {}),
    ],
)
def test_each_rule_and_its_count(data: bytes, text: str, counts: dict[str, int]) -> None:
    removed = Removed()
    assert clean(data, removed) == text
    assert {k: v for k, v in removed.as_dict().items() if v} == counts


def test_lone_surrogates_are_replaced_and_pairs_joined() -> None:
    removed = Removed()
    assert clean_text("bad \ud800 lone \ud83d\ude00", removed) == "bad \ufffd lone \U0001f600"
    assert removed.invalid == 1


def test_a_document_larger_than_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"one\r\n\r\n two \xff\n" * 50
    whole = clean(data, Removed())
    monkeypatch.setattr(cleaning, "WHOLE", 7)
    assert clean(data, Removed()) == whole
    monkeypatch.setattr(cleaning, "PIECE", 3)
    assert clean(data, Removed()) == whole


def test_endless_whitespace_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "LONGEST_INDENT", 10)
    removed = Removed()
    pieces = [b"a\n", *[b" " * 8] * 9, b"x"]
    assert "".join(clean_pieces(pieces, removed)) == "a\n" + " " * 8 + "x"
    assert removed.blank_lines == 4

"""The compiled tokenizer against tiktoken."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ffprep.text.tokens import bpe, bpe_tables, fast
from ffprep.text.tokens import bpe_kernel as kernel
from ffprep.text.tokens import vocabulary as vocabularies
from ffprep.text.tokens.fast import FastEncoder, LazyEncoder
from ffprep.text.tokens.vocabulary import Vocabulary

PIECES = st.sampled_from(
    [
        *(
            "a",
            "The",
            " the",
            "  ",
            " ",
            "\n",
            "\t",
            "\r\n",
            "'s",
            "'S",
            "'",
            "'ll",
            "'ve",
            "'re",
            "'d",
            "'r",
            "5",
            "42",
        ),
        *("½", "Ⅷ", ".", "?!", "...", "é", "ß", "中文", "。", "\u0301", "\x1c", "\x85", "\u2028", "\u3000", "\u00a0"),
        *("\u200b", "😀", "_", "²", "don't", "ing", "tion", "qzx", "ﬁ", "\U00010400", "\ufeff", "\ufffd", "x" * 20),
        *("<|endoftext|>", "!?" * 9, "supercalifragilistic", " antidisestablishmentarianism", "ʹ", "ȡ", "\u0378"),
        *("𝟙", "ـ", "\0"),
    ]
)
TEXTS = st.lists(st.one_of(st.lists(PIECES, max_size=14).map("".join), st.text(max_size=40)), max_size=6)


@pytest.fixture(scope="session")
def encoder(vocabulary: Vocabulary) -> FastEncoder:
    return FastEncoder(bpe.ranks())


def check(encoder: FastEncoder, texts: list[str]) -> int:
    """Compare with tiktoken; how many texts were left out."""
    ids, ends = encoder.encode(texts)
    start = 0
    for text, end in zip(texts, ends.tolist(), strict=True):
        if end >= 0:
            assert ids[start:end].tolist() == bpe.encoding().encode_ordinary(text)
            assert ids[end] == 50256
            start = end + 1
    assert start == len(ids)
    return int((ends < 0).sum())


@settings(max_examples=400)
@given(texts=TEXTS)
@example(texts=["'", "'l", "'r", " ", "  ", "\n", "\n a", " \n", "a ", " '", "", "'s", " 's"])
def test_tokens_are_tiktokens(encoder: FastEncoder, texts: list[str]) -> None:
    if any("\ud800" <= c <= "\udfff" for text in texts for c in text):
        with pytest.raises(UnicodeEncodeError):
            encoder.encode(texts)
    else:
        check(encoder, texts)


def test_every_class_of_character(encoder: FastEncoder) -> None:
    points = [p for p in range(0, 0x30000, 37) if not 0xD800 <= p < 0xE000]
    texts = [f"a{c}b 1{c}2 {c}{c}\n{c}  {c} '{c}s" for c in map(chr, points)]
    known = sum(bpe_tables.character_classes()[p] != bpe_tables.UNKNOWN for p in points)
    assert check(encoder, texts) == len(points) - known
    assert known > 2000


def test_every_character_whose_class_is_known(encoder: FastEncoder) -> None:
    known = np.flatnonzero(bpe_tables.character_classes() != bpe_tables.UNKNOWN)
    points = [p for p in known.tolist() if not 0xD800 <= p < 0xE000]
    texts = ["".join(f"a{c}1{c}. {c}\n" for c in map(chr, points[i : i + 64])) for i in range(0, len(points), 64)]
    assert check(encoder, texts) == 0
    assert len(points) > 90_000


def test_demo_texts_are_done_without_tiktoken(encoder: FastEncoder, demo_data: Any) -> None:
    texts = [path.read_text() for path in sorted((demo_data / "text").iterdir())]
    assert check(encoder, texts * 3) == 0


def test_letters_that_are_new_and_endless_words_are_left_out(encoder: FastEncoder) -> None:
    longest = kernel.LONGEST_WORD
    texts = ["plain", "tifinagh \u2d30", "x" * longest, "x" * (longest + 1), "?" * 9000, " " * 9000, "plain"]
    _, ends = encoder.encode(texts)
    assert (ends < 0).tolist() == [False, True, False, True, True, True, False]
    check(encoder, texts)


@given(texts=TEXTS)
def test_the_vocabulary_is_the_same_with_it(vocabulary: Vocabulary, encoder: FastEncoder, texts: list[str]) -> None:
    texts = [*texts, "tifinagh \u2d30", "x" * 600, "", "end"]

    class Always(LazyEncoder):
        def get(self, characters: int) -> FastEncoder | None:
            return encoder

    always = Always(bpe.ranks(), bpe.encoding())
    for kind in (vocabulary, vocabularies.gpt2()):
        slow = kind.encode_stream(texts)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bpe, "lazy_encoder", lambda directory: always)
            assert np.array_equal(kind.encode_stream(texts), slow)
            assert len(kind.encode_batch(texts)[1]) == len(texts)


def test_it_takes_over_after_some_megabytes(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "AFTER", 100)
    lazy = LazyEncoder(bpe.ranks(), bpe.encoding())
    assert lazy.get(60) is None
    found = lazy.get(60)
    assert isinstance(found, FastEncoder)
    assert lazy.get(1) is found


def test_it_does_not_if_it_disagrees(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "AFTER", 0)
    words = list(bpe.ranks())
    we, other = words.index(b" we"), words.index(b" is")
    words[we], words[other] = words[other], words[we]
    lazy = LazyEncoder(words, bpe.encoding())
    assert lazy.get(1) is None
    assert lazy.get(1) is None
    classes = bpe_tables.character_classes().copy()
    classes[ord(".")] = bpe_tables.LETTER
    monkeypatch.setattr(bpe_tables, "character_classes", lambda: classes)
    assert LazyEncoder(bpe.ranks(), bpe.encoding()).get(1) is None


def test_threads_are_not_held_up_while_it_is_made(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "AFTER", 0)
    making, go_on = threading.Event(), threading.Event()

    class Slow(FastEncoder):
        def __init__(self, words: Any) -> None:
            making.set()
            go_on.wait()
            super().__init__(words)

    monkeypatch.setattr(fast, "FastEncoder", Slow)
    lazy = LazyEncoder(bpe.ranks(), bpe.encoding())
    thread = threading.Thread(target=lazy.get, args=(1,))
    thread.start()
    making.wait()
    assert lazy.get(1) is None
    go_on.set()
    thread.join()
    assert isinstance(lazy.get(1), Slow)

"""Ids of a dict.txt against a slow twin of fairseq 0.12.2's Dictionary, which follows its behaviour, not its text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffprep.errors import SourceError
from ffprep.text.tokens import bpe
from ffprep.text.tokens.fairseq_dict import from_dict, write_dictionary
from ffprep.text.tokens.vocabulary import Numbering, from_manifest

PLAIN = [f"{token} 1" for token in range(300)]
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


class Twin:
    """A dictionary that counts ids as it reads lines: words that are there are an error, or get the next id anew."""

    def __init__(self, text: str) -> None:
        self.by_id = ["<s>", "<pad>", "</s>", "<unk>"]
        self.latest = {word: place for place, word in enumerate(self.by_id)}
        for line in text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n"):
            self._take(line.rstrip())
        self.mask = self.latest.get("<mask>", len(self.by_id))
        if self.mask == len(self.by_id):
            self.by_id.append("<mask>")

    def _take(self, line: str) -> None:
        parts = line.split(" ")
        again = parts[-1] == "#fairseq:overwrite"
        parts = parts[:-1] if again else parts
        int(parts.pop())
        if not parts:
            raise ValueError("no token")
        word = " ".join(parts)
        if word in self.latest and not again:
            raise RuntimeError("twice")
        self.latest[word] = len(self.by_id)
        self.by_id.append(word)


def write(folder: Path, text: str) -> Path:
    path = folder / "dict.txt"
    path.write_bytes(text.encode())
    return path


def check(path: Path) -> Numbering:
    twin = Twin(path.read_bytes().decode())
    found = from_dict(path)
    assert (found.size, found.mask) == (len(twin.by_id), twin.mask)
    assert (found.bos, found.pad, found.eos, found.unk) == (0, 1, 2, 3)
    tokens = np.arange(bpe.ENDOFTEXT_ID)
    assert found.table[tokens].tolist() == [twin.latest.get(str(token), 3) for token in tokens.tolist()]
    for number, word in enumerate(twin.by_id):
        token = int(word) if word.isascii() and word.isdigit() and str(int(word)) == word else bpe.ENDOFTEXT_ID
        assert found.inverse[number] == (token if token < bpe.ENDOFTEXT_ID else -1), (number, word)
    again = from_manifest(found.manifest())
    assert isinstance(again, Numbering) and again.same_as(found)
    assert np.array_equal(again.inverse, found.inverse)
    return found


@pytest.mark.parametrize("place", [0, 1, 150, 299, 300])
@pytest.mark.parametrize("special", SPECIALS)
@pytest.mark.parametrize("flag", ["", " #fairseq:overwrite"])
def test_a_special_token_in_any_place(tmp_path: Path, special: str, place: int, flag: str) -> None:
    lines = [*PLAIN[:place], f"{special} 0{flag}", *PLAIN[place:]]
    path = write(tmp_path, "\n".join(lines) + "\n")
    if special != "<mask>" and not flag:
        with pytest.raises(RuntimeError):
            Twin(path.read_text())
        with pytest.raises(SourceError, match=f"line {place + 1} repeats token '{special}'"):
            from_dict(path)
        return
    found = check(path)
    assert found.mask == (4 + place if special == "<mask>" else 305)


def test_a_dictionary_of_gpt2_with_mask_last_and_first(tmp_path: Path) -> None:
    lines = [f"{token} 1" for token in range(50256)]
    assert (check(write(tmp_path, "\n".join([*lines, "<mask> 0"]))).size) == 50261
    found = check(write(tmp_path, "\n".join(["<mask> 0", *lines])))
    assert (found.size, found.mask, found.table[0]) == (50261, 4, 5)


WORDS = st.one_of(st.integers(0, 320).map(str), st.sampled_from([*SPECIALS, "madeupword0000", "a b", "007", "é", ""]))
LINES = st.tuples(
    WORDS, st.sampled_from(["1", "-3", "0", "+7", " 1", "x", ""]), st.sampled_from(["", " #fairseq:overwrite"])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(extra=st.lists(st.tuples(st.integers(0, 300), LINES), max_size=6), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_lines(tmp_path: Path, extra: list[tuple[int, tuple[str, str, str]]], end: str) -> None:
    lines = list(PLAIN)
    for place, (word, count, flag) in extra:
        lines.insert(place, f"{word} {count}{flag}")
    path = write(tmp_path, end.join(lines) + end)
    try:
        Twin(path.read_bytes().decode())
    except (ValueError, RuntimeError):
        with pytest.raises(SourceError, match=r"dict\.txt: line \d+ "):
            from_dict(path)
        return
    check(path)


@pytest.mark.parametrize(
    "text", ["<mask> 1\n", "7 1 #fairseq:overwrite\n7 2 #fairseq:overwrite\n", "x 1\n<mask> 9\ny 1\n"]
)
def test_what_is_written_numbers_the_same(tmp_path: Path, text: str) -> None:
    found = from_dict(write(tmp_path, "\n".join(PLAIN[:150]) + "\n" + text + "\n".join(PLAIN[150:])))
    again = from_dict(write_dictionary(found, tmp_path / "again.txt"))
    assert again.same_as(found) and np.array_equal(again.inverse, found.inverse)


def test_tokens_under_two_ids_are_read_back(tmp_path: Path) -> None:
    found = from_dict(write(tmp_path, "\n".join(PLAIN) + "\n7 1 #fairseq:overwrite\n"))
    word = bpe.ranks()[7].decode()
    assert found.decode([4 + 7, 304]) == 2 * word
    assert found.encode(word).tolist() == [304]

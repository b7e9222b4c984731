"""The three numberings, and the files the GPT-2 vocabulary comes from."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.errors import CorruptError, OptionError, SourceError
from ffprep.text.tokens import bpe
from ffprep.text.tokens import vocabulary as vocabularies
from ffprep.text.tokens.vocabulary import Vocabulary, from_dict, from_manifest, open_vocabulary

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=6)


def write_dict(path: Path, words: list[str]) -> Path:
    path.write_text("".join(f"{w} {1000 - i if i < 1000 else 0}\n" for i, w in enumerate(words)))
    return path


@pytest.fixture(scope="session")
def shuffled_dict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dictionary in RoBERTa's manner: GPT-2 tokens in another order, then three words that are none."""
    order = np.random.default_rng(0).permutation(50257).tolist()
    words = [*map(str, order), "madeupword0000", "madeupword0001", "madeupword0002"]
    return write_dict(tmp_path_factory.mktemp("dict") / "dict.txt", words)


@given(texts=TEXTS)
def test_batches_are_single_texts_with_separators(vocabulary: Vocabulary, texts: list[str]) -> None:
    ids, ends = vocabulary.encode_batch(texts)
    expected = [np.append(vocabulary.encode(t), np.uint16(2)) for t in texts]
    assert np.array_equal(ids, np.concatenate([*expected, np.empty(0, np.uint16)]))
    assert ends.tolist() == (np.cumsum([len(e) for e in expected]) - 1).tolist()
    assert vocabulary.decode_documents(ids) == texts


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_ids_are_tiktokens(vocabulary: Vocabulary, text: str) -> None:
    plain = bpe.encoding().encode_ordinary(text)
    assert vocabulary.encode(text).tolist() == [t + 4 for t in plain]
    assert vocabularies.gpt2().encode(text).tolist() == plain
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_numbers_of_the_kinds(vocabulary: Vocabulary, shuffled_dict: Path) -> None:
    assert vocabulary.size == 50262
    assert vocabulary.specials == {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 50261}
    assert vocabularies.gpt2().specials == {"<s>": 50256, "<pad>": 50256, "</s>": 50256}
    named = from_dict(shuffled_dict)
    assert (named.size, named.mask) == (50265, 50264)


def test_a_dictionary_renumbers(vocabulary: Vocabulary, shuffled_dict: Path) -> None:
    named = from_dict(shuffled_dict)
    words = [line.split()[0] for line in shuffled_dict.read_text().splitlines()]
    text = "Hello world, it's 42 ways of é."
    tokens = bpe.encoding().encode_ordinary(text)
    assert [words[i - 4] for i in named.encode(text).tolist()] == list(map(str, tokens))
    assert named.decode(named.encode(text)) == text


def test_tokens_a_dictionary_lacks_are_unknown(tmp_path: Path, vocabulary: Vocabulary) -> None:
    named = from_dict(write_dict(tmp_path / "dict.txt", [str(i) for i in range(300)]))
    assert set(named.encode("Hello").tolist()) <= {3, *range(4, 304)}
    assert 3 in named.encode(" the whole world").tolist()
    assert named.decode([3, 4]) == "!"


def test_literal_endoftext_is_text(vocabulary: Vocabulary) -> None:
    for kind in (vocabulary, vocabularies.gpt2()):
        texts = ["before <|endoftext|> after", "", "x"]
        ids, ends = kind.encode_batch(texts)
        assert len(ends) == 3
        assert kind.decode_documents(ids) == texts


def test_special_tokens_are_spelled_on_request(vocabulary: Vocabulary) -> None:
    ids = [0, *vocabulary.encode("hi").tolist(), 2, 1, 50261, 50260]
    assert vocabulary.decode(ids) == "hi"
    assert vocabulary.decode(ids, specials=True) == "<s>hi</s><pad><mask><50260>"
    with pytest.raises(ValueError, match="50262"):
        vocabulary.decode([50262])


def test_lone_surrogates_become_replacement_characters(vocabulary: Vocabulary) -> None:
    assert vocabulary.decode(vocabulary.encode("a\ud800b")) == "a\ufffdb"


def test_without_numpy_output_of_tiktoken(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    import tiktoken

    expected = vocabulary.encode_stream(["one two", "é\n"])
    monkeypatch.delattr(tiktoken.Encoding, "encode_to_numpy", raising=False)
    assert np.array_equal(vocabulary.encode_stream(["one two", "é\n"]), expected)


def test_the_record_makes_the_same_numbering(vocabulary: Vocabulary, shuffled_dict: Path) -> None:
    for kind in (vocabulary, vocabularies.gpt2(), from_dict(shuffled_dict)):
        again = from_manifest(json.loads(json.dumps(kind.manifest())))
        assert again.same_as(kind)
    assert not vocabulary.same_as(vocabularies.gpt2())
    assert not vocabulary.same_as(from_dict(shuffled_dict))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"tokenizer": "bert"},
        {"ranks_sha256": ""},
        {"table": "!"},
        {"table": "AAAA"},
        {"size": 5},
        {"size": "x"},
    ],
)
def test_a_damaged_record_is_refused(vocabulary: Vocabulary, shuffled_dict: Path, change: dict[str, object]) -> None:
    with pytest.raises(CorruptError):
        from_manifest({**from_dict(shuffled_dict).manifest(), **change})
    with pytest.raises(CorruptError):
        from_manifest(None)


@pytest.mark.parametrize(
    "content",
    ["", "hello 1\nworld 2\n", "0 1\n0 2\n", "0\n", "0 x\n", "\xff\xfe"],
)
def test_a_file_that_is_no_dictionary(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dict.txt"
    path.write_bytes(content.encode("latin1"))
    with pytest.raises(SourceError, match=r"dict\.txt"):
        from_dict(path)


def test_numberings_by_name(shuffled_dict: Path) -> None:
    assert open_vocabulary("fairseq").kind == "fairseq"
    assert open_vocabulary("gpt2").kind == "gpt2"
    assert open_vocabulary(str(shuffled_dict)).kind == "dict"
    with pytest.raises(OptionError, match=r"dict\.txt"):
        open_vocabulary("roberta")


# the files


@pytest.fixture(scope="session")
def words(vocabulary: Vocabulary) -> tuple[bytes, ...]:
    """The byte strings of the vocabulary."""
    return bpe.ranks()


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, no package that holds the vocabulary, and no network."""

    def refuse(*_: object, **__: object) -> object:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(bpe, "default_folders", lambda: [tmp_path])
    monkeypatch.setattr(bpe.urllib.request, "urlopen", refuse)
    bpe._ranks.cache_clear()
    yield tmp_path
    bpe._ranks.cache_clear()


def tiktoken_file(words: tuple[bytes, ...]) -> bytes:
    return b"".join(base64.b64encode(w) + b" %d\n" % i for i, w in enumerate(words))


def test_every_form_of_the_files_is_read(vocabulary: Vocabulary, tmp_path: Path) -> None:
    words = bpe.ranks()
    folder = next((f for f in bpe.default_folders() if (f / "vocab.bpe").is_file()), None)
    ranked = tiktoken_file(words)
    forms = {"r50k_base.tiktoken": ranked, bpe.cache_names()["r50k_base.tiktoken"]: ranked}
    if folder is not None:
        merges = (folder / "vocab.bpe").read_bytes()
        forms |= {"vocab.bpe": merges, "merges.txt": merges, bpe.cache_names()["vocab.bpe"]: merges}
    for number, (name, data) in enumerate(forms.items()):
        place = tmp_path / str(number)
        place.mkdir()
        (place / name).write_bytes(data)
        assert bpe.ranks(place) == words


def test_without_the_files_the_error_says_what_goes_where(alone: Path) -> None:
    with pytest.raises(SourceError) as caught:
        bpe.ranks()
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "Network is unreachable",
        "--gpt2-files",
        "r50k_base.tiktoken",
        "vocab.bpe",
        "TIKTOKEN_CACHE_DIR",
        "0ea1e91bbb3a60f729a8dc8f777fd2fc07cd8df4",
        "6d1cbeee0f20b3d9449abfede4726ed8212e3aee",
    ):
        assert part in message
    with pytest.raises(SourceError, match="no GPT-2 vocabulary there"):
        bpe.ranks(alone)


@pytest.mark.parametrize("damage", [b"", b"IQ== 0\n", b"not a vocabulary", b"\xff\xfe\x00"])
@pytest.mark.parametrize("name", ["r50k_base.tiktoken", "vocab.bpe", "0ea1e91bbb3a60f729a8dc8f777fd2fc07cd8df4"])
def test_a_damaged_file_is_an_error_and_stays(alone: Path, name: str, damage: bytes) -> None:
    (alone / name).write_bytes(damage)
    for folder in (None, alone):
        bpe._ranks.cache_clear()
        with pytest.raises(SourceError, match="damaged"):
            bpe.ranks(folder)
    assert (alone / name).read_bytes() == damage


def test_a_download_is_checked_and_kept(
    vocabulary: Vocabulary, words: tuple[bytes, ...], alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [b"<html>", tiktoken_file(words)]
    monkeypatch.setattr(bpe.urllib.request, "urlopen", lambda *_, **__: io.BytesIO(answers.pop(0)))
    with pytest.raises(SourceError, match="damaged"):
        bpe.ranks()
    assert list(alone.iterdir()) == []
    assert bpe.ranks() == words
    assert [p.name for p in alone.iterdir()] == ["0ea1e91bbb3a60f729a8dc8f777fd2fc07cd8df4"]

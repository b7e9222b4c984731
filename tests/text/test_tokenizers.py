"""Tokenizers other than GPT-2's, against their own libraries."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizer_files as made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffprep.errors import CorruptError, OptionError, SourceError
from ffprep.text.tokens import bpe, tokenizer
from ffprep.text.tokens.sequences import encode_rows, split_row
from ffprep.text.tokens.tokenizer import TokenizerVocabulary, open_tokenizer
from ffprep.text.tokens.vocabulary import Vocabulary, check_vocabulary, from_manifest, open_vocabulary

pytest.importorskip("tokenizers")
pytest.importorskip("sentencepiece")

KINDS: dict[str, Callable[[Path], Path]] = {
    "bytelevel.json": made.bytelevel,
    "roberta.json": made.roberta,
    "bert.json": made.bert,
    "t5.json": made.t5,
    "llama.model": made.sentencepiece,
    "t5.model": lambda path: made.sentencepiece(path, pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
    "wide.json": made.wide,
}
TEXTS = [
    "The quick brown fox.",
    "it runs away",
    "",
    "中文 café 12,345!",
    "a </s> [SEP] <|endoftext|> b",
    " two  blanks\n",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokenizers")
    return {name: make(folder / name) for name, make in KINDS.items()}


def plain(path: Path) -> Any:
    """A function from text to ids by the library itself, special tokens in the text being ordinary text."""
    if path.suffix == ".model":
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_file=str(path)).EncodeAsIds
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("name", KINDS)
def test_ids_are_the_librarys(files: dict[str, Path], name: str) -> None:
    found, encode = open_tokenizer(str(files[name])), plain(files[name])
    ids, ends = found.encode_batch(TEXTS)
    expected = [encode(text) for text in TEXTS]
    assert ids.tolist() == [token for some in expected for token in [*some, found.eos]]
    assert ends.tolist() == (np.cumsum([len(some) + 1 for some in expected]) - 1).tolist()
    assert ids.dtype == found.dtype == np.dtype("<i4" if name == "wide.json" else "<u2")
    assert [found.encode(text).tolist() for text in TEXTS] == expected
    empty, none = found.encode_batch([])
    assert len(empty) == len(none) == 0


@pytest.mark.parametrize("name", ["bytelevel.json", "roberta.json", "wide.json"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_bytes_come_back(files: dict[str, Path], name: str, text: str) -> None:
    found = open_tokenizer(str(files[name]))
    assert found.decode(found.encode(text)) == text


def test_text_comes_back_as_the_tokenizer_spells_it(files: dict[str, Path]) -> None:
    text = "The quick brown fox jumps, and it runs away."
    for name in ("t5.json", "llama.model", "t5.model"):
        found = open_tokenizer(str(files[name]))
        assert found.decode(found.encode(text)) == text
    bert = open_tokenizer(str(files["bert.json"]))
    assert bert.decode(bert.encode(text)) == "the quick brown fox jumps, and it runs away."


@pytest.mark.parametrize("name", ["roberta.json", "bert.json", "t5.json"])
def test_rows_are_what_the_tokenizer_makes_itself(files: dict[str, Path], name: str) -> None:
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(files[name]))
    own.no_truncation()
    own.no_padding()
    own.encode_special_tokens = True
    found = open_tokenizer(str(files[name]))
    single = encode_rows(found, TEXTS, None, 64)
    pairs = encode_rows(found, TEXTS, TEXTS[::-1], 100)
    for i, (one, two) in enumerate(zip(TEXTS, TEXTS[::-1], strict=True)):
        for rows, expected in ((single, own.encode(one).ids), (pairs, own.encode(one, two).ids)):
            assert rows.tokens[i, : rows.lengths[i]].tolist() == expected
            assert (rows.tokens[i, rows.lengths[i] :] == found.pad).all()
    assert single.tokens.dtype == found.dtype


def test_rows_of_tokenizers_without_marks(files: dict[str, Path]) -> None:
    for name, before in (("bytelevel.json", "<|endoftext|>"), ("llama.model", "<s>"), ("t5.model", None)):
        found = open_tokenizer(str(files[name]))
        assert found.bos == (None if before is None else found.specials[before])
        ids = found.encode("it runs").tolist()
        rows = encode_rows(found, ["it runs"], ["it runs"], 40)
        start = [] if found.bos is None else [found.bos]
        assert rows.tokens[0, : rows.lengths[0]].tolist() == [*start, *ids, found.eos, *ids, found.eos]
        assert split_row(found, rows.tokens[0], int(rows.lengths[0]), True) == ("it runs", "it runs")


def test_specials_by_name(files: dict[str, Path]) -> None:
    bert = open_tokenizer(str(files["bert.json"]))
    assert bert.specials == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    assert (bert.bos, bert.pad, bert.eos, bert.unk, bert.mask) == (2, 0, 3, 1, 4)
    llama = open_tokenizer(str(files["llama.model"]))
    assert llama.specials == {"<unk>": 0, "<s>": 1, "</s>": 2} and (llama.pad, llama.mask) == (2, None)
    named = open_tokenizer(str(files["bytelevel.json"]), {"eos": "x", "pad": "y", "mask": "z"})
    word = {letter: named.encode(letter).tolist()[0] for letter in "xyz"}
    assert (named.eos, named.pad, named.mask) == (word["x"], word["y"], word["z"])
    assert named.bos == 0 and named.marks(False) == ((0,), (word["x"],))
    with pytest.raises(OptionError, match="no token 'nothing such' for pad"):
        open_tokenizer(str(files["bert.json"]), {"pad": "nothing such"})


def test_a_tokenizer_without_an_end_asks_for_one(tmp_path: Path) -> None:
    path = made.bytelevel(tmp_path / "x.json", ("<one>", "<two>"))
    with pytest.raises(OptionError, match="--special eos=TOKEN; its special tokens are <one>, <two>"):
        open_tokenizer(str(path))
    found = open_tokenizer(str(path), {"eos": "<two>"})
    assert (found.bos, found.pad, found.eos) == (None, 1, 1)


def test_spelled_out(files: dict[str, Path]) -> None:
    bert = open_tokenizer(str(files["bert.json"]))
    rows = encode_rows(bert, ["the fox"], ["a dog"], 14)
    assert bert.decode(rows.tokens[0], specials=True).replace("[PAD]", "") == "[CLS]the fox[SEP]a dog[SEP]"
    assert bert.decode(rows.tokens[0]) == "the fox a dog"
    with pytest.raises(ValueError, match=f"has {bert.size}"):
        bert.decode([bert.size])
    wide = open_tokenizer(str(files["wide.json"]))
    assert wide.size == 70_000 and wide.encode("the fox").max() > 65_535


def test_lone_surrogates_become_replacement_characters(files: dict[str, Path]) -> None:
    for name in ("bytelevel.json", "llama.model"):
        found = open_tokenizer(str(files[name]))
        assert found.encode_batch(["a\ud800b", "c"])[0].tolist() == found.encode_batch(["a\ufffdb", "c"])[0].tolist()


@pytest.mark.parametrize("name", KINDS)
def test_the_record_holds_the_tokenizer(files: dict[str, Path], name: str) -> None:
    found = open_tokenizer(str(files[name]))
    record = json.loads(json.dumps(found.manifest()))
    assert record["sha256"] == hashlib.sha256(files[name].read_bytes()).hexdigest()
    for again in (from_manifest(record), pickle.loads(pickle.dumps(found))):
        assert isinstance(again, TokenizerVocabulary) and again.same_as(found)
        assert (again.size, again.specials, again.marks(True)) == (found.size, found.specials, found.marks(True))
        assert again.decode(again.encode("it runs away")) == "it runs away"
    assert found.manifest() == open_tokenizer(str(files[name])).manifest()
    check_vocabulary(record, str(files[name]), "x.beton")
    with pytest.raises(OptionError, match=rf"numbered as {name} \(.*not as fairseq"):
        check_vocabulary(record, "fairseq", "x.beton")
    other = next(path for key, path in files.items() if key != name)
    with pytest.raises(OptionError, match="convert it with --tokenizer"):
        check_vocabulary(record, str(other), "x.beton")
    check_vocabulary(open_tokenizer(str(files[name]), {"pad": found.library.name_of(found.eos, "eos")}).manifest(),
                     str(files[name]), "x.beton")  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"size": "x"},
        {"size": 3},
        {"size": 1 << 40},
        {"specials": {"[PAD]": -1}},
        {"specials": []},
        {"roles": {"bos": 2, "pad": None, "eos": 3, "unk": 1, "mask": 4}},
        {"roles": {}},
        {"marks": [[[2], [3]], [[2], [3]]]},
        {"marks": [[[2], [10**6]], [[2], [3], [3]]]},
        {"marks": 7},
        {"model": "!"},
        {"model": ""},
        {"model": base64.b64encode(b"no zlib").decode()},
        {"name": 3},
        {"sha256": None},
        {"tokenizer": "tiktoken"},
        {"tokenizer": "pickle"},
    ],
)
def test_a_damaged_record_is_refused(files: dict[str, Path], change: dict[str, Any]) -> None:
    with pytest.raises(CorruptError):
        from_manifest({**open_tokenizer(str(files["bert.json"])).manifest(), **change})


def test_a_recorded_model_that_unpacks_to_too_much_is_refused(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = open_tokenizer(str(files["bert.json"])).manifest()
    size = files["bert.json"].stat().st_size
    monkeypatch.setattr(tokenizer, "LARGEST_MODEL", size)
    from_manifest(record)
    monkeypatch.setattr(tokenizer, "LARGEST_MODEL", size - 1)
    with pytest.raises(CorruptError):
        from_manifest(record)


def test_a_record_with_another_digest_or_no_model(files: dict[str, Path]) -> None:
    record = open_tokenizer(str(files["bert.json"])).manifest()
    with pytest.raises(SourceError, match="not the one with which"):
        from_manifest({**record, "sha256": "0" * 64}).decode([5])
    other = open_tokenizer(str(files["llama.model"])).manifest()["model"]
    with pytest.raises(SourceError, match=r"not a Hugging Face tokenizer\.json"):
        from_manifest({**record, "model": other}).decode([5])


@pytest.mark.parametrize(("name", "data"), [
    ("x.json", b"{}"),
    ("x.json", b"no json"),
    ("x.model", b""),
    ("x.model", b"\x80\x04junk"),
    ("x.model", b"IQ== 0\nIg== 1\n"),
    ("vocab.bin", b"\x00\x01\x02"),
])  # fmt: skip
def test_files_that_are_no_tokenizer(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match="tokenizer"):
        open_tokenizer(str(tmp_path / name))


def test_names(files: dict[str, Path], tmp_path: Path, vocabulary: Vocabulary) -> None:
    assert open_vocabulary(str(files["bert.json"])).same_as(open_tokenizer(str(files["bert.json"])))
    (tmp_path / "tokenizer.json").write_bytes(files["bert.json"].read_bytes())
    assert open_vocabulary(str(tmp_path)).same_as(open_tokenizer(str(tmp_path / "tokenizer.json")))
    assert open_vocabulary("r50k_base").kind == "gpt2"
    for wrong in ("no_such_thing", str(tmp_path / "gone.json")):
        with pytest.raises(OptionError, match=r"tokenizer\.json"):
            open_vocabulary(wrong)
        with pytest.raises(OptionError, match="cl100k_base"):
            open_tokenizer(wrong)


# tiktoken


@pytest.fixture
def encodings(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two encodings of tiktoken's that need no network: GPT-2's tokens under another name, and one with wide ids."""
    import tiktoken

    ranks = {word: rank for rank, word in enumerate(bpe.ranks())}

    def make(name: str) -> tiktoken.Encoding:
        specials = {"<|endoftext|>": 50256} if name == "narrow" else {"<|endoftext|>": 100257, "<|im_end|>": 100265}
        return tiktoken.Encoding(name=name, pat_str=bpe.PATTERN, mergeable_ranks=ranks, special_tokens=specials)

    monkeypatch.setattr(tiktoken, "list_encoding_names", lambda: ["narrow", "wide"])
    monkeypatch.setattr(tiktoken, "get_encoding", make)


def test_encodings_of_tiktoken(encodings: None) -> None:
    plain = [bpe.encoding().encode_ordinary(text) for text in TEXTS]
    for name, end in (("narrow", 50256), ("wide", 100257)):
        found = open_tokenizer(name)
        assert (found.bos, found.pad, found.eos, found.size) == (end, end, end, 50257 if name == "narrow" else 100266)
        ids, _ = found.encode_batch(TEXTS)
        assert ids.dtype == np.dtype("<u2" if name == "narrow" else "<i4")
        assert ids.tolist() == [token for some in plain for token in [*some, end]]
        assert found.decode_documents(ids) == TEXTS
        again = from_manifest(json.loads(json.dumps(found.manifest())))
        assert again.same_as(found) and again.decode(ids) == "".join(TEXTS)
    assert found.specials == {"<|endoftext|>": 100257, "<|im_end|>": 100265}
    assert found.decode([60000, 1, 100265], specials=True) == '<60000>"<|im_end|>'
    assert open_tokenizer("wide", {"eos": "<|im_end|>"}).eos == 100265
    assert not open_tokenizer("narrow").same_as(open_tokenizer("wide"))


def test_an_encoding_that_is_not_what_it_was(encodings: None) -> None:
    record = open_tokenizer("wide").manifest()
    with pytest.raises(SourceError, match="not the one with which"):
        from_manifest({**record, "name": "narrow"}).decode([5])

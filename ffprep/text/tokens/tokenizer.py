"""Vocabularies of tokenizers other than GPT-2's: tiktoken's encodings, Hugging Face's tokenizer.json, SentencePiece.

The library that belongs to a tokenizer does the work; this module finds out how rows begin and end, which ids are
special, and keeps what is needed to turn ids back into text. A tokenizer that is a file is recorded whole, compressed,
in the files that are made with it, with the file's SHA-256; of an encoding of tiktoken's the name and a digest of its
tokens are.

A special token that is spelled out in a text is ordinary text.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.common.files.source_files import read_file
from ffprep.errors import CorruptError, OptionError, SourceError
from ffprep.text.tokens.base import Ids, Tokens, Vocabulary, replace_surrogates
from ffprep.text.tokens.libraries import LIBRARIES, SUFFIXES, Library, encoding_names, load

__all__ = ["LIBRARIES", "SUFFIXES", "TokenizerVocabulary", "encoding_names", "from_record", "open_tokenizer"]

ROLES = ("bos", "pad", "eos", "unk", "mask")
NAMES: Mapping[str, Sequence[str]] = {
    "bos": ("<s>", "[CLS]", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "[BOS]", "<|endoftext|>"),
    "pad": ("<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>"),
    "eos": ("</s>", "[SEP]", "<eos>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>", "[EOS]"),
    "unk": ("<unk>", "[UNK]", "<|unk|>"),
    "mask": ("<mask>", "[MASK]", "<|mask|>"),
}
"""Usual names of the tokens that have a role, the likeliest first."""
LARGEST_MODEL = 1 << 26
"""The most bytes of a tokenizer's file. The largest that are published have 35 million."""
LARGEST_ID = (1 << 31) - 1


@dataclass(frozen=True, eq=False)
class TokenizerVocabulary(Vocabulary):
    """The vocabulary of a tokenizer that a library reads.

    Attributes
    ----------
    kind, size, bos, pad, eos, unk, mask
        See `Vocabulary`; the kind is the library's name.
    name : str
        Name of the encoding, or of the file without its folder.
    digest : str
        SHA-256 of the file or, of an encoding, of its tokens with their ids.
    names : mapping of str to int
        Ids of the special tokens, by their own names.
    single, pair : tuples of tuples of int
        Ids around one text and around two, see `marks`.
    model : bytes
        The tokenizer's file; empty for an encoding.
    """

    name: str
    digest: str
    names: Mapping[str, int]
    single: tuple[Ids, ...]
    pair: tuple[Ids, ...]
    model: bytes

    @property
    def label(self) -> str:
        return f"{self.name} ({self.kind})"

    @property
    def specials(self) -> Mapping[str, int]:
        """Ids of the special tokens, by their own names."""
        return self.names

    def marks(self, pair: bool) -> tuple[Ids, ...]:
        return self.pair if pair else self.single

    def same_tokenizer(self, other: TokenizerVocabulary) -> bool:
        """Whether both give the same ids for every text, whatever is put around it."""
        mine, theirs = (self.kind, self.digest, self.size), (other.kind, other.digest, other.size)
        return mine == theirs and (self.kind != "tiktoken" or self.name == other.name)

    def same_as(self, other: Vocabulary) -> bool:
        """Whether both vocabularies give the same ids for every text, and the same rows."""
        if not isinstance(other, TokenizerVocabulary) or not self.same_tokenizer(other):
            return False
        return all(getattr(self, role) == getattr(other, role) for role in (*ROLES, "single", "pair"))

    @cached_property
    def library(self) -> Library:
        """The tokenizer itself, loaded when it is first needed.

        Raises
        ------
        OptionError
            When its library is not installed.
        SourceError
            When it cannot be loaded, or is not the one that was recorded.
        """
        found = load(self.kind, self.name, self.model)
        if found.digest() != self.digest:
            raise SourceError(f"tokenizer {self.name}: is not the one with which the file was written")
        return found

    def encode_batch(self, texts: Sequence[str]) -> tuple[Tokens, npt.NDArray[np.int64]]:
        try:
            "".join(texts).encode("utf-8")
        except UnicodeEncodeError:
            texts = [replace_surrogates(text)[0] for text in texts]
        found = self.library.encode(texts)
        end = np.array([self.eos], self.dtype)
        parts = [part for ids in found for part in (np.asarray(ids, self.dtype), end)]
        ends = np.cumsum([len(ids) + 1 for ids in found], dtype=np.int64) - 1
        return np.concatenate([np.empty(0, self.dtype), *parts]), ends

    def decode(self, ids: npt.ArrayLike, specials: bool = False) -> str:
        numbers = self.in_range(ids).tolist()
        names = {number: name for name, number in self.names.items()}
        if not specials:
            return self.library.decode([number for number in numbers if number not in names])
        parts: list[str] = []
        for special, numbered in groupby(numbers, lambda number: number in names):
            run = list(numbered)
            parts += [names[number] for number in run] if special else [self.library.decode(run)]
        return "".join(parts)

    def manifest(self) -> dict[str, Any]:
        record: dict[str, Any] = {
            "tokenizer": self.kind,
            "kind": self.kind,
            "name": self.name,
            "sha256": self.digest,
            "size": self.size,
            "specials": dict(self.names),
            "roles": {role: getattr(self, role) for role in ROLES},
            "marks": [self.single, self.pair],
        }
        if self.model:
            record["model"] = self._packed
        return record

    @cached_property
    def _packed(self) -> str:
        return base64.b64encode(zlib.compress(self.model, 9)).decode("ascii")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "library"}


def open_tokenizer(name: str, specials: Mapping[str, str] | None = None) -> TokenizerVocabulary:
    """The vocabulary of a tokenizer.

    Parameters
    ----------
    name : str
        Path of a Hugging Face ``tokenizer.json``, or of the folder with it; path of a SentencePiece model; or the name
        of a tiktoken encoding.
    specials : mapping of str to str, optional
        Names of the tokens that are ``bos``, ``pad``, ``eos``, ``unk`` and ``mask``, where they cannot be told by the
        tokenizer or by their names.

    Returns
    -------
    TokenizerVocabulary
        Rows have the marks that the tokenizer itself puts around texts or, where it has none, `bos` before the first
        text and `eos` after each. Without a token for padding, `eos` is.

    Raises
    ------
    OptionError
        There is no such tokenizer, its library is not installed, or one of `specials` is not a token of it.
    SourceError
        The file is damaged.
    """
    path = Path(name)
    if path.is_dir():
        path = path / "tokenizer.json"
    kind, model = ("tiktoken", b"")
    if path.is_file():
        model = _read(path)
        kind = "tokenizers" if path.suffix == ".json" or model.lstrip()[:1] == b"{" else "sentencepiece"
    elif name not in encoding_names():
        known = ", ".join(encoding_names()) or "none, since tiktoken is not installed"
        raise OptionError(f"tokenizer {name!r}: neither a file nor an encoding of tiktoken's ({known})")
    library = load(kind, path.name, model, str(path))
    return _describe(library, kind, path.name, model, dict(specials or {}))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_MODEL:
            raise SourceError(f"{path}: {path.stat().st_size:,} bytes are too many for a tokenizer")
        return read_file(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None


def _describe(library: Library, kind: str, name: str, model: bytes, given: dict[str, str]) -> TokenizerVocabulary:
    names = dict(library.specials())
    roles: dict[str, int | None] = {}
    own = None if "bos" in given or "eos" in given else library.marks()
    for role in ROLES:
        if role in given:
            number = library.id_of(given[role])
            if number is None:
                raise OptionError(f"tokenizer {name}: has no token {given[role]!r} for {role}")
            names[given[role]] = number
        else:
            number = next((n for n in map(library.id_of, NAMES[role]) if n is not None), None)
            number = library.roles().get(role, number)
        roles[role] = number
    if own is not None:
        (before, after), _ = own
        roles["bos"] = before[-1] if before else None
        roles["eos"] = after[-1] if after and "eos" not in given else roles["eos"]
    eos = roles["eos"]
    if eos is None:
        raise OptionError(
            f"tokenizer {name}: which token ends a text? Name it: --special eos=TOKEN; "
            f"its special tokens are {', '.join(names) or 'none'}"
        )
    for role, number in roles.items():
        if number is not None and number not in names.values():
            names[library.name_of(number, role)] = number
    pad = roles["pad"] if roles["pad"] is not None else eos
    before = () if roles["bos"] is None else (roles["bos"],)
    single, pair = own or ((before, (eos,)), (before, (eos,), (eos,)))
    size = library.size()
    return TokenizerVocabulary(
        kind,
        size,
        roles["bos"],
        pad,
        eos,
        roles["unk"],
        roles["mask"],
        name,
        library.digest(),
        names,
        single,
        pair,
        model,
    )


def from_record(record: Mapping[str, Any]) -> TokenizerVocabulary:
    """The vocabulary whose :meth:`TokenizerVocabulary.manifest` made this record; its library need not be installed.

    Raises
    ------
    CorruptError
        When it is not such a record.
    """
    try:
        kind, name, digest, size = record["tokenizer"], record["name"], record["sha256"], record["size"]
        names = {str(key): _id(value, size) for key, value in record["specials"].items()}
        roles = {role: record["roles"][role] for role in ROLES}
        single, pair = (tuple(tuple(_id(n, size) for n in part) for part in some) for some in record["marks"])
        unpacker = zlib.decompressobj()
        model = unpacker.decompress(base64.b64decode(record.get("model", ""), validate=True), LARGEST_MODEL + 1)
        for role, number in roles.items():
            if number is not None or role in ("pad", "eos"):
                _id(number, size)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, zlib.error):
        raise CorruptError("the tokenizer recorded in the file is damaged") from None
    fits = isinstance(name, str) and isinstance(digest, str) and len(single) == 2 and len(pair) == 3
    if not fits or len(model) > LARGEST_MODEL or bool(model) == (kind == "tiktoken"):
        raise CorruptError("the tokenizer recorded in the file is damaged")
    bos, pad, eos, unk, mask = (roles[role] for role in ROLES)
    return TokenizerVocabulary(kind, size, bos, pad, eos, unk, mask, name, digest, names, single, pair, model)


def _id(value: Any, size: Any) -> int:
    if type(value) is not int or type(size) is not int or not 0 <= value < size <= LARGEST_ID:
        raise ValueError
    return value

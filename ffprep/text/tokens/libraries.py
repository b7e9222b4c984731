"""One face for the libraries that read tokenizers: tiktoken, Hugging Face's tokenizers and sentencepiece."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ffprep.errors import OptionError, SourceError

if TYPE_CHECKING:
    from ffprep.text.tokens.base import Ids

SUFFIXES = (".json", ".model", ".spm")
"""Endings of files that are tokenizers."""
_EXTRA = "pip install 'ffprep[tokenizers]'"


class Library(ABC):
    """A loaded tokenizer."""

    @abstractmethod
    def size(self) -> int:
        """One more than the largest id."""

    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of what decides about the ids."""

    @abstractmethod
    def specials(self) -> Mapping[str, int]:
        """Ids of the special tokens by name."""

    def roles(self) -> Mapping[str, int | None]:
        """Ids of tokens whose role the tokenizer itself knows; None for roles that it says no token has."""
        return {}

    def marks(self) -> tuple[tuple[Ids, ...], tuple[Ids, ...]] | None:
        """Ids that the tokenizer puts around one text and around two; None if it puts none."""
        return None

    @abstractmethod
    def id_of(self, name: str) -> int | None:
        """The id of a token, by its name."""

    def name_of(self, number: int, role: str) -> str:
        """The name of a token that has a role."""
        return f"<{role}>"

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Ids of each text, without special tokens."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids none of which is special."""


class Tiktoken(Library):
    """An encoding of tiktoken's."""

    def __init__(self, name: str) -> None:
        try:
            import tiktoken
        except ImportError:
            raise OptionError("this tokenizer needs tiktoken: pip install 'ffprep[convert]'") from None
        try:
            self._encoding = tiktoken.get_encoding(name)
        except ValueError as error:
            raise SourceError(f"tiktoken's encoding {name}: {error}") from None
        except Exception as error:  # requests is tiktoken's dependency, not ours
            raise SourceError(
                f"tiktoken's encoding {name} cannot be loaded: {error}; put its file into TIKTOKEN_CACHE_DIR"
            ) from None

    def size(self) -> int:
        return int(self._encoding.n_vocab)

    def digest(self) -> str:
        return _encoding_digest(self._encoding)

    def specials(self) -> Mapping[str, int]:
        names = sorted(self._encoding.special_tokens_set)
        return {name: self._encoding.encode_single_token(name) for name in names}

    def id_of(self, name: str) -> int | None:
        return self._encoding.encode_single_token(name) if name in self._encoding.special_tokens_set else None

    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [self._encoding.encode_ordinary(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        try:
            return self._encoding.decode(list(ids))
        except KeyError:  # an id that no token has
            return "".join(map(self._spelled, ids))

    def _spelled(self, number: int) -> str:
        try:
            return self._encoding.decode([number])
        except KeyError:
            return f"<{number}>"


@lru_cache(maxsize=4)
def _encoding_digest(encoding: Any) -> str:
    found = hashlib.sha256()
    for word in encoding.token_byte_values():
        found.update(len(word).to_bytes(4, "little") + word + encoding.encode_single_token(word).to_bytes(4, "little"))
    for name in sorted(encoding.special_tokens_set):
        found.update(f"{name} {encoding.encode_single_token(name)}\n".encode())
    return found.hexdigest()


class HuggingFace(Library):
    """A tokenizer of the library `tokenizers`, from its ``tokenizer.json``."""

    def __init__(self, model: bytes, where: str) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise OptionError(f"{where}: needs the library tokenizers: {_EXTRA}") from None
        try:
            self._tokenizer = Tokenizer.from_buffer(model)
        except Exception as error:  # the library raises nothing more specific
            raise SourceError(f"{where}: not a Hugging Face tokenizer.json: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True
        self._model = model

    def size(self) -> int:
        return 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)

    def digest(self) -> str:
        return hashlib.sha256(self._model).hexdigest()

    def specials(self) -> Mapping[str, int]:
        added = self._tokenizer.get_added_tokens_decoder()
        return {token.content: number for number, token in sorted(added.items()) if token.special}

    def marks(self) -> tuple[tuple[Ids, ...], tuple[Ids, ...]] | None:
        one, two = self._tokenizer.encode("a"), self._tokenizer.encode("a", "a")
        single, pair = _around(one.ids, one.sequence_ids, 1), _around(two.ids, two.sequence_ids, 2)
        return None if not any(single) else (single, pair)

    def id_of(self, name: str) -> int | None:
        found = self._tokenizer.token_to_id(name)
        return None if found is None else int(found)

    def name_of(self, number: int, role: str) -> str:
        return self._tokenizer.id_to_token(number) or super().name_of(number, role)

    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [found.ids for found in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))


def _around(ids: Sequence[int], texts: Sequence[int | None], count: int) -> tuple[Ids, ...]:
    """The ids that belong to no text: before the first of `count` texts, between them and after the last."""
    parts: list[list[int]] = [[] for _ in range(count + 1)]
    begun = 0
    for number, text in zip(ids, texts, strict=True):
        if text is None:
            parts[begun].append(number)
        else:
            begun = text + 1
    return tuple(map(tuple, parts))


class SentencePiece(Library):
    """A model of SentencePiece's."""

    def __init__(self, model: bytes, where: str) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError:
            raise OptionError(f"{where}: needs the library sentencepiece: {_EXTRA}") from None
        self._processor = SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except (RuntimeError, ValueError, OSError):
            raise SourceError(
                f"{where}: neither a SentencePiece model nor a Hugging Face tokenizer.json; a list of words alone "
                "(vocab.txt, .tiktoken) does not say how text is divided"
            ) from None
        self._model = model

    def size(self) -> int:
        return int(self._processor.GetPieceSize())

    def digest(self) -> str:
        return hashlib.sha256(self._model).hexdigest()

    def specials(self) -> Mapping[str, int]:
        processor = self._processor
        chosen = (i for i in range(self.size()) if processor.IsControl(i) or processor.IsUnknown(i))
        return {processor.IdToPiece(i): i for i in chosen}

    def roles(self) -> Mapping[str, int | None]:
        processor = self._processor
        known = {
            "bos": processor.bos_id(),
            "eos": processor.eos_id(),
            "pad": processor.pad_id(),
            "unk": processor.unk_id(),
        }
        found: dict[str, int | None] = {role: number for role, number in known.items() if number >= 0}
        return found if "bos" in found else {**found, "bos": None}

    def id_of(self, name: str) -> int | None:
        found = int(self._processor.PieceToId(name))
        return found if found != self._processor.unk_id() or self._processor.IdToPiece(found) == name else None

    def name_of(self, number: int, role: str) -> str:
        return str(self._processor.IdToPiece(number))

    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [self._processor.EncodeAsIds(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._processor.DecodeIds(list(ids)))


LIBRARIES = ("tiktoken", "tokenizers", "sentencepiece")


def load(kind: str, name: str, model: bytes, where: str = "") -> Library:
    """Load a tokenizer.

    Parameters
    ----------
    kind : {'tiktoken', 'tokenizers', 'sentencepiece'}
    name : str
        Name of the encoding or of the file.
    model : bytes
        The file's content; empty for an encoding.
    where : str
        Path of the file for messages, if not its name.

    Raises
    ------
    OptionError
        The library is not installed.
    SourceError
        The tokenizer cannot be loaded.
    """
    if kind == "tiktoken":
        return Tiktoken(name)  # which tiktoken keeps
    return _from_model(kind, model, where or f"tokenizer {name}")


@lru_cache(maxsize=4)
def _from_model(kind: str, model: bytes, where: str) -> Library:
    return HuggingFace(model, where) if kind == "tokenizers" else SentencePiece(model, where)


def encoding_names() -> list[str]:
    """Names of tiktoken's encodings; none if it is not installed."""
    try:
        import tiktoken
    except ImportError:
        return []
    return list(tiktoken.list_encoding_names())

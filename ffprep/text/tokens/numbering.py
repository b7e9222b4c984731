"""Numberings of GPT-2's tokens; they turn text into numbers and back.

==============  =========  ======  ======  ======  ======  ========  ==================================
kind            size       <s>     <pad>   </s>    <unk>   <mask>    token number k of GPT-2
==============  =========  ======  ======  ======  ======  ========  ==================================
``fairseq``     50,262     0       1       2       3       50,261    k + 4
``dict``        by file    0       1       2       3       by file   as fairseq's dict.txt says
``gpt2``        50,257     50,256  50,256  50,256  none    none      k
==============  =========  ======  ======  ======  ======  ========  ==================================

``<|endoftext|>`` in a text is ordinary text. In a stream of tokens ``</s>`` follows every document, so that the stream
can be divided into its documents again.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import ConversionError, CorruptError
from ffprep.text.tokens import bpe
from ffprep.text.tokens.base import Tokens, Vocabulary, replace_surrogates

if TYPE_CHECKING:
    from ffprep.text.tokens.fast import FastEncoder

UNMAPPED = -1
"""What :attr:`Numbering.inverse` has for ids that are not a GPT-2 token."""


@dataclass(frozen=True, eq=False)
class Numbering(Vocabulary):
    """A numbering of GPT-2's 50,257 tokens.

    Attributes
    ----------
    kind, size, bos, pad, eos, unk, mask
        See `Vocabulary`; the kinds are ``"fairseq"``, ``"dict"`` and ``"gpt2"``.
    table : (50257,) uint16
        Id of each GPT-2 token. ``<|endoftext|>`` has the id of ``</s>``, since only separators become this token.
    source : str
        SHA-256 of the dict.txt; empty for the other kinds.
    directory : Path or None
        Folder of the GPT-2 files; None to search the usual places.
    earlier : mapping of int to int
        Further ids that stand for a GPT-2 token, and that token: where a dict.txt overwrites one of its lines.
    """

    table: Tokens
    source: str = ""
    directory: Path | None = None
    earlier: Mapping[int, int] = field(default_factory=dict)

    @property
    def specials(self) -> dict[str, int]:
        """Ids of the special tokens that this numbering has, by name."""
        found = {"<s>": self.bos, "<pad>": self.pad, "</s>": self.eos, "<unk>": self.unk, "<mask>": self.mask}
        return {name: number for name, number in found.items() if number is not None}

    @cached_property
    def inverse(self) -> npt.NDArray[np.int32]:
        """GPT-2 token of each id, or -1. Of shape (65536,), so that every uint16 can be looked up."""
        found = np.full(65536, UNMAPPED, np.int32)
        words = self.table[: bpe.ENDOFTEXT_ID]
        kept = words != self.unk if self.unk is not None else np.ones(len(words), bool)
        found[words[kept]] = np.flatnonzero(kept)
        for number, word in self.earlier.items():
            found[number] = word
        return found

    def same_as(self, other: Vocabulary) -> bool:
        """Whether both vocabularies give the same ids for every text."""
        if not isinstance(other, Numbering):
            return False
        mine = (self.kind == "gpt2", self.size, self.specials)
        theirs = (other.kind == "gpt2", other.size, other.specials)
        return mine == theirs and bool(np.array_equal(self.table, other.table))

    # text -> ids

    def encode_stream(self, texts: Sequence[str]) -> Tokens:
        """Ids of all texts one after the other, each followed by ``</s>``.

        The texts are joined by tiktoken's end-of-text token, so that one call encodes them all; it separates them
        exactly. The call releases the interpreter's lock, so that threads run at the same time.

        Returns
        -------
        (n,) uint16
        """
        if not texts:
            return np.empty(0, np.uint16)
        fast = bpe.lazy_encoder(self.directory).get(sum(map(len, texts)))
        if fast is not None:
            try:
                return self._encode_fast(fast, texts)
            except UnicodeEncodeError:
                pass
        if any(bpe.ENDOFTEXT in text for text in texts):
            return self._encode_literally(texts)
        return self.table[self._gpt2_tokens(bpe.ENDOFTEXT.join(texts) + bpe.ENDOFTEXT, {bpe.ENDOFTEXT})]

    def encode_batch(self, texts: Sequence[str]) -> tuple[Tokens, npt.NDArray[np.int64]]:
        """Ids of all texts one after the other, and where each text ends.

        Returns
        -------
        ids : (n,) uint16
            With ``</s>`` after every text.
        ends : (len(texts),) int64
            Position of each text's ``</s>`` in ``ids``.
        """
        ids = self.encode_stream(texts)
        ends = np.flatnonzero(ids == self.eos)
        if len(ends) != len(texts):
            raise ConversionError(f"{len(texts)} texts gave {len(ends)} separators; is the vocabulary damaged?")
        return ids, ends

    def _encode_literally(self, texts: Sequence[str]) -> Tokens:
        end = np.array([self.eos], np.uint16)
        parts: list[Tokens] = []
        for text in texts:
            parts += [self.table[self._gpt2_tokens(text, set())], end]
        return np.concatenate(parts)

    def _encode_fast(self, fast: FastEncoder, texts: Sequence[str]) -> Tokens:
        ids, ends = fast.encode(texts)
        parts: list[Tokens] = []
        start = 0
        for number in np.flatnonzero(ends < 0).tolist():
            done = ends[:number].max(initial=-1) + 1
            parts += [self.table[ids[start:done]], self._encode_literally(texts[number : number + 1])]
            start = int(done)
        return np.concatenate([*parts, self.table[ids[start:]]]) if parts else self.table[ids]

    def _gpt2_tokens(self, text: str, allowed: set[str]) -> npt.NDArray[np.uint32]:
        encoding = bpe.encoding(self.directory)
        try:
            return encoding.encode_to_numpy(text, allowed_special=allowed, disallowed_special=())
        except UnicodeEncodeError:
            text, _ = replace_surrogates(text)
            return self._gpt2_tokens(text, allowed)
        except AttributeError:
            ids = encoding.encode(text, allowed_special=allowed, disallowed_special=())
            return np.array(ids, np.uint32)

    # ids -> text

    def decode(self, ids: npt.ArrayLike, specials: bool = False) -> str:
        numbers = self.in_range(ids)
        words = bpe.ranks(self.directory)
        tokens = self.inverse[numbers]
        if not specials:
            return b"".join(words[t] for t in tokens.tolist() if t >= 0).decode("utf-8", "replace")
        names = {number: name for name, number in reversed(self.specials.items())}
        spelled = [
            words[t] if t >= 0 else names.get(n, f"<{n}>").encode()
            for t, n in zip(tokens.tolist(), numbers.tolist(), strict=True)
        ]
        return b"".join(spelled).decode("utf-8", "replace")

    # the record in a file

    def manifest(self) -> dict[str, Any]:
        """The record of this numbering in a file's manifest, which :func:`from_manifest` reads."""
        record: dict[str, Any] = {
            "tokenizer": "gpt2",
            "ranks_sha256": bpe.RANKS_SHA256,
            "kind": self.kind,
            "size": self.size,
            "specials": self.specials,
        }
        if self.kind == "dict":
            record["dict_sha256"] = self.source
            record["table"] = base64.b64encode(zlib.compress(self.table.astype("<u2").tobytes(), 9)).decode("ascii")
            if self.earlier:
                record["earlier"] = sorted(self.earlier.items())
        return record


def fairseq(directory: Path | None = None) -> Numbering:
    """The default numbering of 50,262 ids: four specials, then GPT-2's tokens in their order, then ``<mask>``."""
    table = (np.arange(bpe.TOKENS) + 4).astype(np.uint16)
    table[bpe.ENDOFTEXT_ID] = 2
    return Numbering("fairseq", 50262, 0, 1, 2, 3, 50261, table, directory=directory)


def gpt2(directory: Path | None = None) -> Numbering:
    """GPT-2's own numbers; ``<|endoftext|>``, its only special token, serves as start, end and padding."""
    end = bpe.ENDOFTEXT_ID
    table = np.arange(bpe.TOKENS).astype(np.uint16)
    return Numbering("gpt2", bpe.TOKENS, end, end, end, None, None, table, directory=directory)


def from_record(record: Mapping[str, Any], directory: Path | None = None) -> Numbering:
    """The numbering whose :meth:`Numbering.manifest` made this record.

    Raises
    ------
    CorruptError
        When it is not such a record.
    """
    if record.get("ranks_sha256") != bpe.RANKS_SHA256:
        raise CorruptError("the file was written with another tokenizer's vocabulary")
    kind = record.get("kind")
    if kind == "fairseq":
        return fairseq(directory)
    if kind == "gpt2":
        return gpt2(directory)
    if kind != "dict":
        raise CorruptError(f"unknown numbering {kind!r}")
    try:
        unpacker = zlib.decompressobj()
        table = np.frombuffer(unpacker.decompress(base64.b64decode(record["table"], validate=True), 1 << 18), "<u2")
        size, source, mask = int(record["size"]), str(record["dict_sha256"]), int(record["specials"]["<mask>"])
        earlier = {int(number): int(word) for number, word in record.get("earlier", ())}
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error):
        raise CorruptError("the vocabulary recorded in the file is damaged") from None
    fits = table.shape == (bpe.TOKENS,) and 5 <= size <= 65536 and 4 <= mask < size and int(table.max()) < size
    if not fits or not all(4 <= n < size and 0 <= w < bpe.ENDOFTEXT_ID for n, w in earlier.items()):
        raise CorruptError("the vocabulary recorded in the file is damaged")
    ids = table.astype(np.uint16)
    return Numbering("dict", size, 0, 1, 2, 3, mask, ids, source=source, directory=directory, earlier=earlier)

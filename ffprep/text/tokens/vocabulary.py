"""Numberings of GPT-2's tokens; they turn text into numbers and back.

==============  =========  ======  ======  ======  ======  ========  ==================================
kind            size       <s>     <pad>   </s>    <unk>   <mask>    token number k of GPT-2
==============  =========  ======  ======  ======  ======  ========  ==================================
``fairseq``     50,262     0       1       2       3       50,261    k + 4
``dict``        by file    0       1       2       3       last      4 + its line in fairseq's dict.txt
``gpt2``        50,257     50,256  50,256  50,256  none    none      k
==============  =========  ======  ======  ======  ======  ========  ==================================

``<|endoftext|>`` in a text is ordinary text. In a stream of tokens ``</s>`` follows every document, so that the stream
can be divided into its documents again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.common.source_files import read_file
from ffprep.errors import ConversionError, CorruptError, OptionError, SourceError
from ffprep.text.tokens import bpe

if TYPE_CHECKING:
    from ffprep.text.tokens.fast import FastEncoder

Tokens = npt.NDArray[np.uint16]

UNMAPPED = -1
"""What :attr:`Vocabulary.inverse` has for ids that are not a GPT-2 token."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A numbering of GPT-2's 50,257 tokens.

    Attributes
    ----------
    kind : str
        ``"fairseq"``, ``"dict"`` or ``"gpt2"``.
    size : int
        Number of ids, at most 65,536.
    bos, pad, eos : int
        Ids of ``<s>``, ``<pad>`` and ``</s>``.
    unk, mask : int or None
        Ids of ``<unk>`` and ``<mask>``.
    table : (50257,) uint16
        Id of each GPT-2 token. ``<|endoftext|>`` has the id of ``</s>``, since only separators become this token.
    source : str
        SHA-256 of the dict.txt; empty for the other kinds.
    directory : Path or None
        Folder of the GPT-2 files; None to search the usual places.
    """

    kind: str
    size: int
    bos: int
    pad: int
    eos: int
    unk: int | None
    mask: int | None
    table: Tokens
    source: str = ""
    directory: Path | None = None

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
        return found

    def same_as(self, other: Vocabulary) -> bool:
        """Whether both vocabularies give the same ids for every text."""
        mine = (self.kind == "gpt2", self.size, self.specials)
        theirs = (other.kind == "gpt2", other.size, other.specials)
        return mine == theirs and bool(np.array_equal(self.table, other.table))

    # text -> ids

    def encode(self, text: str) -> Tokens:
        """Ids of a text, without special tokens.

        Returns
        -------
        (n,) uint16
        """
        return self.encode_stream([text])[:-1]

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
        """Text of some ids.

        Parameters
        ----------
        ids : (n,) integers
        specials : bool
            Whether to spell out special tokens and ids without a text (``</s>``, ``<50000>``) or to leave them out.

        Raises
        ------
        ValueError
            When an id is not in the numbering.
        """
        numbers = np.asarray(ids)
        if numbers.size and (int(numbers.min()) < 0 or int(numbers.max()) >= self.size):
            raise ValueError(f"ids go from {numbers.min()} to {numbers.max()}; this numbering has {self.size}")
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

    def decode_documents(self, ids: npt.ArrayLike) -> list[str]:
        """Texts of a stream in which ``</s>`` follows every document; the last document may lack it."""
        numbers = np.asarray(ids)
        ends = np.flatnonzero(numbers == self.eos)
        starts = np.concatenate([[0], ends + 1])
        stops = np.concatenate([ends, [len(numbers)]])
        spans = [(a, b) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        if spans[-1][0] == spans[-1][1]:
            spans.pop()
        return [self.decode(numbers[a:b]) for a, b in spans]

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
        return record


def fairseq(directory: Path | None = None) -> Vocabulary:
    """The default numbering of 50,262 ids: four specials, then GPT-2's tokens in their order, then ``<mask>``."""
    table = (np.arange(bpe.TOKENS) + 4).astype(np.uint16)
    table[bpe.ENDOFTEXT_ID] = 2
    return Vocabulary("fairseq", 50262, 0, 1, 2, 3, 50261, table, directory=directory)


def gpt2(directory: Path | None = None) -> Vocabulary:
    """GPT-2's own numbers; ``<|endoftext|>``, its only special token, serves as start, end and padding."""
    end = bpe.ENDOFTEXT_ID
    table = np.arange(bpe.TOKENS).astype(np.uint16)
    return Vocabulary("gpt2", bpe.TOKENS, end, end, end, None, None, table, directory=directory)


def from_dict(path: Path, directory: Path | None = None) -> Vocabulary:
    """The numbering of a fairseq ``dict.txt``, whose lines consist of a GPT-2 token number and a count.

    A token's id follows from the number of its line. Entries that are not a GPT-2 token (``madeupword0000``) take an id
    but have no text. GPT-2 tokens that are not in the file become ``<unk>``. ``<mask>`` follows the last line, where
    the tasks of RoBERTa and Data2Vec2 add it.

    Raises
    ------
    SourceError
        When the file is not such a dictionary, or is too long for 16-bit ids.
    """
    try:
        data = read_file(path)
        lines = data.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: not a fairseq dict.txt: {error}") from None
    table = np.full(bpe.TOKENS, 3, np.uint16)
    if len(lines) + 5 > 65536:
        raise SourceError(f"{path}: {len(lines)} lines; ids of 16 bits allow 65,531")
    seen: set[str] = set()
    for number, line in enumerate(lines):
        word, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
        if not word or not count.isdigit():
            raise SourceError(f"{path}: line {number + 1} is not 'token count': {line[:60]!r}")
        if word in seen:
            raise SourceError(f"{path}: line {number + 1} repeats token {word!r}")
        seen.add(word)
        if word.isascii() and word.isdigit() and str(int(word)) == word and int(word) < bpe.TOKENS:
            table[int(word)] = 4 + number
    known = int((table[: bpe.ENDOFTEXT_ID] != 3).sum())
    if known < 256:
        raise SourceError(f"{path}: only {known} of its lines are GPT-2 token numbers; is it a dictionary of words?")
    table[bpe.ENDOFTEXT_ID] = 2
    size = 4 + len(lines) + 1
    digest = hashlib.sha256(data).hexdigest()
    return Vocabulary("dict", size, 0, 1, 2, 3, size - 1, table, source=digest, directory=directory)


def open_vocabulary(numbering: str = "fairseq", directory: Path | None = None) -> Vocabulary:
    """The numbering that a command's option names: ``fairseq``, ``gpt2`` or the path of a ``dict.txt``.

    Raises
    ------
    OptionError
        When it is none of these.
    """
    if numbering == "fairseq":
        return fairseq(directory)
    if numbering == "gpt2":
        return gpt2(directory)
    if Path(numbering).is_file():
        return from_dict(Path(numbering), directory)
    raise OptionError(f"numbering {numbering!r}: give fairseq, gpt2 or the path of a fairseq dict.txt")


def from_manifest(record: Any, directory: Path | None = None) -> Vocabulary:
    """The numbering with which a file was written, from the record that :meth:`Vocabulary.manifest` made.

    Raises
    ------
    CorruptError
        When it is not such a record.
    """
    if not isinstance(record, dict) or record.get("tokenizer") != "gpt2":
        raise CorruptError("the file names no GPT-2 vocabulary; its tokens cannot be turned into text")
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
        size, source = int(record["size"]), str(record["dict_sha256"])
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error):
        raise CorruptError("the vocabulary recorded in the file is damaged") from None
    if table.shape != (bpe.TOKENS,) or not 5 <= size <= 65536 or int(table.max()) >= size - 1:
        raise CorruptError("the vocabulary recorded in the file is damaged")
    return Vocabulary("dict", size, 0, 1, 2, 3, size - 1, table.astype(np.uint16), source=source, directory=directory)


def check_vocabulary(record: Any, numbering: str, where: str) -> None:
    """Check that a file's tokens are numbered as a model expects.

    Parameters
    ----------
    record : mapping or None
        The file's record of its numbering, see :meth:`Vocabulary.manifest`.
    numbering : str
        The expected numbering, as for :func:`open_vocabulary`.
    where : str
        Name of the file in messages.

    Raises
    ------
    OptionError
        When the numbering is another one, or the file does not record it.
    """
    expected = open_vocabulary(numbering)
    if record is None:
        raise OptionError(f"{where}: does not say how its tokens are numbered; {numbering} is asked for")
    found = from_manifest(record)
    if not found.same_as(expected):
        raise OptionError(
            f"{where}: its {found.size:,} tokens are numbered as {found.kind}, not as {numbering} with its "
            f"{expected.size:,}; convert or export it with --numbering {numbering}"
        )


def replace_surrogates(text: str) -> tuple[str, int]:
    """Join surrogate pairs into characters and replace lone ones by U+FFFD; also returns the number of the latter."""
    fixed = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return fixed, fixed.count("\ufffd") - text.count("\ufffd")

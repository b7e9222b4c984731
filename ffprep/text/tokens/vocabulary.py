"""Vocabularies by name, and by what a file records: a numbering of GPT-2's tokens, or another tokenizer's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ffprep.common.files.source_files import open_binary
from ffprep.errors import CorruptError, OptionError
from ffprep.text.tokens import numbering, tokenizer
from ffprep.text.tokens.base import Tokens, Vocabulary, replace_surrogates
from ffprep.text.tokens.fairseq_dict import from_dict
from ffprep.text.tokens.numbering import UNMAPPED, Numbering, fairseq, gpt2
from ffprep.text.tokens.tokenizer import TokenizerVocabulary, open_tokenizer

__all__ = [
    "UNMAPPED",
    "Numbering",
    "TokenizerVocabulary",
    "Tokens",
    "Vocabulary",
    "check_vocabulary",
    "fairseq",
    "from_dict",
    "from_manifest",
    "gpt2",
    "open_tokenizer",
    "open_vocabulary",
    "replace_surrogates",
]

GPT2_NAMES = ("gpt2", "r50k_base")
"""What GPT-2's tokenizer is called, by itself and by tiktoken."""


def open_vocabulary(name: str = "fairseq", directory: Path | None = None) -> Vocabulary:
    """The vocabulary of a name.

    Parameters
    ----------
    name : str
        ``fairseq``, ``gpt2`` or the path of a fairseq dict.txt, all of GPT-2's tokens; or another tokenizer: see
        `open_tokenizer`.
    directory : Path, optional
        Folder of the GPT-2 files.

    Raises
    ------
    OptionError
        When it is none of these.
    SourceError
        When the file that it names is damaged.
    """
    if name == "fairseq":
        return fairseq(directory)
    if name in GPT2_NAMES:
        return gpt2(directory)
    if Path(name).is_file() and _is_dict(Path(name)):
        return from_dict(Path(name), directory)
    if Path(name).exists() or name in tokenizer.encoding_names():
        return open_tokenizer(name)
    raise OptionError(
        f"vocabulary {name!r}: give fairseq, gpt2, the path of a fairseq dict.txt, or a tokenizer: a Hugging Face "
        "tokenizer.json, a SentencePiece model or the name of a tiktoken encoding"
    )


def _is_dict(path: Path) -> bool:
    """Whether a file is to be read as a dict.txt rather than as a tokenizer, by its name or its first bytes."""
    if path.suffix in tokenizer.SUFFIXES:
        return False
    if path.suffix == ".txt":
        return True
    with open_binary(path) as file:
        head = file.read(64)
    return not head.lstrip().startswith(b"{") and b"\n" in head and head.isascii() and b"\x00" not in head


def from_manifest(record: Any, directory: Path | None = None) -> Vocabulary:
    """The vocabulary with which a file was written, from the record that :meth:`Vocabulary.manifest` made.

    Raises
    ------
    CorruptError
        When it is not such a record.
    """
    kind = record.get("tokenizer") if isinstance(record, dict) else None
    if kind == "gpt2":
        return numbering.from_record(record, directory)
    if kind in tokenizer.LIBRARIES:
        return tokenizer.from_record(record)
    raise CorruptError("the file names no vocabulary that ffprep knows; its tokens cannot be turned into text")


def check_vocabulary(record: Any, name: str, where: str) -> None:
    """Check that a file has the tokens that a model expects.

    Parameters
    ----------
    record : mapping or None
        The file's record of its vocabulary, see :meth:`Vocabulary.manifest`.
    name : str
        The expected vocabulary, as for :func:`open_vocabulary`.
    where : str
        Name of the file in messages.

    Raises
    ------
    OptionError
        When the vocabulary is another one, or the file does not record it.
    """
    expected = open_vocabulary(name)
    if record is None:
        raise OptionError(f"{where}: does not say how its tokens are numbered; {name} is asked for")
    found = from_manifest(record)
    same = found.same_as(expected)
    if isinstance(found, TokenizerVocabulary) and isinstance(expected, TokenizerVocabulary):
        same = found.same_tokenizer(expected)
    if not same:
        remedy = "convert or export it with" if isinstance(expected, Numbering) else "convert it with"
        option = "--vocabulary" if isinstance(expected, Numbering) else "--tokenizer"
        raise OptionError(
            f"{where}: its {found.size:,} tokens are numbered as {found.label}, not as {name} with its "
            f"{expected.size:,}; {remedy} {option} {name}"
        )

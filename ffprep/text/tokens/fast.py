"""Tokenising long runs of text in compiled code, with tiktoken for the rest: the same tokens, several times
as fast.

The kernel needs numba and a second or two to begin with, so it takes over when a process has tokenised some
megabytes. Before that it must agree with tiktoken on a probe.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import tiktoken

AFTER = 4 << 20
"""Characters a process tokenises with tiktoken alone."""
SEPARATOR = 50256

PROBE = (
    "It's a test: we'll see that they've 12,345 words, don't we? I'd say 'so'.\n\n  Indented\tand  spaced \n",
    "naïve café — “quoted” … 中文字符，日本語のテキスト。 한국어 русский текст ελληνικά עברית العربية ١٢٣ Ⅷ ½",
    "def f(x):\n    return x**2  # 3.14159e-10 != 0xFF;\r\n\u00a0\u2003\u3000end\x1c\x85",
    "e\u0301 \u200b\u202e 👨‍👩‍👧 ok",
    "supercalifragilisticexpialidocious " * 3 + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!!!!!!!!????  '''s ''ll 're're",
    "<|endoftext|> \ufffd\ufeff   ",
    "",
)


class FastEncoder:
    """GPT-2's tokens of many texts at once.

    Parameters
    ----------
    words : sequence of bytes
        The vocabulary by rank.
    """

    def __init__(self, words: Sequence[bytes]) -> None:
        from ffprep.text.tokens import bpe_kernel as bpe

        self._kernel = bpe
        self._tables = bpe.make_tables(words)

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
        """Tokens of all texts one after the other, with ``SEPARATOR`` after each.

        Holds no lock of the interpreter while it works.

        Returns
        -------
        ids : (n,) uint16
        ends : (len(texts),) int64
            Where each text's separator is; -1 for texts that are left out, for tiktoken to do.

        Raises
        ------
        UnicodeEncodeError
            When a text holds lone surrogates.
        """
        kernel, tables = self._kernel, self._tables
        if not texts:
            return np.empty(0, np.uint16), np.empty(0, np.int64)
        end = bytes([kernel.END])
        data = bytearray(end.join([text.encode("utf-8") for text in texts]))
        data += end
        size = len(data)
        data += bytes(kernel.PADDING)
        ids = np.empty(size, np.uint16)
        ends = np.empty(len(texts), np.int64)
        count = kernel.tokenise(
            np.frombuffer(data, np.uint8),
            size,
            tables.classes,
            tables.short_keys,
            tables.short_values,
            tables.long_keys,
            tables.long_values,
            tables.pair_keys,
            tables.pair_values,
            tables.byte_ids,
            SEPARATOR,
            ids,
            ends,
        )
        return ids[:count], ends

    def agrees(self, encoding: tiktoken.Encoding) -> bool:
        """Whether the kernel and tiktoken give the same tokens for the probe."""
        ids, ends = self.encode(PROBE)
        start = 0
        for text, end in zip(PROBE, ends.tolist(), strict=True):
            if end >= 0:
                if ids[start:end].tolist() != encoding.encode_ordinary(text):
                    return False
                start = end + 1
        return bool((ends >= 0).any())


class Takeover:
    """Says when to use the kernel, and makes it once for a process.

    Parameters
    ----------
    words : sequence of bytes
        The vocabulary by rank.
    encoding : tiktoken.Encoding
    """

    def __init__(self, words: Sequence[bytes], encoding: tiktoken.Encoding) -> None:
        self._words = words
        self._encoding = encoding
        self._lock = threading.Lock()
        self._seen = 0
        self._encoder: FastEncoder | None = None
        self._useless = False

    def encoder(self, characters: int) -> FastEncoder | None:
        """The kernel, once enough has been tokenised; None while tiktoken should do it.

        Parameters
        ----------
        characters : int
            How many are to be tokenised now.
        """
        if self._encoder is not None or self._useless:
            return self._encoder
        self._seen += characters
        if self._seen > AFTER and self._lock.acquire(blocking=False):
            try:  # other threads go on with tiktoken meanwhile
                if self._encoder is None and not self._useless:
                    made = FastEncoder(self._words)
                    self._useless = not made.agrees(self._encoding)
                    self._encoder = None if self._useless else made
            finally:
                self._lock.release()
        return self._encoder

"""Tokenises long runs of text in compiled code: the same tokens as tiktoken's, several times as fast.

Loading the kernel takes numba and a second or two, so that tiktoken does the first megabytes of a process. The kernel
is used only if it then agrees with tiktoken on a probe.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ffprep.text.tokens import bpe_kernel, bpe_tables

if TYPE_CHECKING:
    import tiktoken

AFTER = 4 << 20
"""Number of characters after which a process uses the kernel."""
SEPARATOR = 50256
"""Token after each text: GPT-2's ``<|endoftext|>``."""

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
    """Gives GPT-2's tokens of many texts at once.

    Parameters
    ----------
    words : sequence of bytes
        Byte strings of the vocabulary in order of rank.
    """

    def __init__(self, words: Sequence[bytes]) -> None:
        self._kernel = bpe_kernel
        self._tables = bpe_tables.make_tables(words)

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
        """Tokenise texts, without the interpreter's lock.

        Returns
        -------
        ids : (n,) uint16
            Tokens of all texts one after the other, with ``SEPARATOR`` after each.
        ends : (len(texts),) int64
            Position of each text's separator; -1 for texts that were left out and must go to tiktoken.

        Raises
        ------
        UnicodeEncodeError
            When a text holds lone surrogates.
        """
        kernel = self._kernel
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
            self._tables,
            SEPARATOR,
            ids,
            ends,
        )
        return ids[:count], ends

    def agrees(self, encoding: tiktoken.Encoding) -> bool:
        """Whether this encoder and tiktoken give the same tokens for the probe."""
        ids, ends = self.encode(PROBE)
        start = 0
        for text, end in zip(PROBE, ends.tolist(), strict=True):
            if end >= 0:
                if ids[start:end].tolist() != encoding.encode_ordinary(text):
                    return False
                start = end + 1
        return bool((ends >= 0).any())


class LazyEncoder:
    """Makes the fast encoder once a process has tokenised enough to profit from it.

    Parameters
    ----------
    words : sequence of bytes
        Byte strings of the vocabulary in order of rank.
    encoding : tiktoken.Encoding
        The encoding with which the fast encoder must agree.
    """

    def __init__(self, words: Sequence[bytes], encoding: tiktoken.Encoding) -> None:
        self._words = words
        self._encoding = encoding
        self._lock = threading.Lock()
        self._seen = 0
        self._encoder: FastEncoder | None = None
        self._disagrees = False

    def get(self, characters: int) -> FastEncoder | None:
        """The fast encoder once enough has been tokenised; None as long as tiktoken is to be used.

        Parameters
        ----------
        characters : int
            Number of characters about to be tokenised.
        """
        if self._encoder is not None or self._disagrees:
            return self._encoder
        self._seen += characters
        if self._seen > AFTER and self._lock.acquire(blocking=False):
            try:  # other threads use tiktoken in the meantime
                if self._encoder is None and not self._disagrees:
                    made = FastEncoder(self._words)
                    self._disagrees = not made.agrees(self._encoding)
                    self._encoder = None if self._disagrees else made
            finally:
                self._lock.release()
        return self._encoder

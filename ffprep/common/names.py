"""Names of files: as readable text whatever their bytes are, and those that systems leave behind."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

_SURROGATE = re.compile("[\ud800-\udfff]")

CLUTTER = frozenset(
    {
        ".AppleDouble",
        ".DS_Store",
        ".Spotlight-V100",
        ".TemporaryItems",
        ".Trashes",
        ".cache",
        ".fseventsd",
        ".git",
        ".ipynb_checkpoints",
        ".thumbnails",
        "#recycle",
        "$RECYCLE.BIN",
        "@eaDir",
        "System Volume Information",
        "Thumbs.db",
        "__MACOSX",
        "__pycache__",
        "lost+found",
    }
)
"""Names of folders and files that notebooks, archivers and file systems leave behind among the data."""


def readable(text: str) -> str:
    r"""Return text without surrogates: a byte of a file name that is not UTF-8 becomes ``\xe9``.

    Python's surrogates for such bytes can be neither stored as UTF-8 nor printed.
    """
    return text if text.isascii() else _SURROGATE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def is_clutter(name: str) -> bool:
    """Whether a folder or file of this name was left behind by a system: in `CLUTTER`, or AppleDouble's ``._name``."""
    return name in CLUTTER or name.startswith(("._", ".Trash-"))


def in_clutter(path: str) -> bool:
    """Whether any part of a path with forward slashes is clutter."""
    return any(map(is_clutter, path.split("/")))


class Clutter:
    """What systems left among the data of one source: left out, and noted; or taken like the rest.

    Parameters
    ----------
    taken : bool

    Attributes
    ----------
    left_out : list of str
        Paths of folders and of files that would have been data.
    """

    def __init__(self, taken: bool = False) -> None:
        self.taken = taken
        self.left_out: list[str] = []

    def leaves_out(self, path: str, data: bool = True, hidden: bool = False) -> bool:
        """Whether a path with forward slashes is to be left out, which is noted if it would have been `data`.

        With `hidden`, all names that begin with a dot are clutter.
        """
        if self.taken or not (in_clutter(path) or (hidden and re.search(r"(^|/)\.[^./]", path))):
            return False
        if data:
            self.left_out.append(path)
        return True

    @property
    def facts(self) -> dict[str, bool]:
        """What a manifest records of the choice, so that the source can be opened the same way again."""
        return {"all_files": True} if self.taken else {}

    def notes(self) -> list[str]:
        """What the user should know: a sentence, or nothing."""
        if not self.left_out:
            return []
        return [f"left out {len(self.left_out):,} {left_behind(len(self.left_out), self.left_out)}"]


def left_behind(count: int, names: Sequence[str]) -> str:
    """What follows the number of things that were left out: what they are, the first of their names, the option."""
    listed = ", ".join(map(readable, names[:3])) + (", ..." if count > 3 else "")
    return f"that systems leave among the data ({listed}); --all-files takes them"


def did_you_mean(word: str, words: Iterable[str], suffix: str = "") -> str:
    """Return a question to end a message with, about up to three words that are spelled like `word`, or nothing.

    They are about as like it as the best of them, and are shown with `suffix` after them.
    """
    near = difflib.get_close_matches(word, list(words))
    likeness = [difflib.SequenceMatcher(None, one, word).ratio() for one in near]
    near = [one for one, ratio in zip(near, likeness, strict=True) if ratio > likeness[0] - 0.1]
    return f"; did you mean {' or '.join(one + suffix for one in near)}?" if near else ""

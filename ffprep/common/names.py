"""Names: of files as readable text whatever their bytes are, those that systems leave behind, and misspelled ones."""

from __future__ import annotations

import difflib
import inspect
import os
import re
import reprlib
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ffprep.errors import FfprepError, OptionError, UnknownOptionError, first_line

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


if TYPE_CHECKING:
    _MetaOfProtocols = ABCMeta
else:  # so that a user's class may be one of ours and a protocol's at the same time
    _MetaOfProtocols = type(Protocol)


class _NamesArguments(_MetaOfProtocols):
    """Checks the names of a constructor's arguments, and adds the call and what it takes to an error about one."""

    if not TYPE_CHECKING:
        # None of what makes and compares protocols is for our classes, and it needs what only protocols have.
        __instancecheck__ = ABCMeta.__instancecheck__
        __subclasscheck__ = ABCMeta.__subclasscheck__

        def __new__(mcls, *arguments, **options):
            return ABCMeta.__new__(mcls, *arguments, **options)

        @property
        def __signature__(cls):  # otherwise inspect.signature of a class would be that of `__call__` below
            own = inspect.signature(cls.__init__)
            return own.replace(parameters=list(own.parameters.values())[1:])

        def __call__(cls, *arguments, **options):
            try:
                return super().__call__(*arguments, **options)
            except (TypeError, ValueError) as error:
                if isinstance(error, TypeError):
                    check_keywords(cls.__name__, cls.__init__, options, instead=cls._instead)
                of_the_call = error.__traceback__ is None or error.__traceback__.tb_next is None
                if isinstance(error, FfprepError) or of_the_call or not cls._of_ffprep():
                    raise
                given = [*map(reprlib.repr, arguments), *(f"{key}={reprlib.repr(one)}" for key, one in options.items())]
                takes = str(cls.__signature__).replace("'", "").removesuffix(" -> None")
                raise OptionError(
                    f"{cls.__name__}({', '.join(given)}): {first_line(error)}; it takes {takes}"
                ) from error


class NamesKeywords(metaclass=_NamesArguments):
    """A class whose constructor says of a misspelled keyword what was meant, and of a wrong value what it takes."""

    _instead: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def _of_ffprep(cls) -> bool:
        """Whether a failure of the constructor stands for a wrong value; of others' classes it is left alone."""
        return cls.__module__.startswith("ffprep.")


def check_keywords(
    call: str,
    function: Callable[..., Any],
    given: Iterable[str],
    more: Iterable[str] = (),
    instead: Mapping[str, str] | None = None,
) -> None:
    """Check that all keywords of a call are parameters of `function`, or further names.

    Parameters
    ----------
    call : str
        What messages call the function.
    function : callable
        One that takes any keywords itself is not checked, unless there are further names.
    given : iterable of str
    more : iterable of str
        What it takes by ``**``.
    instead : mapping of str to str, optional
        What stands here for options of others.

    Raises
    ------
    UnknownOptionError
        One of them is none.
    """
    more = set(more)
    parameters = list(inspect.signature(function).parameters.values())
    if not more and any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    names = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    known = sorted({*names, *more} - {"self"})
    for name in given:
        if name in known:
            continue
        if instead and name in instead:
            raise UnknownOptionError(f"{call} has no option {name!r}; give {instead[name]} instead")
        near = did_you_mean(name, known) or (f"; there are {', '.join(known)}" if known else "; it takes none")
        raise UnknownOptionError(f"{call} has no option {name!r}{near}")


def missing_file(path: str | os.PathLike[str]) -> str:
    """Say that there is nothing at a path, and name files beside it that are spelled like it."""
    wanted = Path(path)
    if wanted.is_symlink():
        return f"is a link to {wanted.readlink()}, where no file or folder is"
    if unexpanded := _tilde(wanted):
        return f"no such file or folder{unexpanded}"
    try:
        beside = [Path(name) for name in os.listdir(wanted.parent)]  # noqa: PTH208 - names alone
    except OSError:
        beside = []
    near = did_you_mean(wanted.stem, [one.stem for one in beside if one.suffix == wanted.suffix], wanted.suffix)
    near = near or did_you_mean(wanted.name, [one.name for one in beside if one.suffix != wanted.suffix])
    return f"no such file or folder{near or '; check the name'}"


def missing_folder(folder: Path) -> str:
    """Say that there is no folder to write to at a path."""
    return f"no such folder{_tilde(folder) or '; make it first'}"


def _tilde(path: Path) -> str:
    """What to say of a path in the home folder that the shell has left as it was, as after ``--out=``; or nothing."""
    if not path.parts or not path.parts[0].startswith("~"):
        return ""
    try:
        return f"; ~ was not replaced by the shell: give {path.expanduser()}"
    except RuntimeError:  # there is no such user
        return ""


def did_you_mean(word: str, words: Iterable[str], suffix: str = "") -> str:
    """Return a question to end a message with, about up to three words that are spelled like `word`, or nothing.

    They are about as like it as the best of them, and are shown with `suffix` after them.
    """
    near = difflib.get_close_matches(word, list(words))
    likeness = [difflib.SequenceMatcher(None, one, word).ratio() for one in near]
    near = [one for one, ratio in zip(near, likeness, strict=True) if ratio > likeness[0] - 0.1]
    return f"; did you mean {' or '.join(one + suffix for one in near)}?" if near else ""

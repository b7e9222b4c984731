"""The originals of shrunk pictures, in a folder beside the page."""

from __future__ import annotations

import re
from pathlib import Path

from ffprep.common.files.replacing import TEMPORARY, naming
from ffprep.errors import OptionError
from ffprep.inspect.pages.cards import Card
from ffprep.inspect.pages.pictures import Picture

_MARK = "ffprep-originals.txt"
_TEXT = "Originals of the pictures on a page of ffprep preview. They go with that page.\n"
_NAME = re.compile(r"\d{5,}-\d+\.(jpg|png)")


class Originals:
    """Takes the originals of a page's pictures; the folder has its name when `keep` is called.

    Parameters
    ----------
    page : Path
        For a page ``X.html`` the folder is ``X_files``.
    wanted : bool
        Whether to write any.

    Raises
    ------
    OptionError
        There is something else of the folder's name. Nothing has been written then.
    """

    def __init__(self, page: Path, wanted: bool) -> None:
        self.folder = page.with_name(f"{page.stem}_files")
        self._unfinished = self.folder.with_name(self.folder.name + TEMPORARY)
        self.wanted = wanted and not (page.exists() and not page.is_file())  # /dev/stdout has nothing beside it
        self.written = 0
        self._begun = False

    def __enter__(self) -> Originals:
        return self

    def __exit__(self, *unused: object) -> None:
        if self._begun:
            _remove(self._unfinished)

    def take(self, number: int, card: Card) -> None:
        """Write what a card's pictures have of originals, and let the card link to them."""
        for place, picture in enumerate(card.pictures):
            link = ""
            if picture.original and self.wanted:
                name = f"{number:05}-{place}.{'png' if picture.original_kind == 'png' else 'jpg'}"
                self._write(name, picture.original)
                link = f"{self.folder.name}/{name}"
            card.links.append(link)
            card.pictures[place] = Picture(picture.name, picture.data, picture.kind)

    def _write(self, name: str, data: bytes) -> None:
        if not self.written:
            for folder in (self.folder, self._unfinished):
                _check_ours(folder)
            _remove(self._unfinished)
            self._begun = True
            with naming(self.folder):
                self._unfinished.mkdir()
                (self._unfinished / _MARK).write_text(_TEXT)
        with naming(self.folder / name):
            (self._unfinished / name).write_bytes(data)
        self.written += 1

    def keep(self) -> Path | None:
        """Let the folder take the place of an earlier one; return it, or None if there are no originals."""
        if not self.written:
            return None
        _remove(self.folder)
        self._unfinished.replace(self.folder)
        self.written, self._begun = 0, False
        return self.folder


def _check_ours(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not (folder / _MARK).is_file()):
        raise OptionError(
            f"{folder}: is there already, and the pictures' originals would go there; give the page another name, or "
            "--no-originals"
        )
    if folder.is_dir():
        alien = next(
            (one.name for one in folder.iterdir() if one.name != _MARK and not _NAME.fullmatch(one.name)), None
        )
        if alien is not None:
            raise OptionError(f"{folder}: has {alien}, which is none of the originals; move it, or give --no-originals")


def _remove(folder: Path) -> None:
    """Remove a folder of originals, and nothing that is none."""
    if not folder.is_dir():
        return
    if folder.is_symlink() or any(folder.iterdir()):
        _check_ours(folder)
    for one in sorted(folder.iterdir(), key=lambda one: one.name == _MARK):  # the mark goes last
        one.unlink()
    folder.rmdir()

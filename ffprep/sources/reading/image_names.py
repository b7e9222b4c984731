"""Finds images in folders and zip archives by the names that annotations give them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from ffprep.common.names import Clutter
from ffprep.errors import SourceError
from ffprep.sources.reading.file_sets import FileSet, FolderFiles, walk_images
from ffprep.sources.reading.zipped import JoinedFiles, ZipFiles

_COCO = re.compile(r"(?:COCO_(?:train|val|test)20\d\d_)?(\d{12})\.jpe?g", re.IGNORECASE)


class Place(NamedTuple):
    """Where an image is: the number of its folder or archive, and its number there."""

    group: int
    number: int


class Wanted(NamedTuple):
    """An image as annotations name it.

    Attributes
    ----------
    path : str
        Its path or base name, with forward slashes.
    url : str
        Its URL, whose path is asked where `path` fits several images; may be empty.
    """

    path: str
    url: str = ""

    @property
    def hint(self) -> str:
        """The path of the URL; empty if there is none."""
        try:
            return urlsplit(self.url).path
        except ValueError:
            return ""


class ImageNames:
    """All images in some folders and zip archives.

    An annotated image is the one whose path, the folder's or archive's own included, ends in the given path. Where only
    the base name fits, that must be unique both among the images and among the annotations. COCO's images of 2014 and
    of 2017 are the same pictures with the same numbers, so one set is found by the names of the other.

    Parameters
    ----------
    places : Sequence[Path]
        Folders, which are searched at any depth, and ``.zip`` files.
    clutter : Clutter, optional
        Decides about what systems leave among the images; by default it is left out.

    Raises
    ------
    SourceError
        When a place does not exist, or no image is found.
    """

    def __init__(self, places: Sequence[Path], clutter: Clutter | None = None) -> None:
        self._clutter = clutter or Clutter()
        self.places = list(places)
        self._groups: list[FileSet] = []
        self._above: list[list[str]] = []  # parts of each place's own path
        self._found: defaultdict[str, list[Place]] = defaultdict(list)
        self._pictures: defaultdict[str, list[Place]] = defaultdict(list)  # COCO's, by their numbers
        self.by_name = 0
        self._example = ""
        for place in places:
            if place.is_dir():
                self._add(FolderFiles(place, walk_images(place, ".", self._clutter)), _parts(str(place.absolute())))
            elif place.suffix.lower() == ".zip":
                self._add(ZipFiles(place, clutter=self._clutter), _parts(str(place.absolute().with_suffix(""))))
            else:
                raise SourceError(f"{place}: neither a folder of images nor a .zip archive")
        if not self._found:
            raise SourceError(f"{self.where}: no images there")

    def _add(self, files: FileSet, above: list[str]) -> None:
        for number, name in enumerate(files.names):
            place = Place(len(self._groups), number)
            base = name.rsplit("/", 1)[-1]
            self._found[_composed(base)].append(place)
            if picture := _COCO.fullmatch(base):
                self._pictures[picture[1]].append(place)
        self._groups.append(files)
        self._above.append(above)

    @property
    def where(self) -> str:
        """The folders and archives, for messages."""
        return ", ".join(map(str, self.places))

    def __contains__(self, base: str) -> bool:
        return _composed(base) in self._found

    def name_of(self, place: Place) -> str:
        """The image's path, for messages."""
        base = self.places[place.group]
        inside = self._groups[place.group].names[place.number]
        return f"{base}, in it {inside}" if base.is_file() else str(base / inside)

    def match(self, wanted: Sequence[Wanted], needed: Sequence[bool]) -> list[Place | None]:
        """Find the images that annotations name; None for those that are not there.

        All images of the annotations belong in `wanted`, also those that are not needed: a base name is known to be
        unique only then.

        Raises
        ------
        SourceError
            When it cannot be told which image is meant; the message names two that fit.
        """
        found: list[Place | None] = []
        by_name: dict[int, Place] = {}  # those that only their base name led to
        owner: dict[Place, int] = {}
        bases = [_composed(image.path.rpartition("/")[2]) for image in wanted]
        uses = Counter(bases)
        for number, (image, base) in enumerate(zip(wanted, bases, strict=True)):
            try:
                places = self._found.get(base, [])
                plain = len(places) == uses[base] == 1 and "/" not in image.path
                place, sure = (places[0], True) if plain else self._find(image)
            except SourceError:
                if needed[number]:
                    raise
                place = None
            found.append(place)
            if place is None:
                continue
            if sure:
                owner[place] = number
            else:
                by_name[number] = place
        for number, place in by_name.items():
            other = owner.setdefault(place, number)
            if wanted[other] == wanted[number] or not (needed[other] or needed[number]):
                continue
            if other not in by_name:
                found[number] = None  # the image is another annotation's, whose path fits
                continue
            names = [wanted[other], wanted[number]]
            first, second = ((n.hint if names[0].path == names[1].path else n.path) or n.path for n in names)
            raise SourceError(
                f"{first} and {second} are annotated, but only {self.name_of(place)} is there, whose folder is "
                "neither's: name the folders of --images as in the annotations"
            )
        for number, place in by_name.items():
            if found[number] and needed[number] and not _COCO.fullmatch(_parts(wanted[number].path)[-1]):
                self.by_name += 1
                self._example = self._example or f"{self.name_of(place)} for {wanted[number].path}"
        return found

    def notes(self) -> list[str]:
        """What the user should know about the images found."""
        notes = self._clutter.notes()
        if self.by_name:
            notes.append(self._by_name())
        return notes

    def _by_name(self) -> str:
        return f"{self.by_name:,} images found by name alone, in folders not called as annotated: {self._example}"

    def _find(self, wanted: Wanted) -> tuple[Place | None, bool]:
        """The image that is meant, and whether its path says so or only its base name."""
        parts = _parts(wanted.path)
        places = self._found.get(parts[-1], []) if parts else []
        if not places:
            picture = _COCO.fullmatch(parts[-1]) if parts else None
            places = self._pictures.get(picture[1], []) if picture else []
            return (self._only(places, wanted.path), True) if places else (None, False)
        longer = [path for path in (parts, _parts(wanted.hint)) if len(path) > 1 and path[-1] == parts[-1]]
        if len(places) == 1:
            return places[0], not longer or any(self._agreeing(places[0], path) > 1 for path in longer)
        for path in (parts, *longer):
            exact = [place for place in places if self._inside(place) == path]
            if len(exact) == 1:
                return exact[0], True
            fitting = [self._agreeing(place, path) for place in places]
            best = [place for place, count in zip(places, fitting, strict=True) if count == max(fitting)]
            if len(best) == 1:
                return best[0], True
        if longer and max(fitting) == 1:
            return None, False  # a folder is given, and none of the images is in one of that name
        return self._only(best, wanted.path), True

    def _only(self, places: Sequence[Place], wanted: str) -> Place:
        """The one image among those that fit equally well, which may be the same file found in two ways."""
        if len({self._real_path(place) for place in places}) > 1:
            raise SourceError(
                f"{wanted} may be {self.name_of(places[0])} or {self.name_of(places[1])}: give annotations with "
                "folders in their file names, or --images with only one of these"
            )
        return places[0]

    def _real_path(self, place: Place) -> str:
        base = self.places[place.group]
        inside = self._groups[place.group].names[place.number]
        return f"{os.path.realpath(base)}:{inside}" if base.is_file() else os.path.realpath(base / inside)

    def _inside(self, place: Place) -> list[str]:
        return _parts(self._groups[place.group].names[place.number])

    def _agreeing(self, place: Place, parts: list[str]) -> int:
        """How many parts of the image's path agree with the wanted ones, counted from the end."""
        path = [*self._above[place.group], *self._inside(place)]
        count = 0
        for ours, theirs in zip(reversed(path), reversed(parts), strict=False):
            if ours != theirs:
                break
            count += 1
        return count

    def not_among(self, named: Iterable[Place | None]) -> tuple[int, int]:
        """Count the images that no annotation names: those in folders where another is named, and those elsewhere."""
        used = {place for place in named if place is not None}
        folders = {self._folder(place) for place in used}
        beside = elsewhere = 0
        for group, files in enumerate(self._groups):
            for number in range(len(files.names)):
                place = Place(group, number)
                if place not in used:
                    known = self._folder(place) in folders
                    beside += known
                    elsewhere += not known
        return beside, elsewhere

    def _folder(self, place: Place) -> tuple[int, str]:
        return place.group, self._groups[place.group].names[place.number].rpartition("/")[0]

    def take(self, places: Sequence[Place]) -> JoinedFiles:
        """These images, in this order."""
        table = np.array(places, np.int64).reshape(-1, 2)
        return JoinedFiles(self._groups, table[:, 0].copy(), table[:, 1].copy())


def _parts(path: str) -> list[str]:
    """Parts of a path, without those that name no folder; what stands before a ``..`` is not known."""
    parts = [part for part in _composed(path).replace("\\", "/").split("/") if part not in ("", ".")]
    while ".." in parts:
        parts = parts[parts.index("..") + 1 :]
    return parts


def _composed(name: str) -> str:
    """A name in Unicode's composed form; macOS writes file names in the decomposed one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)

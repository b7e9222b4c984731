"""Finds images, captions and facts in webdataset tars, by webdataset's rule of what belongs together."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ffprep.common.files.source_files import open_regular
from ffprep.common.files.tar import members
from ffprep.common.names import Clutter
from ffprep.errors import SourceError
from ffprep.sources.reading.file_sets import TarFiles, is_image_name
from ffprep.sources.reading.left_out import LeftOut

ABSENT = -1
_MORE = ("gif", "avif")
"""Formats that servers send, in addition to those found in folders of photographs."""
_KINDS = {"txt": "texts", "json": "facts"}


class _Found(NamedTuple):
    """A member of an archive: the rest of its name after the first dot, and its place."""

    extension: str
    name: str
    offset: int
    size: int


@dataclass
class _Sample:
    """The members of one sample; several of a kind if it is not clear which one counts."""

    key: str
    members: dict[str, list[_Found]] = field(default_factory=dict)

    def add(self, kind: str, found: _Found) -> None:
        self.members.setdefault(kind, []).append(found)

    def fault(self) -> str | None:
        """Why it is not clear what belongs to the sample; None if it is. Keeps what counts."""
        for kind, found in self.members.items():
            plain = [one for one in found if "." not in one.extension]
            best = plain or found
            if len(best) > 1:
                what = {"images": "images", "texts": "captions"}.get(kind, "JSON files")
                first, second = best[0].name, best[1].name
                twice = f"{first}, twice" if first == second else f"{first} and {second}"
                return f"several {what} for one key: {twice}; the key is the name up to the first dot"
            self.members[kind] = best
        return None


class ShardIndex:
    """Places of the images, captions and facts in some archives.

    As webdataset has it, a sample is the members whose names are the same up to the first dot of the file's name; what
    follows the last dot says what a member is. ``0.jpg`` goes before ``0.input.jpg``. Members need not be adjacent.

    Parameters
    ----------
    paths : list of Path
    left_out : LeftOut
        Takes archives that are damaged, after their whole samples, and samples that are not clear.
    clutter : Clutter
        Decides about members that systems leave behind.
    """

    def __init__(self, paths: list[Path], left_out: LeftOut, clutter: Clutter) -> None:
        self.paths = paths
        self.facts = {"images_without_caption": 0, "captions_without_image": 0}
        self._left_out = left_out
        self._clutter = clutter
        self._endings: Counter[str] = Counter()
        self._tables: dict[str, tuple[list[str], list[tuple[int, int, int]]]] = {
            kind: ([], []) for kind in ("images", "texts", "facts")
        }
        self._rows: list[tuple[int, int]] = []
        self._keys: list[str] = []
        self._numbers: list[int] = []  # positions among all samples that have an image
        self._count = 0
        for number, path in enumerate(paths):
            samples, fault = self._walk(path)
            for sample in samples:
                self._take(number, sample)
            if fault:
                left_out.add(path, "", fault)

    def _walk(self, path: Path) -> tuple[list[_Sample], str]:
        """The samples of an archive in the order of their first members, and why it could not be read further."""
        samples: list[_Sample] = []
        by_key: dict[str, _Sample] = {}
        last = None
        try:
            fd = open_regular(path)
        except OSError as error:
            return [], f"the archive cannot be read: {error.strerror}"
        except SourceError as error:
            return [], f"the archive cannot be read: {str(error).removeprefix(f'{path}: ')}"
        try:
            for member in members(fd, label=str(path)):
                key, extension = split_key(member.name)
                kind = _KINDS.get(extension.rpartition(".")[2])
                if kind is None and (is_image_name(member.name) or extension.rpartition(".")[2] in _MORE):
                    kind = "images"
                if self._clutter.leaves_out(member.name, kind is not None, hidden=True) or not key:
                    continue
                self._endings[extension] += 1
                if kind is None:
                    continue
                sample = by_key.get(key)
                if sample is None or (sample is not last and kind in sample.members):  # the key begins anew
                    sample = by_key[key] = _Sample(key)
                    samples.append(sample)
                sample.add(kind, _Found(extension, member.name, member.offset, member.size))
                last = sample
        except (SourceError, OSError) as error:
            return samples, shard_damage(path, fd, error)
        finally:
            os.close(fd)
        return samples, ""

    def _take(self, archive: int, sample: _Sample) -> None:
        path = self.paths[archive]
        self._count += "images" in sample.members
        if "images" not in sample.members:
            self.facts["captions_without_image"] += 1
            return
        if len(sample.members) == 1:
            self.facts["images_without_caption"] += 1
            return
        if (fault := sample.fault()) is not None:
            self._left_out.add(path, f"sample {sample.key}", fault)
            return
        place = {}
        for kind, (found,) in sample.members.items():
            names, table = self._tables[kind]
            place[kind] = len(names)
            names.append(f"{path.stem}/{found.name}")
            table.append((archive, found.offset, found.size))
        self._rows.append((place.get("texts", ABSENT), place.get("facts", ABSENT)))
        self._keys.append(sample.key.rpartition("/")[2])
        self._numbers.append(self._count - 1)

    @property
    def images(self) -> list[str]:
        """Names of the images that have a caption."""
        return self._tables["images"][0]

    def files(self, kind: str) -> TarFiles:
        """The ``images``, ``texts`` or ``facts``."""
        names, where = self._tables[kind]
        table = np.array(where, np.int64).reshape(-1, 3)
        return TarFiles(self.paths, names, table[:, 0].astype(np.int32), table[:, 1].copy(), table[:, 2].copy())

    def columns(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each image the number of its caption among the ``texts``, and of its ``facts``; -1 if it has none."""
        table = np.array(self._rows, np.int64).reshape(-1, 2)
        return table[:, 0].copy(), table[:, 1].copy()

    def ids(self) -> npt.NDArray[np.int64]:
        """The images' names as numbers if all are different numbers, as img2dataset's are; otherwise their positions.

        Positions are those among all images of the archives, so one without a usable caption does not shift the others.
        """
        if all(key.isascii() and key.isdigit() and len(key) <= 18 for key in self._keys):
            numbers = np.array([int(key) for key in self._keys], np.int64)
            if len(np.unique(numbers)) == len(numbers):
                return numbers
        return np.array(self._numbers, np.int64)

    def endings(self) -> str:
        """What follows the first dot in the members' names, the most frequent first, with counts."""
        shown = [f".{ending or '(nothing)'} ({count:,})" for ending, count in self._endings.most_common(10)]
        return ", ".join(shown) + (", ..." if len(self._endings) > 10 else "")


def split_key(name: str) -> tuple[str, str]:
    """The sample's key and the rest of the name in lower case; no key if nothing stands before the first dot."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    stem, _, extension = parts[-1].partition(".") if parts else ("", "", "")
    return "/".join([*parts[:-1], stem]) if stem else "", extension.lower()


def shard_damage(path: Path, fd: int, error: Exception) -> str:
    if os.pread(fd, 3, 0) in (b"\x1f\x8b\x08", b"BZh", b"\xfd7z", b"\x28\xb5\x2f"):
        return "the archive is compressed: unpack it to a .tar, which can be read at any place"
    return f"the archive is damaged or incomplete: {str(error).removeprefix(f'{path}: ')}"

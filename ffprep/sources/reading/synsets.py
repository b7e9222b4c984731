"""Finds the class of each ImageNet validation image, from any of the forms in which the list of them is published.

=========================================  =====================================================================
``n01751748``                              ``imagenet_2012_validation_synset_labels.txt``: line k is for image k
``490``                                    ``ILSVRC2012_validation_ground_truth.txt`` of the development kit: line k is
                                           for image k; the number is the kit's own, and needs its ``meta.mat`` or a
                                           list of the WordNet ids in the kit's order
``ILSVRC2012_val_00000001.JPEG n01751748`` name and WordNet id, separated by blanks, a tab or a comma
``ILSVRC2012_val_00000001.JPEG 65``        Caffe's ``val.txt``: the number is the position among the sorted WordNet ids
``ImageId,PredictionString``               Kaggle's ``LOC_val_solution.csv``: ``name,n01751748 x y x y ...``
=========================================  =====================================================================
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ffprep.common.files.source_files import check_regular, read_file, read_text_file
from ffprep.errors import SourceError
from ffprep.sources.reading.matfile import read_struct_array

WNID = re.compile(r"n\d{8}")
CLASSES = 1000
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
LABEL_FILES = (
    "LOC_val_solution.csv",
    "ILSVRC2012_validation_synset_labels.txt",
    "ILSVRC2012_validation_synset_labels",
    "imagenet_2012_validation_synset_labels.txt",
    "val.txt",
    "val_labels.txt",
    GROUND_TRUTH,
)
"""The file names under which such a list is searched for."""

_KITS = ("ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12.tar.gz", "meta.mat")
_NUMBERED = re.compile(r"(?:.*_)?val_0*(\d+)$")
_LARGEST = 64 << 20  # bytes of a label file; real ones have 1 to 4 MB


@dataclass(frozen=True)
class ValidationLabels:
    """The class of every validation image: a WordNet id, or the position of one among the sorted ids.

    Attributes
    ----------
    by_position : Sequence of str or int
        Class of image 1, 2, ...; empty if the list has file names.
    by_stem : dict
        Class by file name without folder and suffix; empty if the list has no file names.
    label : str
        Name of the list in messages.
    """

    by_position: Sequence[str | int]
    by_stem: dict[str, str | int]
    label: str

    def of(self, name: str) -> str | int:
        """The class of the image called ``name``. Raises SourceError if it is not in the list."""
        stem = PurePosixPath(name).stem
        if self.by_stem:
            found = self.by_stem.get(stem)
            if found is None:
                raise SourceError(f"{self.label}: does not list {name}")
            return found
        match = _NUMBERED.match(stem)
        if match is None:
            raise SourceError(
                f"{self.label}: goes by the image's number, which {name} lacks: names like "
                "ILSVRC2012_val_00000001.JPEG are expected"
            )
        number = int(match.group(1))
        if not 1 <= number <= len(self.by_position):
            raise SourceError(f"{self.label}: has {len(self.by_position):,} lines and none for {name}")
        return self.by_position[number - 1]

    def classes(self) -> list[str]:
        """All WordNet ids in the list, sorted; empty if it has numbers instead."""
        found = {*self.by_position, *self.by_stem.values()}
        return sorted(c for c in found if isinstance(c, str))


def parse_labels(text: str, label: str, kit_order: Sequence[str] | None = None) -> ValidationLabels:
    """Parse a list of validation labels, whichever of the forms above it has.

    Parameters
    ----------
    text : str
        Content of the file.
    label : str
        Name of the file in messages.
    kit_order : Sequence[str], optional
        WordNet ids in the order of the development kit's numbers, which begin with 1.
    """
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines()]
    lines = [line for line in lines if line]
    if lines and lines[0].lower().replace(" ", "") == "imageid,predictionstring":
        lines = lines[1:]
    if not lines:
        raise SourceError(f"{label}: is empty")
    by_position: list[str | int] = []
    by_stem: dict[str, str | int] = {}
    for number, line in enumerate(lines, 1):
        words = re.split(r"[,;\s]+", line, maxsplit=2)
        named = len(words) > 1
        value = _class(words[1] if named else words[0], label, number)
        if named:
            by_stem[PurePosixPath(words[0]).stem] = value
        else:
            by_position.append(value)
    if by_stem and by_position:
        raise SourceError(f"{label}: mixes lines with and without a file name")
    if by_position and isinstance(by_position[0], int):
        by_position = list(_kit_classes(by_position, label, kit_order))
    if len({type(c) for c in (*by_position, *by_stem.values())}) > 1:
        raise SourceError(f"{label}: mixes WordNet ids and numbers")
    numbers = [c for c in by_stem.values() if isinstance(c, int)]
    if numbers and not 0 <= min(numbers) <= max(numbers) < CLASSES:
        raise SourceError(f"{label}: class numbers lie in {min(numbers)}-{max(numbers)}; 0-{CLASSES - 1} are expected")
    return ValidationLabels(by_position, by_stem, label)


def _class(word: str, label: str, line: int) -> str | int:
    if WNID.fullmatch(word):
        return word
    if word.isascii() and word.isdigit() and len(word) <= 6:
        return int(word)
    raise SourceError(f"{label}, line {line}: {word[:40]!r} is neither a WordNet id (n01440764) nor a class number")


def _kit_classes(numbers: Sequence[str | int], label: str, kit_order: Sequence[str] | None) -> list[str]:
    if kit_order is None:
        raise SourceError(
            f"{label}: its numbers are the development kit's own: give the kit with --devkit (the folder, "
            "ILSVRC2012_devkit_t12.tar.gz or meta.mat), or a list of WordNet ids in its order"
        )
    classes = []
    for line, number in enumerate(numbers, 1):
        if not isinstance(number, int) or not 1 <= number <= len(kit_order):
            raise SourceError(f"{label}, line {line}: {number} is no class number (1-{len(kit_order)})")
        classes.append(kit_order[number - 1])
    return classes


def read_text(path: Path) -> str:
    """Read a file of labels. Raises SourceError if it is missing, too large or not text."""
    try:
        if check_regular(path).st_size > _LARGEST:
            raise SourceError(f"{path}: too large for a list of labels")
        return read_text_file(path)
    except UnicodeDecodeError:
        raise SourceError(f"{path}: not a text file") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None


def parse_class_list(text: str, label: str) -> list[str]:
    """The first word of each line, which must be a WordNet id, as in ``LOC_synset_mapping.txt`` or ``synsets.txt``."""
    ids = [line.split()[0].rstrip(",") for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    bad = next((i for i, wnid in enumerate(ids) if not WNID.fullmatch(wnid)), None)
    if not ids or bad is not None:
        raise SourceError(f"{label}: expected a WordNet id such as n01440764 at the start of every line")
    if len(set(ids)) != len(ids):
        raise SourceError(f"{label}: names a WordNet id twice")
    return ids


def kit_order_of(meta: bytes, label: str) -> list[str]:
    """The WordNet ids of the classes in the order of the development kit's numbers, from its ``meta.mat``.

    Inner nodes of the hierarchy, which have children and numbers above 1,000, are left out.
    """
    numbered: dict[int, str] = {}
    for record in read_struct_array(meta, "synsets", label):
        number, wnid, children = record.get("ILSVRC2012_ID"), record.get("WNID"), record.get("num_children")
        if not isinstance(number, (int, float)) or not isinstance(wnid, str) or not WNID.fullmatch(wnid):
            raise SourceError(f"{label}: a synset without number or WordNet id")
        if not children:
            numbered[int(number)] = wnid
    if sorted(numbered) != list(range(1, len(numbered) + 1)):
        raise SourceError(f"{label}: its synsets are not numbered 1 to {len(numbered)}")
    return [numbered[number] for number in sorted(numbered)]


@dataclass(frozen=True)
class DevelopmentKit:
    """What is needed of ImageNet's development kit: its numbering and, if included, the validation ground truth."""

    order: list[str]
    ground_truth: str | None
    label: str


def read_kit(path: Path) -> DevelopmentKit:
    """Read a development kit: its folder, ``ILSVRC2012_devkit_t12.tar.gz``, ``meta.mat`` or a list of WordNet ids."""
    if path.is_dir():
        meta = next((p for p in (path / "data" / "meta.mat", path / "meta.mat") if p.is_file()), None)
        if meta is None:
            raise SourceError(f"{path}: no meta.mat in it or its data folder: not the development kit")
        truth = meta.with_name(GROUND_TRUTH)
        return DevelopmentKit(
            kit_order_of(_bytes(meta), str(meta)), read_text(truth) if truth.is_file() else None, str(path)
        )
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        return _kit_archive(path)
    data = _bytes(path)
    if data[126:128] in (b"IM", b"MI"):
        return DevelopmentKit(kit_order_of(data, str(path)), None, str(path))
    return DevelopmentKit(parse_class_list(read_text(path), str(path)), None, str(path))


def _bytes(path: Path) -> bytes:
    try:
        if check_regular(path).st_size > _LARGEST:
            raise SourceError(f"{path}: too large for a part of the development kit")
        return read_file(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None


def _kit_archive(path: Path) -> DevelopmentKit:
    meta = truth = None
    try:
        check_regular(path)
        with tarfile.open(path, "r:*") as tar:
            for info in tar:
                name = PurePosixPath(info.name).name
                if name in ("meta.mat", GROUND_TRUTH) and info.isreg() and info.size <= _LARGEST:
                    file = tar.extractfile(info)
                    data = file.read() if file else b""
                    if name == "meta.mat":
                        meta = data
                    else:
                        truth = data.decode("ascii", "replace")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise SourceError(f"{path}: cannot be read as the development kit: {error}") from None
    if meta is None:
        raise SourceError(f"{path}: holds no meta.mat: not the development kit")
    return DevelopmentKit(kit_order_of(meta, f"{path}, in it meta.mat"), truth, str(path))


@dataclass(frozen=True)
class Hints:
    """Files that tell the classes of the images; those that are None are searched for in the usual places."""

    labels: Path | None = None
    devkit: Path | None = None
    classes: Path | None = None


def find_labels(near: Sequence[Path], where: Path, hints: Hints) -> tuple[ValidationLabels, list[str]]:
    """Find the list of labels and, if possible, the sorted WordNet ids of all classes.

    Parameters
    ----------
    near : sequence of Path
        Folders to search for files that ``hints`` does not name; their ``data`` folders and parents are searched, too.
    where : Path
        Place of the images, for messages.
    hints : Hints
        Files that are known.

    Raises
    ------
    SourceError
        When there is no list of labels, or it cannot be read.
    """
    places = [*near, *(folder / "data" for folder in near), *(folder.parent for folder in near)]
    kit_path = hints.devkit or _first([folder / name for folder in places for name in _KITS])
    kit: DevelopmentKit | None = read_kit(kit_path) if kit_path is not None else None
    known = sorted(parse_class_list(read_text(hints.classes), str(hints.classes))) if hints.classes else []
    order = kit.order if kit is not None else None
    labels_path = hints.labels or _first([folder / name for folder in places for name in LABEL_FILES])
    if labels_path is not None:
        truth = parse_labels(read_text(labels_path), str(labels_path), order)
    elif kit is not None and kit.ground_truth is not None:
        truth = parse_labels(kit.ground_truth, f"{kit.label}, its ground truth", order)
    else:
        raise SourceError(
            f"{where}: the images are not in class folders, and no list of labels was found: give one with --labels "
            f"({', '.join(LABEL_FILES[:3])}, val.txt) or the development kit with --devkit"
        )
    return truth, known or sorted(order or [])


def _first(paths: list[Path]) -> Path | None:
    return next((path for path in paths if path.exists()), None)

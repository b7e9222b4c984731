"""What classes are called in words: ImageNet's WordNet ids have lists of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ffprep.errors import OptionError

_LARGEST_LIST = 1 << 24
_WORDNET = re.compile(r"n\d{8}")


def read_words(path: Path) -> dict[str, str]:
    """Read what classes are called in words: lines of a name and words, as in ``LOC_synset_mapping.txt``.

    Raises
    ------
    OptionError
        It is no such list.
    OSError
        It cannot be read.
    """
    if path.stat().st_size > _LARGEST_LIST:
        raise OptionError(f"{path}: has more than {_LARGEST_LIST:,} bytes; give a list of class names and words")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise OptionError(f"{path}: byte {error.start} is no UTF-8; give a list of class names and words") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *words = re.split(r"[\t ,]+", line.strip(), maxsplit=1)
        if not words:
            raise OptionError(f"{path}, line {number}: has one word; give a class's name and then its words")
        found[name] = words[0]
    return found


def class_words(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the words that a file's facts about its source record for the names of its classes."""
    words = facts.get("class_words")
    if not isinstance(words, dict):
        return {}
    return {name: text for name, text in words.items() if isinstance(text, str)}


def words_beside(path: Path, classes: Sequence[str], given: Path | None = None) -> dict[str, str]:
    """Return what those of the classes that are WordNet ids are called in words, if a list says it.

    Parameters
    ----------
    path : Path
        The source: its folder and those above it are searched.
    classes : sequence of str
    given : Path, optional
        A list of classes, which counts first if it has words.
    """
    ids = [name for name in classes if _WORDNET.fullmatch(name)]
    if not ids:
        return {}
    near = [path, *path.absolute().parents[:3]]  # Kaggle's list lies three folders above the images' place
    lists = [folder / "LOC_synset_mapping.txt" for folder in near] + [folder / "words.txt" for folder in near[:2]]
    for file in [given, *lists]:
        try:
            if file is None or not file.is_file():
                continue
            found = read_words(file)
        except (OptionError, OSError):  # a list of ids alone, or of something else
            continue
        if words := {name: found[name] for name in ids if name in found}:
            return words
    return {}

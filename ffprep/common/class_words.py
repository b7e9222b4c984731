"""What classes are called in words: ImageNet's WordNet ids have lists of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ffprep.errors import OptionError

_LARGEST_LIST = 1 << 24


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

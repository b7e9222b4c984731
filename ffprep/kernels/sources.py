"""What the machine code of a function depends on: the text of its file and of all that this imports of the package."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_IMPORT = re.compile(rf"^ *from {_PACKAGE.name}(?:\.([\w.]+))? import (\([^)]*|[^(\n]*)", re.MULTILINE)


def _imported(text: bytes) -> set[Path]:
    """Return the files of this package that a text names in its imports."""
    found: set[Path] = set()
    for module, names in _IMPORT.findall(text.decode(errors="replace")):
        place = _PACKAGE.joinpath(*module.split("."))
        file = place.with_suffix(".py")
        found |= {file} if file.is_file() else {place / f"{name}.py" for name in re.findall(r"\w+", names)}
    return found


@cache
def _text_and_imports(file: Path) -> tuple[bytes, set[Path]]:
    text = file.read_bytes() if file.is_file() else b""
    return text, _imported(text)


@cache
def _digest(text: bytes) -> str:
    """Return a digest of a text and of all files of this package that it imports, directly or through others."""
    seen = _imported(text)
    todo = list(seen)
    while todo:
        new = _text_and_imports(todo.pop())[1] - seen
        seen |= new
        todo += new
    state = hashlib.sha256(text)
    for file in sorted(seen):
        state.update(b"\0" + _text_and_imports(file)[0])
    return state.hexdigest()


def digest(file: str) -> str:
    """Return a digest of a file and of all files of this package that it imports, directly or through others."""
    return _digest(Path(file).read_bytes())

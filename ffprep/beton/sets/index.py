"""The index file of a set, read without trusting it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ffprep.beton.opening.head import open_beton
from ffprep.beton.sets.members import Member, SetIndex, name_problem
from ffprep.common.files.outputs import check_output
from ffprep.common.files.replacing import replacing
from ffprep.errors import CorruptError, NotABetonError, OptionError

SUFFIX = ".set.json"
FORMAT = "ffprep set"
VERSION = 1
MOST_FILES = 1_000_000
_LARGEST_INDEX = 1 << 28
_LARGEST_NUMBER = (1 << 63) - 1
_CHECKSUM = re.compile(r"[0-9a-f]{16}")

AGAIN = "make it again with `ffprep set --overwrite`"


def read_index(path: Path) -> SetIndex:
    """Read an index without trusting it.

    Raises
    ------
    CorruptError, NotABetonError
        It is none, or it is damaged.
    OSError
        It cannot be read.
    """
    with open_beton(path) as file:
        content = file.read(_LARGEST_INDEX + 1)
    if len(content) > _LARGEST_INDEX:
        raise NotABetonError(f"{path}: more than {_LARGEST_INDEX} bytes are no index of a set")
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path}: is no index of a set: {error or type(error).__name__}; {AGAIN}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise NotABetonError(f"{path}: is neither a .beton file nor an index of a set")
    if type(found.get("version")) is not int or found["version"] != VERSION:
        raise NotABetonError(
            f"{path}: an index of version {_shown(found.get('version'))}; this ffprep reads version {VERSION}; install "
            "a newer one"
        )
    try:
        _keys(found, ("format", "version", "samples", "bytes", "files"))
        index = SetIndex(path, _members(found["files"]))
        for what, total in (("samples", index.samples), ("bytes", index.bytes)):
            if _number(found, what) != total:
                raise ValueError(f"{what!r} is {_shown(found[what])}, and the files have {total}")
    except ValueError as error:
        raise CorruptError(f"{path}: {error}; {AGAIN}") from error
    return index


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _keys(found: Mapping[str, Any], wanted: Sequence[str]) -> None:
    if set(found) != set(wanted):
        odd = sorted(set(found) ^ set(wanted))[0]
        raise ValueError(f"key {_shown(odd)} is {'missing' if odd in wanted else 'unknown'}")


def _number(found: Mapping[str, Any], key: str) -> int:
    value = found[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_NUMBER:
        raise ValueError(f"{key!r} is {_shown(value)}, not a whole number of 0 or more")
    return value


def _members(files: Any) -> tuple[Member, ...]:
    if not isinstance(files, list) or not 1 <= len(files) <= MOST_FILES:
        raise ValueError(f"'files' is not a list of 1 to {MOST_FILES} files")
    names: set[str] = set()
    members = []
    for number, one in enumerate(files):
        try:
            if not isinstance(one, dict):
                raise ValueError(f"is {_shown(one)}, not an object")
            _keys(one, ("name", "samples", "bytes", "checksum"))
            name, checksum = one["name"], one["checksum"]
            if problem := name_problem(name):
                raise ValueError(f"its name {_shown(name)} {problem}")
            if name in names:
                raise ValueError(f"{_shown(name)} was listed before")
            if not isinstance(checksum, str) or not _CHECKSUM.fullmatch(checksum):
                raise ValueError(f"its checksum {_shown(checksum)} is not 16 hexadecimal digits")
            names.add(name)
            members.append(Member(name, _number(one, "samples"), _number(one, "bytes"), checksum))
        except ValueError as error:
            raise ValueError(f"file {number}: {error}") from error
    return tuple(members)


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = f"of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}..."


def write_index(
    path: Path, members: Sequence[Member], *, overwrite: bool = False, before: bytes | None = None
) -> SetIndex:
    """Write an index, which has its name only when it is complete. The same index is left as it is.

    Parameters
    ----------
    path : Path
    members : sequence of Member
    overwrite : bool
        Replace another file.
    before : bytes, optional
        What the index has to hold until then, since these members were made of that.

    Raises
    ------
    OptionError
        Another file is there, a name is listed twice, there is no file, or another process changed the index.
    """
    if not path.name.endswith(SUFFIX):
        raise OptionError(f"{path}: the name of an index ends with {SUFFIX}")
    check_output(path, overwrite=True)
    index = SetIndex(path, tuple(members))
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "samples": index.samples,
        "bytes": index.bytes,
        "files": [vars(member) for member in members],
    }
    try:
        _members(facts["files"])
    except ValueError as error:
        raise OptionError(f"{path}: {error}") from error
    with replacing(path, overwrite=overwrite) as file:
        if before is not None and (not path.exists() or path.read_bytes() != before):
            raise OptionError(f"{path}: another process changed it meanwhile; give the same command again")
        file.write(json.dumps(facts, indent=1).encode() + b"\n")
    return index

"""Making the index of files, and adding files to one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ffprep.beton.opening.head import Head
from ffprep.beton.sets.index import read_index, write_index
from ffprep.beton.sets.members import SetIndex, check_same_fields, describe_member
from ffprep.beton.sets.places import Place, files_of
from ffprep.beton.sets.tokens import check_same_tokens
from ffprep.errors import OptionError


def make_set(
    path: Path,
    places: Place | Sequence[Place],
    *,
    append: bool = False,
    overwrite: bool = False,
    custom_fields: Mapping[str, type[Any]] | None = None,
) -> SetIndex:
    """Make the index of some files, or add files to an index. The files stay as they are.

    Parameters
    ----------
    path : Path
        The index, in the files' folder.
    places : path, or a sequence of paths
        As for `files_of`.
    append : bool
        Keep what the index lists, and add the files after it. Files that it has as its last ones already are looked at
        again rather than added twice.
    overwrite : bool
        Replace another index.
    custom_fields : mapping of name to Field subclass, optional

    Raises
    ------
    OptionError
        A file lies in another folder, has other fields or numbers its tokens otherwise, or there is another index.
    BetonError
        A file cannot be used.
    """
    before = path.read_bytes() if append and path.is_file() else None
    files = read_index(path).files() if append else []
    known = {file.path.name for file in files}
    added = files_of(places)
    members = [file.member for file in files if file.member is not None]
    # The same command again, such as after an error at its very end, adds nothing: the files are the last ones.
    names = [file.path.name for file in added]
    repeated = bool(files) and [member.name for member in members[-len(names) :]] == names
    if repeated:
        del members[-len(names) :]
    repeats = Counter(names)
    model: tuple[Path, Head] | None = None
    sources: list[tuple[Path, Mapping[str, Any]]] = []
    if files:
        _, head, source = describe_member(files[0].path, custom_fields)
        model = files[0].path, head
        sources += [(files[0].path, source)] * ("vocabulary" in source)
    for file in added:
        if not file.path.parent.resolve() == path.parent.resolve():
            raise OptionError(f"{file.path}: lies in another folder than {path}; move it there, or link it")
        if append and file.path.name in known and not repeated:
            raise OptionError(f"{file.path}: is in {path} already")
        if repeats[file.path.name] > 1:
            raise OptionError(f"{file.path}: is given twice; a set has each file once")
        member, head, source = describe_member(file.path, custom_fields)
        if model is None:
            model = file.path, head
        check_same_fields(*model, file.path, head)
        if "vocabulary" in source:
            sources.append((file.path, source))
            check_same_tokens([sources[0], sources[-1]])
        members.append(member)
    if not members:
        raise OptionError("no file is given")
    return write_index(path, members, overwrite=overwrite or append, before=before)

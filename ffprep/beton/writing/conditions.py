"""What a conversion is: the arguments that it may have, and by what it is known again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.beton import layout, sections
from ffprep.beton.reader import Reader
from ffprep.beton.writing.finalise import sync_named
from ffprep.beton.writing.journal import Journal
from ffprep.errors import BetonError, OptionError
from ffprep.fields.base import Field, custom_fields_of

SHOWN = 4
"""Differences that a message lists."""

_LONGEST = 60  # characters of a value in a message
_ABSENT = object()


def check_count(num_samples: Any) -> int:
    """Return a number of samples as an int.

    Raises
    ------
    OptionError
        It is none.
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, (int, np.integer)) or num_samples < 0:
        raise OptionError(f"num_samples is a number of samples, not {num_samples!r}")
    return int(num_samples)


def check_page_size(page_size: int | None) -> None:
    """Refuse page sizes that the format does not have.

    Raises
    ------
    OptionError
        It is no power of two in the range allowed.
    """
    if page_size is None:
        return
    smallest, largest = layout.MIN_PAGE_SIZE, layout.MAX_PAGE_SIZE
    if not (layout.is_power_of_two(page_size) and smallest <= page_size <= largest):
        raise OptionError(f"page_size is a power of two from {smallest} to {largest}, not {page_size}")


def differences(before: Any, now: Any) -> list[str]:
    """Say in words in which values two JSON structures differ, each as ``path: old, now new``."""
    return list(_differences(_plain(before), _plain(now), ""))


def listed(found: list[str]) -> str:
    """The first differences as one line."""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


def _plain(value: Any) -> Any:
    return json.loads(sections.canonical_json(value))


def _differences(before: Any, now: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key, _ABSENT), now.get(key, _ABSENT), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif before != now:
        yield f"{path}: was {_shown(before)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def refuse_to_drop(partial: Path, size: int, journal: Journal, identity: Mapping[str, Any], *, resume: bool) -> None:
    """Refuse to throw away an unfinished file that is worth something, or may be.

    Parameters
    ----------
    partial : Path
        The unfinished file.
    size : int
        Its bytes.
    journal : Journal
    identity : mapping
        What the conversion that is beginning gave its journal.
    resume : bool
        Whether it would continue an unfinished file of its own.

    Raises
    ------
    OptionError
        The message says in what the two conversions differ.
    """
    if not size or journal.found == "disposable":
        return
    anew = "--restart drops it and begins anew"
    if journal.found in ("nothing", "unknown"):
        raise OptionError(
            f"{partial}: an unfinished file without a journal of this version of ffprep ({journal.path.name}), so it "
            f"cannot be continued; {anew}"
        )
    if journal.facts is None:  # nothing was committed, so nothing is lost
        return
    done = f"{journal.facts['samples']:,} samples are done"
    if journal.found == "other":
        found = listed(differences(journal.found_identity, identity))
        raise OptionError(
            f"{partial}: belongs to a conversion with other data or options, of which {done} ({found}); "
            f"go on with those, or {anew}"
        )
    if not resume:
        raise OptionError(
            f"{partial}: an unfinished conversion of the same data, of which {done}; resume it, or {anew}"
        )
    if size < journal.facts["cursor"]:
        raise OptionError(f"{partial}: is shorter than {journal.path.name} says, so it cannot be continued; {anew}")


def accept_finished(path: Path, found: list[str]) -> None:
    """Accept a finished file as the one that a conversion would make, or refuse it.

    Parameters
    ----------
    path : Path
    found : list of str
        In what it differs.

    Raises
    ------
    OptionError
        It differs.
    ConversionError
        Its name cannot be forced to the disk.
    """
    if found:
        raise OptionError(
            f"{path}: exists already, and is not what this command makes ({listed(found)}); delete it, give another "
            "name, or add --overwrite"
        )
    sync_named(path)
    journal = path.with_name(path.name + ".journal")
    if journal.is_file() and not path.with_name(path.name + ".partial").exists():
        journal.unlink(missing_ok=True)  # the conversion was killed just after the renaming


def differs_from_finished(
    path: Path, fields: Mapping[str, Field], manifest: Mapping[str, Any], page_size: int | None
) -> list[str]:
    """Say in what a finished file differs from what a conversion to it would record.

    Versions of ffprep are not compared, nor is what a manifest has besides.

    Parameters
    ----------
    path : Path
    fields, manifest, page_size
        As in ``Writer``.

    Returns
    -------
    list of str
        Empty if the file is this conversion's, so far as its manifest tells.
    """
    try:
        with Reader(path, custom_fields_of(fields)) as reader:
            found = reader.manifest
            size = reader.page_size
    except (BetonError, OSError) as error:
        return [str(error)]
    if found is None or found.get("writer", {}).get("name") != "ffprep":
        return ["it was written by another program"]
    wanted = {"fields": sections.field_summary(fields), **manifest}
    result = differences({key: found.get(key) for key in wanted}, wanted)
    if page_size is not None and size != page_size:
        result.append(f"page_size: was {size}, is {page_size}")
    return result

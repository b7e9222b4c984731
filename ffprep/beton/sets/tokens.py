"""Whether files number their tokens alike, by what their manifests say of their vocabularies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ffprep.beton.opening.head import Head
from ffprep.errors import OptionError
from ffprep.remote import pread

_ORIGIN = ("dict_sha256", "earlier", "name", "model")
"""What a record says of where a vocabulary came from, or says twice: its checksum stands for its model."""


def source_of(manifest: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what a manifest says of the source; empty if it says nothing."""
    found = (manifest or {}).get("source")
    return found if isinstance(found, dict) else {}


def recorded_source(file: BinaryIO, head: Head) -> Mapping[str, Any]:
    """Return what the manifest of a file says of its source, without mapping the file; empty if that is damaged."""
    for entry in head.superblock.sections if head.superblock else ():
        if entry.name == "manifest":
            try:
                found = json.loads(pread(file, entry.size, entry.offset))
            except (ValueError, RecursionError):
                return {}
            return source_of(found) if isinstance(found, dict) else {}
    return {}


def check_same_tokens(sources: Iterable[tuple[Path, Mapping[str, Any]]], *, all_known: bool = False) -> None:
    """Refuse files whose tokens mean different things.

    Parameters
    ----------
    sources : iterable of (path, what the manifest says of the source)
    all_known : bool
        Also refuse a file that does not say how its tokens are numbered beside one that does.

    Raises
    ------
    OptionError
    """
    known: tuple[Path, Mapping[str, Any]] | None = None
    unknown: Path | None = None
    for path, source in sources:
        record = source.get("vocabulary")
        if not isinstance(record, dict):
            unknown = unknown or path
        elif known is None:
            known = path, record
        elif _identity(record) != _identity(known[1]):
            raise OptionError(
                f"the tokens of {known[0]} are numbered as {_label(known[1])}, those of {path} as {_label(record)}; "
                "convert both with the same --vocabulary or --tokenizer"
            )
    if all_known and known is not None and unknown is not None:
        raise OptionError(
            f"{unknown}: does not say how its tokens are numbered, and those of {known[0]} are numbered as "
            f"{_label(known[1])}; convert it again with ffprep, or use the files as a set"
        )


def _identity(record: Mapping[str, Any]) -> dict[str, Any]:
    same_name = record.get("tokenizer") != "tiktoken"
    return {key: value for key, value in record.items() if key not in _ORIGIN or (key == "name" and not same_name)}


def _label(record: Mapping[str, Any]) -> str:
    name, size = record.get("name"), record.get("size")
    kind = f"{name} ({record.get('kind')})" if name else str(record.get("kind"))
    return f"{kind} with {size:,} ids" if isinstance(size, int) else kind

"""Parts of one conversion, and the manifest of the file that they make together.

A part is a file of its own, written by a conversion of some consecutive samples of a source; its manifest says which
part it is. All of them, merged in order, are the file that one conversion of the whole source writes, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffprep.beton.sets import numbered, source_of
from ffprep.errors import OptionError

LISTED = 1000
"""Names that a report keeps for each cause."""

OF_ONE_FILE = ("blocks", "text", "rows", "units", "conversion")
"""What a manifest says of its source that holds for that file as a whole."""

_OWN = ("writer", "samples", "part", "report", "configuration")
_PART = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Part:
    """Which part of how many.

    Attributes
    ----------
    number, count : int
        The number is from 0 to ``count - 1``.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read ``3/64``.

        Raises
        ------
        OptionError
            It is something else.
        """
        found = _PART.fullmatch(text)
        if found is None or not int(found[1]) < int(found[2]) < 100_000:
            raise OptionError(f"part {text!r}: give I/N, with I from 0 to N - 1, such as 0/64")
        return cls(int(found[1]), int(found[2]))

    def samples(self, total: int) -> range:
        """Return the numbers of its samples, of so many in all."""
        return range(total * self.number // self.count, total * (self.number + 1) // self.count)

    def path(self, out: Path) -> Path:
        """Return its file for the whole's name, ``X-00003-of-00064.beton`` for ``X.beton``."""
        stem = out.name.removesuffix(".beton")
        return out.with_name(numbered(stem, self.number, self.count))


def whole_manifest(manifests: Sequence[Mapping[str, Any] | None]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the manifest and the report of the whole, if these are the manifests of all its parts in order.

    Returns
    -------
    manifest : dict
        Without the report.
    report : dict
    """
    first = manifests[0]
    for number, manifest in enumerate(manifests):
        if manifest is None or first is None or manifest.get("writer") != first.get("writer"):
            return None
        if manifest.get("part") != {"number": number, "count": len(manifests)} or _shared(manifest) != _shared(first):
            return None
    assert first is not None
    reports = [manifest["report"] for manifest in manifests if manifest and isinstance(manifest.get("report"), dict)]
    whole = _shared(first)
    recorded = first.get("configuration")
    if recorded is not None and all(manifest and manifest.get("configuration") == recorded for manifest in manifests):
        whole["configuration"] = recorded
    try:
        return (whole, added_reports(reports)) if len(reports) == len(manifests) else None
    except (KeyError, TypeError, AttributeError):  # no report as a conversion writes it
        return None


def why_not_whole(manifests: Sequence[Mapping[str, Any] | None]) -> str | None:
    """Say why files are not the parts of one conversion in order, if all of them are parts; else None."""
    found = [(manifest or {}).get("part") for manifest in manifests]
    if whole_manifest(manifests) is not None or not any(found):
        return None
    parts = [part for part in found if isinstance(part, dict) and set(part) == {"number", "count"}]
    if len(parts) < len(found):
        return None  # something else is made of them
    numbers, counts = [part["number"] for part in parts], {part["count"] for part in parts}
    if len(counts) > 1:
        return f"they are parts of conversions to {' and '.join(map(str, sorted(counts)))} parts"
    if absent := sorted({*range(counts.pop())} - set(numbers)):
        more = f"{len(absent):,} parts are missing, the first of which is" if absent[1:] else "there is no"
        return f"{more} part {absent[0]}"
    if sorted(numbers) != sorted(set(numbers)):
        return f"part {next(one for one in numbers if numbers.count(one) > 1)} is there more than once"
    if numbers != sorted(numbers):
        return "they are not in the order of their numbers"
    first = manifests[0] or {}
    for number, manifest in enumerate(manifests):
        for key in ("writer", "fields", "source", "limit"):
            if (manifest or {}).get(key) != first.get(key):
                what = {"writer": "by another version of ffprep", "limit": "with another --limit"}
                return f"part {number} was converted {what.get(key, 'with other options')} than part 0"
    return "they do not fit together"


def agreed_facts(manifests: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return what these manifests, of files that become one, agree in: fields and source, such as the vocabulary.

    What holds for a file as a whole is left out: its blocks, its counts, and which conversion made it.
    """
    found: dict[str, Any] = {}
    fields = [(manifest or {}).get("fields") for manifest in manifests]
    if isinstance(fields[0], dict) and all(other == fields[0] for other in fields[1:]):
        found["fields"] = fields[0]
    sources = [source_of(manifest) for manifest in manifests]
    agreed = {
        key: value
        for key, value in sources[0].items()
        if key not in OF_ONE_FILE and all(key in other and other[key] == value for other in sources[1:])
    }
    return {**found, "source": agreed} if agreed else found


def _shared(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key not in _OWN}


def added_reports(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the report of the whole from those of all its parts in order."""
    total = {name: value for name, value in reports[0].items() if name not in ("edges", "refused_at_ends")}
    for name in ("samples", "bytes_in", "bytes_out", "refused_count"):
        total[name] = sum(report[name] for report in reports)
    total["refused"] = [row for report in reports for row in report["refused"]][:LISTED]
    outcomes: dict[tuple[str, str, str], dict[str, Any]] = {}
    last: dict[str, str] = {}
    for report in reports:
        twice = {name: edge for name, edge in report.get("edges", {}).items() if last.get(name) == edge["first"]}
        last |= {name: edge["last"] for name, edge in report.get("edges", {}).items()}
        for edge in twice.values():
            total["bytes_in"] -= edge["bytes_in"]
            total["bytes_out"] -= edge["bytes_out"]
        again = {(name, *edge["note"]): edge["sample"] for name, edge in twice.items() if edge["note"]}
        for entry in report["outcomes"]:
            key = (entry["field"], entry["action"], entry["reason"])
            known = outcomes.setdefault(key, {"field": key[0], "action": key[1], "reason": key[2], "count": 0})
            known["count"] += entry["count"] - (key in again)
            if "samples" in entry:
                names = [name for place, name in enumerate(entry["samples"]) if place or name != again.get(key)]
                known["samples"] = [*known.get("samples", ()), *names][:LISTED]
    total["outcomes"] = [outcomes[key] for key in sorted(outcomes)]
    return total

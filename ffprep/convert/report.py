"""What a conversion did: counts of what happened to samples, names of the unusual ones, bytes, rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ffprep.beton.parts import LISTED
from ffprep.common.formatting import duration_text, size_text

if TYPE_CHECKING:
    from ffprep.fields import Encoded

PLAIN = frozenset({"kept", "rewritten", "encoded", "raw"})
"""Ordinary actions. Samples of all other actions are listed by name, ..."""

ASKED = frozenset({"asked for", "resized", "turned upright"})
"""... unless an option asked for the action."""


FAILURES_IN_A_ROW = 100
"""This many refused samples in a row mean that the source is gone, not that some samples are bad."""

_OF_THE_RUN = ("next", "shared", "inputs", "edges", "refused_first", "refused_last", "refused_at_ends")
"""What of the state is not for the file."""


@dataclass
class ConversionReport:
    """The counts of a conversion.

    Attributes
    ----------
    state : dict
        All counts, as JSON values that are updated in place: samples, bytes in (encoded values as the source gave
        them), bytes out (payloads), outcomes by field, action and reason, refused samples, and the number of the next
        sample of the source. It is given to ``Writer.state`` and so survives a crash.
    seconds : float
        Time that this run took. It is not stored in the file, whose bytes must not depend on it.
    converted : int
        Samples written in this run; after a resumption these are fewer than the file has.
    workers : int
        Number of threads or processes that encoded.
    found : bool
        Whether the finished file was there already, so that nothing was done.
    """

    state: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    converted: int = 0
    workers: int = 0
    found: bool = False

    def __post_init__(self) -> None:
        for name in ("samples", "bytes_in", "bytes_out", "refused_count", "next", "refused_first", "refused_last"):
            self.state.setdefault(name, 0)
        outcomes = self.state.setdefault("outcomes", [])
        self.state.setdefault("refused", [])
        self.state.setdefault("shared", {})  # key of each field's last shared payload
        self._outcomes = {(entry["field"], entry["action"], entry["reason"]): entry for entry in outcomes}

    def count(self, sample: str, fields: Iterable[str], encoded: Sequence[Encoded], sizes: Sequence[int]) -> None:
        """Count a sample that was written.

        If it shares a payload with the sample before, neither the payload's bytes nor what was done to it are counted
        again.

        Parameters
        ----------
        sample : str
            Its name.
        fields : iterable of str
            The fields' names.
        encoded : sequence of Encoded
            Its values.
        sizes : sequence of int
            Bytes of its values before they were encoded.
        """
        self.converted += 1
        state = self.state
        state["samples"] += 1
        state["refused_last"] = 0
        for name, value, size in zip(fields, encoded, sizes, strict=True):
            if value.key is not None:
                key = repr(value.key)
                if state["shared"].get(name) == key:
                    continue
                state["shared"][name] = key
                self._note_edge(sample, name, key, value, size)
            state["bytes_in"] += size
            if value.payload is not None:
                state["bytes_out"] += memoryview(value.payload).nbytes
            if value.note is not None:
                self._note(sample, (name, *value.note))

    def begin_part(self) -> None:
        """Note of each field what its first shared payload counted, which may be that of the part before as well."""
        self.state.setdefault("edges", {})

    def _note_edge(self, sample: str, name: str, key: str, value: Encoded, size: int) -> None:
        edges = self.state.get("edges")
        if edges is None or name in edges:
            return
        stored = 0 if value.payload is None else memoryview(value.payload).nbytes
        note = None if value.note is None else list(value.note)
        edges[name] = {"first": key, "bytes_in": size, "bytes_out": stored, "note": note, "sample": sample}

    def _note(self, sample: str, key: tuple[str, str, str]) -> None:
        entry = self._outcomes.get(key)
        if entry is None:
            name, action, reason = key
            entry = {"field": name, "action": action, "reason": reason, "count": 0}
            self._outcomes[key] = entry
            self.state["outcomes"].append(entry)
        entry["count"] += 1
        if key[1] not in PLAIN and not ASKED.issuperset(key[2].split(", ")):
            listed = entry.setdefault("samples", [])
            if len(listed) < LISTED:
                listed.append(sample)

    def refuse(self, sample: str, reason: str) -> None:
        """Count a sample that was left out."""
        self.state["refused_count"] += 1
        self.state["refused_last"] += 1
        if not self.written:
            self.state["refused_first"] += 1
        if len(self.state["refused"]) < LISTED:
            self.state["refused"].append({"sample": sample, "reason": reason})

    def describes(self, written: int, notes: int) -> bool:
        """Whether the counts are those of so many samples written, and so many read."""
        return self.written == written and self.written + self.refused_count == notes == self.state["next"]

    def leave_out(self, causes: Mapping[str, int], rows: Sequence[Sequence[str]]) -> None:
        """Note what the source left out before there were samples: counts by cause, the first rows and reasons."""
        self.state["left_out_causes"] = dict(causes)
        self.state["left_out"] = [{"sample": name, "reason": reason} for name, reason in rows[:LISTED]]

    @property
    def written(self) -> int:
        """Samples in the file."""
        return int(self.state["samples"])

    @property
    def refused_count(self) -> int:
        """Samples left out."""
        return int(self.state["refused_count"])

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self.converted / self.seconds if self.seconds > 0 else 0.0

    def facts(self) -> dict[str, Any]:
        """The facts for the file's manifest, the same for any number of workers and after any interruption."""
        facts = {name: value for name, value in self.state.items() if name not in _OF_THE_RUN}
        facts["outcomes"] = [self._outcomes[key] for key in sorted(self._outcomes)]
        return facts

    def part_facts(self) -> dict[str, Any]:
        """The same for the manifest of a part, with what it may have in common with its neighbours."""
        facts = self.facts()
        if edges := self.state.get("edges"):
            last = self.state["shared"]
            facts["edges"] = {name: {**edge, "last": last[name]} for name, edge in edges.items()}
        if any(self.refused_at_ends):
            facts["refused_at_ends"] = list(self.refused_at_ends)
        return facts

    @property
    def refused_at_ends(self) -> tuple[int, int]:
        """How many samples were refused before the first that was written, and how many after the last one."""
        found = self.state.get("refused_at_ends")  # of a part that was finished before
        return (found[0], found[1]) if found else (self.state["refused_first"], self.state["refused_last"])

    def to_json(self) -> dict[str, Any]:
        """All facts as JSON values, including the run's time."""
        return {
            **self.facts(),
            "converted": self.converted,
            "seconds": round(self.seconds, 3),
            "samples_per_second": round(self.rate, 1),
            "workers": self.workers,
        }

    def table(self, *, listed: int = 10) -> str:
        """The report as text for the screen, with at most ``listed`` names in each list."""
        facts = self.facts()
        lines = []
        for entry in facts["outcomes"]:
            why = f": {entry['reason']}" if entry["reason"] else ""
            lines.append(f"  {entry['count']:>12,}  {entry['field']} {entry['action']}{why}")
            if names := entry.get("samples"):
                lines.extend(_some(names, entry["count"], listed))
        left_out = sum(facts.get("left_out_causes", {}).values())
        for count, what, rows in (
            (left_out, "left out of the source", facts.get("left_out", [])),
            (self.refused_count, "refused", facts["refused"]),
        ):
            if count:
                lines.append(f"  {count:>12,}  {what}")
                lines.extend(_some([f"{row['sample']}: {row['reason']}" for row in rows], count, listed))
        bytes_in, bytes_out = facts["bytes_in"], facts["bytes_out"]
        change = f" ({(bytes_out / bytes_in - 1) * 100:+.1f} %)" if bytes_in else ""
        lines.append(
            f"  {self.written:>12,}  samples written; {size_text(bytes_in)} in, {size_text(bytes_out)} out{change}"
        )
        if self.found:
            lines.append("  the file is there already: the same source and options made it, so nothing was done")
            return "\n".join(lines)
        plural = "" if self.workers == 1 else "s"
        lines.append(
            f"  {self.rate:>12,.0f}  samples/s in {duration_text(self.seconds)} with {self.workers} worker{plural}"
        )
        return "\n".join(lines)


def _some(names: list[str], count: int, listed: int) -> list[str]:
    shown = names[:listed]
    lines = [f"                  {name}" for name in shown]
    if count > len(shown):
        lines.append(f"                  ... and {count - len(shown):,} more")
    return lines

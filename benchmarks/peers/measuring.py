"""Timing of many peers within a given time, and tables of what was found.

Peers run in groups, so that few are alive at once; our own first entry is in each, as the yardstick that the ratios are
to. What fails, hangs, or does another job than it should is listed with the reason.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from peers.environments import ENVIRONMENTS, MANUALS, set_up

from ffprep.inspect.timing.paired import Contestant, Limits, Timing, compare
from ffprep.inspect.timing.results import Result, Series, Table

HERE = Path(__file__).resolve().parents[1]
IMPORTABLE = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
TOLERANCE = {"mean": 0.03, "std": 0.03}
"""By how much a peer's values may differ from ours, in standard deviations of ImageNet's pixels, besides chance.

The fast inverse DCT makes pixels darker by 0.022; a filter without antialiasing makes their deviation larger by 0.02.
"""
PAGES = {"read": "read from the disk, % of the set", "resident": "in memory after it, %"}
"""Heads of what `peers.confined` measures of each pass."""
CHANCE = 5.0
"""How many times its standard deviation a difference by chance may be."""
FURTHEST = 0.1
"""How far a block's mean in an image of validation may be from ours, as the root of the mean square over all blocks."""


@dataclass(frozen=True)
class Entry:
    """A contestant of a part.

    Attributes
    ----------
    name : str
    runner : str
        As of `ffprep.inspect.timing.paired.Contestant`.
    environment : str
        Of `peers.environments`; empty for ffprep's own.
    options : mapping
    stored : str
        What it reads or writes, for the table.
    size : int
        Bytes of that for a sample; 0 where it says nothing.
    cores : sequence of int
        Processors; by default the first of those that are measured on.
    """

    name: str
    runner: str
    environment: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    stored: str = ""
    size: int = 0
    cores: Sequence[int] = ()


@dataclass(frozen=True)
class Look:
    """How a table shows rates and what they cost.

    Attributes
    ----------
    rate : str
        Head of the column of rates.
    scale, form : float, str
        Of rates.
    each : str
        Head of the column of processor time.
    each_scale : float
        Seconds of processor time for a sample times this are shown.
    columns : sequence of str
        Of ``stored``, ``size``, ``memory``, ``start``, ``read`` and ``resident`` (of the part `confined`).
    """

    rate: str = "images/s"
    scale: float = 1.0
    form: str = ",.0f"
    each: str = "CPU ms an image"
    each_scale: float = 1000.0
    columns: Sequence[str] = ("stored", "size", "memory", "start")


@dataclass(frozen=True)
class Setting:
    """How a part is timed.

    Attributes
    ----------
    rounds : int
    until : float
        The moment of ``time.monotonic`` at which it has to be done.
    cores : sequence of int
    alive : int
        How many peers are alive at once, besides the yardstick.
    start, epoch : float
        Seconds that a peer may take for its start with a first pass, and for each pass.
    """

    rounds: int = 5
    until: float = float("inf")
    cores: Sequence[int] = ()
    alive: int = 6
    start: float = 90.0
    epoch: float = 60.0

    def starts(self) -> list[list[int]]:
        """Processors to start peers on, side by side."""
        return [[core] for core in sorted(os.sched_getaffinity(0))[:2]] if hasattr(os, "sched_getaffinity") else []


@contextmanager
def building(place: Path) -> Iterator[Path]:
    """Give a folder beside `place` to make something in, which becomes `place` when it is whole."""
    part = place.with_name(f"{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    part.rename(place)


Group = list[tuple[Entry, Timing]]


def timed(entries: Sequence[Entry], setting: Setting) -> Iterator[Group]:
    """Time entries in groups, each led by the first entry; those that cannot be set up have their reason as failure."""
    first, *others = entries
    groups = [others[at : at + setting.alive] for at in range(0, len(others), setting.alive)] or [[]]
    for number, group in enumerate(groups):
        now = time.monotonic()
        share = (1 + len(group)) / sum(1 + len(other) for other in groups[number:])
        until = now + max(0.0, setting.until - now) * share
        yield _together([first, *group], setting, until)


def _together(entries: Sequence[Entry], setting: Setting, until: float) -> Group:
    contestants: dict[str, Contestant] = {}
    failures: dict[str, str] = {}
    for entry in entries:
        python, failure = (Path(sys.executable), "")
        if entry.environment:
            python, failure = set_up(ENVIRONMENTS[entry.environment])
        if failure:
            failures[entry.name] = failure
            continue
        cores = entry.cores or setting.cores[:1] or None
        contestants[entry.name] = Contestant(
            entry.name, entry.runner, entry.options, cores, IMPORTABLE, "wall", str(python)
        )
    alone = any(len(one.cores) > 1 for one in entries)  # threads are counted at the start, on all their processors
    limits = Limits(setting.start, setting.epoch, until, [] if alone else setting.starts())
    timings = {one.name: one for one in compare(list(contestants.values()), setting.rounds, limits=limits)}
    return [(one, timings.get(one.name) or Timing(one.name, [], float("nan"), failures[one.name])) for one in entries]


def add(result: Result, table: str, groups: Sequence[Group], look: Look, checked: bool = False) -> None:
    """Add the series of groups and a table of them: rates, beside our first entry's, with what they cost."""
    known = any(timing.first_batch == timing.first_batch for group in groups for _, timing in group)
    heads = {"stored": "reads", "size": "bytes each", "memory": "MB", "start": "start-up, s", **PAGES}
    heads |= {"start": "first batch, s"} if known else {}
    before = [heads[one] for one in ("stored", "size") if one in look.columns]
    after = [heads[one] for one in ("memory", "start", *PAGES) if one in look.columns]
    columns = ["", *before, look.rate, "ffprep is faster by", look.each, "CPU, times ffprep", *after]
    shown = Table(columns, [])
    without = Table(["no figure", "reason"], [])
    for number, group in enumerate(groups):
        yardstick = group[0]
        own = f"{table}: {yardstick[0].name}" + (f", group {number + 1}" if number else "")
        for entry, timing in group:
            name = own if entry is yardstick[0] else f"{table}: {entry.name}"
            facts: dict[str, Any] = {"environment": entry.environment, "memory": timing.memory, **timing.summary}
            if blocks := facts.pop("blocks", None):
                facts["apart"] = round(distance(yardstick[1].summary.get("blocks", ()), blocks), 4)
            if entry.environment:
                facts["packages"] = " ".join(ENVIRONMENTS[entry.environment].packages)
                facts["manual"] = MANUALS.get(entry.environment, "")
            failure = timing.failure or (unlike(yardstick[1], timing) if checked else "")
            result.add(timing, name, look.rate, **facts)
            if failure:
                result.series[name] = Series([], look.rate, failure, facts)
                without.rows.append([entry.name, failure])
                continue
            cost = f"{name}, processor"
            result.measured(cost, [look.each_scale * value for value in timing.cpu], look.each)
            if number and entry is yardstick[0]:
                continue
            row: list[Any] = [entry.name]
            row += [entry.stored] if "stored" in look.columns else []
            row += [f"{entry.size:,}" if entry.size else ""] if "size" in look.columns else []
            row.append({"range": name, "scale": look.scale, "form": look.form})
            other = result.series[own].values and name != own
            row.append({"ratio": [own, name]} if other else "")
            row.append({"median": cost, "form": ".3g"})
            row.append({"ratio": [cost, f"{own}, processor"]} if other else "")
            row += [f"{timing.memory / 1e6:,.0f}"] if "memory" in look.columns else []
            row += [f"{timing.first_batch if known else timing.start_up:.1f}"] if "start" in look.columns else []
            for fact in PAGES:
                if fact in look.columns:
                    result.measured(f"{name}, {fact}", [one.get(fact, float("nan")) for one in timing.facts], "%")
                    row.append({"median": f"{name}, {fact}", "scale": 100, "form": ".0f"})
            shown.rows.append(row)
    result.tables[table] = shown
    if without.rows:
        result.tables[f"{table}-without"] = without


def unlike(ours: Timing, other: Timing) -> str:
    """Say how a peer's values differ from ours, by which its work is not the same; empty if they do not.

    Means of random crops differ by chance, the less the more crops there are; how much those of single crops do is
    known from several passes of ours. In validation nothing is drawn: there every image must be like one of ours.
    """
    if not ours.summary or not other.summary:
        return ""
    if other.summary["samples"] != ours.summary["samples"]:
        return f"it delivered {other.summary['samples']:,} of {ours.summary['samples']:,} images"
    for what, allowed in TOLERANCE.items():
        allowed += by_chance(ours.summary, other.summary, what)
        furthest = max(abs(a - b) for a, b in zip(ours.summary[what], other.summary[what], strict=True))
        if furthest > allowed:
            kind = {"mean": "mean", "std": "standard deviation"}[what]
            return f"the {kind} of its values differs by {furthest:.3f}, of which {allowed:.3f} is allowed"
    apart = distance(ours.summary.get("blocks", ()), other.summary.get("blocks", ()))
    if apart > FURTHEST:
        return f"blocks of an image differ by {apart:.3f} from all of ours, of which {FURTHEST} is allowed"
    return ""


def by_chance(ours: Mapping[str, Any], other: Mapping[str, Any], what: str) -> float:
    """Return how far apart two means over crops may be by chance: less, the more crops both have seen."""
    spread = ours.get("spread", {}).get(what, 0.0)
    crops = [max(1, one.get("crops", 1)) * one.get("looks", 1) for one in (ours, other)]
    return CHANCE * spread * sqrt(sum(1 / number for number in crops))


def distance(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """Return how far the image that has no like is from its nearest one on the other side, whatever their order."""
    if not ours or not theirs:
        return 0.0
    one, two = np.asarray(ours), np.asarray(theirs)
    squares = np.array([np.square(two - image).mean(1) for image in one])
    return float(np.sqrt(max(squares.min(0).max(), squares.min(1).max())))

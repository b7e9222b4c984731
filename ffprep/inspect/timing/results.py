"""Results of benchmarks as files: raw rounds with the machine, the versions and the command, and tables made of them.

A file is JSON. ``series`` holds what was measured, a number a round, under a name; ``tables`` refer to it by cells:

- a text stands for itself,
- ``{"median": name}`` is the median of a series; ``"form"``, a format such as ``.1f``, and ``"scale"`` change its look,
- ``{"range": name}`` is its median with its lowest and highest value, in the same ways,
- ``{"ratio": [name, name]}`` are the ratios of two series, round by round: their median, lowest and highest,
- ``{"share": [name, name]}`` is the share that one median has in another, in percent.

So a table can be made again from the file alone, in any form, and no figure of it is written by hand.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ffprep.common.files.replacing import replacing
from ffprep.common.workers.cpus import Processor, processor, usable_cpus
from ffprep.errors import FfprepError
from ffprep.inspect.timing.paired import Timing

Cell = str | Mapping[str, Any]

LEVELS = {"avx512": "AVX-512", "avx2": "AVX2", "scalar": "no vectors"}
PACKAGES = ("ffprep", "numpy", "torch", "Pillow", "numba", "ffcv")


@dataclass(frozen=True)
class Series:
    """What was measured of one thing, round by round.

    Attributes
    ----------
    values : list of float
        One for each round; none if it failed.
    unit : str
    failure : str
        Empty, or why there are no values.
    facts : dict
        Further figures of it, such as its start-up time; or its level, if it is not the machine's.
    """

    values: list[float]
    unit: str = "images/s"
    failure: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The median of the values."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class Table:
    """Columns, and rows of cells."""

    columns: list[str]
    rows: list[list[Cell]]


def machine() -> dict[str, Any]:
    """Return what figures depend on: the processor, its level, the cores that may be used, the system."""
    from ffprep.jpeg.native import simd_level

    found = processor()
    return {
        "processor": found.name,
        "family": found.family,
        "model": found.model,
        "architecture": found.architecture,
        "level": simd_level(),
        "cores": usable_cpus(),
        "threads_a_core": _threads_a_core(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _threads_a_core() -> int | None:
    """Return how many hardware threads a core has (SMT); None where the system does not say."""
    try:
        listed = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list").read_text()
        return sum(
            int(last or first) - int(first) + 1 for first, _, last in (p.partition("-") for p in listed.split(","))
        )
    except (OSError, ValueError):
        return None


def versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def command() -> str:
    """Return this process's command line without ``--json``, with paths from elsewhere as ``FOLDER`` or ``FILE``."""
    words: list[str] = []
    for number, word in enumerate(sys.argv):
        if word in ("--json", "--note") or sys.argv[number - 1] in ("--json", "--note"):
            continue
        path = Path(word)
        if not path.exists() or not ("/" in word or number == 0):
            words.append(word)
        elif path.resolve().is_relative_to(Path.cwd()):
            words.append(str(path.resolve().relative_to(Path.cwd())))
        else:
            words.append("FOLDER" if path.is_dir() else "FILE")
    return " ".join(words)


@dataclass(frozen=True)
class Result:
    """What one run of a benchmark found.

    Attributes
    ----------
    benchmark : str
        Its name.
    setting : str
        What was run, for a table's caption, such as "1,024 images, batches of 64, 5 rounds".
    series : dict of str to Series
    tables : dict of str to Table
    machine, versions : dict
    date : str
        Day of the run, such as 2026-11-30.
    command : str
    note : str
        What else a reader must know, such as other work on the machine.
    """

    benchmark: str
    setting: str
    series: dict[str, Series] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=versions)
    date: str = field(default_factory=lambda: datetime.datetime.now(datetime.timezone.utc).date().isoformat())
    command: str = field(default_factory=command)
    note: str = ""

    def add(self, timing: Timing, name: str = "", unit: str = "images/s", **facts: Any) -> None:
        """Add what `paired.compare` timed, by default under the contestant's name."""
        if not timing.failure:
            facts["start_up"] = _short(timing.start_up)
        self.series[name or timing.name] = Series([_short(rate) for rate in timing.rates], unit, timing.failure, facts)

    def measured(self, name: str, values: Sequence[float], unit: str = "s", **facts: Any) -> None:
        """Add values that were measured otherwise."""
        self.series[name] = Series([_short(value) for value in values], unit, "", facts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as a file, in place of one of that name."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        text = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text)  # a series is a line
        with replacing(Path(path)) as file:
            file.write(f"{text}\n".encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Result:
        """Read a file that `save` wrote.

        Raises
        ------
        FfprepError
            It is no such file.
        """
        try:
            found = json.loads(Path(path).read_text())
            found["series"] = {name: Series(**one) for name, one in found["series"].items()}
            found["tables"] = {name: Table(**one) for name, one in found["tables"].items()}
            return cls(**found)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FfprepError(
                f"{os.fspath(path)}: no results of a benchmark ({error}); give a file of --json"
            ) from None

    # -- tables ----------------------------------------------------------------------------------------

    def caption(self) -> str:
        """Say in a sentence or two what the figures are of: processor, level, setting, versions, date, command."""
        kind, where = self.machine, []
        where.append(str(Processor(kind["processor"], kind["family"], kind["model"], kind["architecture"])))
        where.append(LEVELS.get(kind["level"], kind["level"]))
        threads = {None: "", 1: " without SMT"}.get(kind["threads_a_core"], " with SMT")
        where.append(f"{kind['cores']} core{'' if kind['cores'] == 1 else 's'}{threads}")
        packages = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        note = f" {self.note}" if self.note else ""
        return f"{', '.join(where)}. {self.setting}; {packages}; {self.date}, `{self.command}`.{note}"

    def text(self, table: str = "main", markdown: bool = False) -> str:
        """Return a table for the screen, or in Markdown."""
        chosen = self.tables[table]
        rows = [chosen.columns, *([self._cell(cell) for cell in row] for row in chosen.rows)]
        if markdown:
            lines = [f"| {' | '.join(row)} |".replace("  ", " ") for row in rows]
            return "\n".join([lines[0], "|---" * len(chosen.columns) + "|", *lines[1:]])
        widths = [max(len(row[column]) for row in rows) for column in range(len(chosen.columns))]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    def _cell(self, cell: Cell) -> str:
        """Return a cell's text."""
        if isinstance(cell, str):
            return cell
        (kind, given), form = next(iter(cell.items())), cell.get("form", ",.0f")
        names = [given] if isinstance(given, str) else list(given)
        if failed := [name for name in names if not self.series[name].values]:
            return f"failed: {self.series[failed[0]].failure}" if kind in ("median", "range") else ""
        if kind == "median":
            return f"{self.series[names[0]].median * cell.get('scale', 1):{form}}"
        if kind == "range":
            values, scale = self.series[names[0]].values, cell.get("scale", 1)
            found = (self.series[names[0]].median, min(values), max(values))
            middle, low, high = (f"{value * scale:{form}}" for value in found)
            return f"{middle} ({low} - {high})"
        if kind == "share":
            return f"{100 * self.series[names[0]].median / self.series[names[1]].median:.0f} %"
        quotients = self.ratio(*names)
        return f"{quotients[1]:.2f} ({quotients[0]:.2f} - {quotients[2]:.2f})"

    def ratio(self, one: str, other: str) -> tuple[float, float, float]:
        """Return the lowest, median and highest ratio of two series, round by round."""
        return spread(self.series[one].values, self.series[other].values)

    def ratios(self) -> list[tuple[str, str]]:
        """Return the pairs of series whose ratios are in a table, each once."""
        cells = [cell for table in self.tables.values() for row in table.rows for cell in row]
        pairs = [tuple(cell["ratio"]) for cell in cells if not isinstance(cell, str) and "ratio" in cell]
        return list(dict.fromkeys(pairs))


def spread(values: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """Return the lowest, median and highest of the ratios of values that belong together."""
    ratios = [one / other for one, other in zip(values, others, strict=True)]
    return min(ratios), statistics.median(ratios), max(ratios)


def compared(before: Result, after: Result) -> list[tuple[str, float, float, float]]:
    """Compare two results of the same benchmark: how many times as much the second has of everything.

    A machine's speed drifts, so ratios of series that were measured in turns say more than the series: what is compared
    are first all ratios of the tables, then all series that both have.

    Returns
    -------
    list of (str, float, float, float)
        What it is of; lowest, median and highest of the quotients, taken round by round.
    """

    def both(name: str) -> bool:
        return all(name in result.series and result.series[name].values for result in (before, after))

    rows = []
    for one, other in before.ratios():
        if both(one) and both(other):
            values = [
                [a / b for a, b in zip(result.series[one].values, result.series[other].values, strict=True)]
                for result in (before, after)
            ]
            rows.append((f"{one}, times {other}", *_quotients(*values)))
    for name in before.series:
        if both(name):
            unit = before.series[name].unit
            rows.append((f"{name}, {unit}", *_quotients(before.series[name].values, after.series[name].values)))
    return rows


def _quotients(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float]:
    rounds = min(len(before), len(after))
    return spread(after[:rounds], before[:rounds])


def _short(value: float) -> float:
    """Return a number with six digits, more than any clock is worth."""
    return float(f"{value:.6g}")

"""Numbers that a configuration expects of the files it makes, and the comparison when they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ffprep.common.names import did_you_mean
from ffprep.errors import ConversionError, OptionError

COUNTS = ("samples", "images", "pairs", "blocks", "rows", "classes")
"""What can be expected: columns of ``ffprep stats``."""

SHOWN = 20
"""Files and counts that a message lists."""

Range = tuple[int, int]


@dataclass(frozen=True)
class Expected:
    """What a conversion's files are to hold.

    Attributes
    ----------
    out : Path
        The file, or the folder of several.
    counts : dict
        For each file, by its name without ``.beton`` or ``""`` for the only one, the least and the largest number of
        each count.
    skipped : bool
        Whether only some of the samples were asked for, so that nothing is compared.
    """

    out: Path
    counts: dict[str, dict[str, Range]]
    skipped: bool

    @classmethod
    def read(cls, conversion: dict[str, Any], where: str) -> Expected:
        """Take ``expect`` out of a conversion of a configuration.

        Raises
        ------
        OptionError
            It is not a mapping of counts to numbers, or of files to such mappings.
        """
        given = conversion.pop("expect", None)
        skipped = any(conversion.get(name) is not None for name in ("limit", "part"))
        out = Path(str(conversion.get("out", "")))
        if given is None:
            return cls(out, {}, skipped)
        if not isinstance(given, dict) or not given:
            raise OptionError(f"{where}: expect is a mapping such as {{samples: 50000}}, not {given!r:.80}")
        several = all(isinstance(value, dict) for value in given.values())
        files = given if several else {"": given}
        return cls(out, {str(name): _ranges(counts, where) for name, counts in files.items()}, skipped)

    def compare(self) -> list[str]:
        """Count what the files hold, and say in words what is not as expected."""
        from ffprep.inspect.stats import stats_of

        found = []
        for name, counts in self.counts.items():
            path = self.out / f"{name}.beton" if name else self.out
            if not path.exists():
                found.append(f"{path}: is expected, but was not made")
                continue
            there = stats_of(path)
            for count, (least, most) in counts.items():
                number = getattr(there, count) or 0
                if not least <= number <= most:
                    wanted = f"{least:,}" if least == most else f"{least:,} to {most:,}"
                    found.append(f"{path}: {number:,} {count} where {wanted} are expected")
        return found


def _ranges(counts: dict[Any, Any], where: str) -> dict[str, Range]:
    ranges = {}
    for name, value in counts.items():
        if name not in COUNTS:
            there = did_you_mean(str(name), COUNTS) or f"; there are {', '.join(COUNTS)}"
            raise OptionError(f"{where}: cannot expect {name!r:.80}{there}")
        bounds = value if isinstance(value, list) else [value, value]
        whole = all(isinstance(one, int) and not isinstance(one, bool) for one in bounds)
        if len(bounds) != 2 or not whole or not 0 <= bounds[0] <= bounds[1]:
            raise OptionError(f"{where}: expect {name}: a number or [LEAST, MOST], not {value!r:.80}")
        ranges[name] = (bounds[0], bounds[1])
    return ranges


def check_all(expected: Sequence[Expected]) -> None:
    """Compare the files of all conversions with what is expected of them.

    Raises
    ------
    ConversionError
        Some are not as expected. They stay as they are.
    """
    asked = [one for one in expected if one.counts]
    found = [line for one in asked if not one.skipped for line in one.compare()]
    if any(one.skipped for one in asked):
        click.echo("note: with limit or part, the numbers are not compared with those expected", err=True)
    if found:
        more = f"; and {len(found) - SHOWN:,} more" * (len(found) > SHOWN)
        raise ConversionError(
            f"{'; '.join(found[:SHOWN])}{more} (`ffprep info` says what was left out, `expect` in the configuration "
            "what is expected)"
        )
    files = sum(len(one.counts) for one in asked if not one.skipped)
    if files:
        click.echo(f"{files:,} file{'s' * (files > 1)} with the numbers expected")

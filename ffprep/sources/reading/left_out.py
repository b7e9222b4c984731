"""Rows that are bad: either the first one is an error, or all are left out, counted and named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ffprep.errors import SourceError

LISTED = 1000
"""Rows that are kept by name; further ones are only counted."""
SHOWN = 8
"""Causes that a summary names."""


class LeftOut:
    """Bad rows: those of a table, images and captions of annotations, archives among others.

    Parameters
    ----------
    skip : bool
        Whether to leave bad rows out. Otherwise the first one is an error.
    """

    def __init__(self, skip: bool = False) -> None:
        self.skip = skip
        self.causes: Counter[str] = Counter()
        self.rows: list[list[str]] = []

    def __len__(self) -> int:
        return self.causes.total()

    def add(self, file: Path | None, place: str, reason: str) -> None:
        """Leave a row out.

        Parameters
        ----------
        file : Path or None
            The file it is in. Errors name its path; what is kept names only the file, and so is the same everywhere.
        place : str
            Where it is in the file: line, row or member; may be empty.
        reason : str
            What is wrong with it. Rows are counted by what stands before the first colon.

        Raises
        ------
        SourceError
            When bad rows are not to be left out.
        """
        if not self.skip:
            whole = ", ".join(filter(None, (str(file or ""), place)))
            raise SourceError(f"{whole}: {reason}; --on-error skip goes on without it")
        self.causes[reason.partition(":")[0]] += 1
        if len(self.rows) < LISTED:
            self.rows.append([", ".join(filter(None, (file.name if file else "", place))), reason])

    def summary(self) -> str:
        """What was left out, in a few words: how many for which cause, and the first one by name."""
        if not self.rows:
            return ""
        causes = "; ".join(f"{cause} ({count:,})" for cause, count in self.causes.most_common(SHOWN))
        more = "; ..." if len(self.causes) > SHOWN else ""
        name, reason = self.rows[0]
        return f"{len(self):,} left out: {causes}{more}; the first is {name}: {reason}"

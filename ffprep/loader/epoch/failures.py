"""Samples that cannot be decoded: how many a loader puts up with, which they were, what comes in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ffprep.errors import OptionError

MOST_NAMED = 1000
"""Bad samples that are remembered by name; the others are only counted."""

ATTEMPTS = 16
"""Replacements that are tried for a row before the loader gives up."""


@dataclass(frozen=True)
class ErrorBudget:
    """How many bad samples a loader with ``on_error='skip'`` or ``'replace'`` puts up with; None sets no limit.

    Attributes
    ----------
    count : int, optional
        Different bad samples.
    share : float, optional
        Different bad samples as a share of the samples in an epoch, from 0 to 1.
    in_a_row : int, optional
        Bad samples one after the other, in this rank's order.
    """

    count: int | None = None
    share: float | None = None
    in_a_row: int | None = None


def as_budget(given: ErrorBudget | int | float | None) -> ErrorBudget:
    """Return the budget that a loader's option means: a whole number is a count, another number a share.

    Raises
    ------
    OptionError
        A limit is negative, or a share above 1.
    """
    if isinstance(given, ErrorBudget):
        budget = given
    elif isinstance(given, float):
        budget = ErrorBudget(share=given)
    elif given is None or isinstance(given, int):
        budget = ErrorBudget(count=given)
    else:
        raise OptionError(f"error_budget is an ErrorBudget, a count or a share, not {given!r}")
    limits = [limit for limit in (budget.count, budget.share, budget.in_a_row) if limit is not None]
    if any(limit < 0 for limit in limits) or (budget.share or 0) > 1:
        raise OptionError(f"error_budget {budget} has a limit below 0, or a share above 1")
    return budget


@dataclass(frozen=True)
class Failure:
    """A sample that could not be decoded: its number over all files, and the message that names it and says why."""

    sample: int
    message: str


@dataclass
class LoaderErrors:
    """The samples that a loader could not decode and left out or replaced, in the batches that it handed out.

    Attributes
    ----------
    count : int
        How often that happened; a bad sample counts once in each epoch that shows it.
    samples : dict of int to str
        The first `MOST_NAMED` bad samples, by their number over all files: what was wrong, with file and name.
    different : int
        How many different samples were bad, as far as they are remembered in `samples`, and all occurrences beyond.
    in_a_row : int
        How many of the last samples were bad, in the epoch under way.
    """

    count: int = 0
    samples: dict[int, str] = field(default_factory=dict)
    different: int = 0
    in_a_row: int = 0

    def copy(self) -> LoaderErrors:
        """Return a copy that counts on independently."""
        return replace(self, samples=dict(self.samples))

    def add(self, failure: Failure) -> None:
        """Count a bad sample."""
        self.count += 1
        if failure.sample not in self.samples:
            self.different += 1
            if len(self.samples) < MOST_NAMED:
                self.samples[failure.sample] = failure.message

    def went(self, rows: int, bad: Sequence[int]) -> int:
        """Take note of which rows of a batch were bad; return the longest run of bad ones that ends in it."""
        longest, last = self.in_a_row, -1
        run = self.in_a_row
        for row in bad:
            run = run + 1 if row == last + 1 else 1
            longest, last = max(longest, run), row
        self.in_a_row = run if bad and last == rows - 1 else 0
        return longest if bad else 0

    def over(self, budget: ErrorBudget, samples: int, longest: int) -> str:
        """Say which limit is passed, or return an empty string; an epoch has `samples` samples."""
        if budget.count is not None and self.different > budget.count:
            return f"{self.different} different samples cannot be decoded, and error_budget allows {budget.count}"
        if budget.share is not None and self.different > budget.share * samples:
            return (
                f"{self.different} of {samples} samples cannot be decoded, and error_budget allows {budget.share:.4g}"
            )
        if budget.in_a_row is not None and longest > budget.in_a_row:
            return f"{longest} samples in a row cannot be decoded, and error_budget allows {budget.in_a_row}"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return the errors as values that JSON can hold."""
        named = [[sample, message] for sample, message in self.samples.items()]
        return {"count": self.count, "different": self.different, "in_a_row": self.in_a_row, "samples": named}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any] | None) -> LoaderErrors:
        """Read what `to_dict` made; None stands for no errors.

        Raises
        ------
        OptionError
            It is something else.
        """
        if state is None:
            return cls()
        try:
            samples = {int(sample): str(message) for sample, message in state["samples"]}
            return cls(int(state["count"]), samples, int(state["different"]), int(state.get("in_a_row", 0)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise OptionError(f"the errors in the state are none of a Loader: {error!r}") from None

"""What a policy is: candidates with their magnitudes, and rows of steps that draw from them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np

from ffprep.errors import OptionError
from ffprep.transforms.image import ImageOp, Numbers

MOST = 64
"""Most candidates and steps of a policy."""
HEADER, CANDIDATE = 10, 12
"""Elements before a policy's tables, elements that describe a candidate; see ``compiled/compose.py``."""
NOISES = {"fixed": 0, "gauss": 1, "uniform": 2, "bins": 3}
ROUNDINGS = {"": 0, "towards zero": 1, "nearest": 2}
FAR = 1e9
DRAWN, NOTHING = -1, -2
"""Candidates of steps: one that is drawn, none."""


@dataclass(frozen=True)
class Candidate:
    """An operation that a policy may choose, and what a magnitude m makes of it.

    Its parameter becomes ``offset ± rounded(slope * m)``, limited to `least` and `most`.

    Attributes
    ----------
    name : str
    op : ImageOp, optional
        None changes nothing.
    slope : float or callable of (height, width), optional
        Without one the operation has no magnitude.
    offset : float
    rounding : {'', 'towards zero', 'nearest'}
    least, most : float
    negative : float
        Probability of the minus.
    weight : float
        Of being drawn, beside those of the others.
    """

    name: str
    op: ImageOp | None = None
    slope: float | Callable[[int, int], float] | None = None
    offset: float = 0.0
    rounding: str = ""
    least: float = -FAR
    most: float = FAR
    negative: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True)
class PolicyStep:
    """A step of a row.

    Attributes
    ----------
    candidate : str
        Name of a candidate; empty for one that is drawn.
    p : float
        Probability that the step is carried out.
    magnitude : float
    """

    candidate: str = ""
    p: float = 1.0
    magnitude: float = 0.0


class Policy(ImageOp):
    """A policy of augmentation: for each image a row is drawn, and its steps are carried out.

    Parameters
    ----------
    candidates : sequence of Candidate
    rows : sequence of sequences of PolicyStep
        Drawn with equal probabilities.
    noise : {'fixed', 'gauss', 'uniform', 'bins'}
        A step's magnitude is used as it is; has Gaussian noise; is the upper end of a uniform draw from 0; or is the
        number of whole magnitudes, from 0, to draw from.
    deviation : float
        Of Gaussian noise.
    greatest : float
        To which magnitudes are limited.
    replace : bool
        Several steps of a row may draw the same candidate.

    Raises
    ------
    OptionError
        A step names no candidate, there are too many, or a number does not fit.
    """

    function: ClassVar[tuple[str, str]] = ("compose", "policy")

    def __init__(
        self,
        candidates: Sequence[Candidate],
        rows: Sequence[Sequence[PolicyStep]],
        *,
        noise: str = "fixed",
        deviation: float = 0.0,
        greatest: float = FAR,
        replace: bool = True,
    ) -> None:
        self.candidates, self.rows = list(candidates), [list(row) for row in rows]
        name = type(self).__name__
        if not 1 <= len(self.candidates) <= MOST or not self.rows or max(map(len, self.rows)) > MOST:
            raise OptionError(f"{name} needs 1 to {MOST} candidates, rows, and at most {MOST} steps in each")
        known = {candidate.name for candidate in self.candidates}
        for step in (step for row in self.rows for step in row):
            if step.candidate and step.candidate not in known:
                raise OptionError(
                    f"{name} has a step {step.candidate!r}; its candidates are {', '.join(sorted(known))}"
                )
            if not 0 <= step.p <= 1 or not np.isfinite(step.magnitude):
                raise OptionError(f"{name} has the step {step}; p is from 0 to 1, the magnitude finite")
        if noise not in NOISES or not 0 <= deviation < np.inf:
            raise OptionError(f"{name}: noise is one of {', '.join(NOISES)}, deviation a finite number from 0")
        positive = sum(candidate.weight > 0 for candidate in self.candidates)
        if not replace and max(sum(not step.candidate for step in row) for row in self.rows) > positive:
            raise OptionError(f"{name} draws more candidates without replacement than the {positive} that it has")
        self.noise, self.deviation, self.greatest, self.replace = noise, float(deviation), float(greatest), replace
        self.pixelwise = all(c.op is None or c.op.pixelwise for c in self.candidates)  # type: ignore[misc]

    def _header(self, place: int) -> list[float]:
        """Return the elements before the tables; `place` is where the candidates' table begins."""
        noise = float(NOISES[self.noise])
        sizes = [float(len(self.rows)), float(max(map(len, self.rows))), float(len(self.candidates))]
        return [*sizes, float(self.replace), noise, self.deviation, self.greatest, float(place), 0.0, 0.0]

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        longest = max(map(len, self.rows))
        index = {candidate.name: k for k, candidate in enumerate(self.candidates)}
        steps: list[float] = []
        for row in self.rows:
            for step in row:
                steps += [float(index[step.candidate] if step.candidate else DRAWN), step.p, step.magnitude]
            steps += [float(NOTHING), 0.0, 0.0] * (longest - len(row))
        place = HEADER + len(steps)
        after = place + CANDIDATE * len(self.candidates)
        table: list[float] = []
        parts: list[Numbers] = []
        for candidate in self.candidates:
            op, own = candidate.op, np.zeros(1)
            if op is not None:
                own = op.numbers(height, width, dtype, channels)
            slope = candidate.slope
            table += [
                float(op.entry()) if op is not None else 0.0,
                float(op is not None and op.moves),
                float(after),
                float(len(own)),
                -1.0 if slope is None else 0.0,
                candidate.offset,
                float(slope(height, width) if callable(slope) else slope or 0.0),
                float(ROUNDINGS[candidate.rounding]),
                candidate.least,
                candidate.most,
                candidate.negative,
                candidate.weight,
            ]
            parts.append(own)
            after += len(own)
        return np.concatenate([self._header(place), steps, table, *parts])

    def follower(self, what: str, fill: int = 0) -> ImageOp | None:
        followers = [None if c.op is None else c.op.follower(what, fill) for c in self.candidates]
        if not any(followers):
            return None
        other: Any = copy.copy(self)
        other.candidates = [replace(c, op=op) for c, op in zip(self.candidates, followers, strict=True)]
        other.levels = False
        return cast(ImageOp, other)

    def _own_work(self, height: int, width: int) -> int:
        """Return the bytes of a step's parameters and of what the candidates need."""
        most = max((c.op.work(height, width) for c in self.candidates if c.op is not None), default=0)
        return 512 + -(-most // 64) * 64

    def work(self, height: int, width: int) -> int:
        pixel = 3 if self.levels else 4
        return 8 * MOST + -(-pixel * height * width // 64) * 64 + self._own_work(height, width)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({[c.name for c in self.candidates]}, {len(self.rows)} rows, {self.noise})"

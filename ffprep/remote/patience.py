"""How long a store is waited for."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ffprep.errors import OptionError

DEADLINE = "FFPREP_REMOTE_DEADLINE"
"""Environment variable: the most seconds that a range may take, with all its repetitions."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a store, in seconds.

    Attributes
    ----------
    deadline : float
        For one range, with all repetitions.
    attempt : float
        For one request.
    attempts : int
    pause : float
        Before the first repetition at most; doubled for each further one, up to `longest_pause`. The pause is drawn
        evenly from 0 on, so that many processes do not ask at the same moment.
    longest_pause : float
    hedge : float
        A second request is sent when the first has taken so long, and four times as long as is usual.
    """

    deadline: float = 120.0
    attempt: float = 40.0
    attempts: int = 8
    pause: float = 0.25
    longest_pause: float = 8.0
    hedge: float = 2.0

    @classmethod
    def of_environment(cls) -> Patience:
        """Return the usual patience, or with the deadline that the environment names.

        Raises
        ------
        OptionError
            It is no number of seconds.
        """
        text = os.environ.get(DEADLINE)
        if not text:
            return cls()
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            raise OptionError(f"{DEADLINE} is {text!r}; give a number of seconds")
        return cls(seconds, min(cls.attempt, seconds))

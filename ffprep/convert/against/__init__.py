"""Comparing a finished file with the data set that it was made of."""

from ffprep.convert.against.comparing import MEAN_BOUND, WORST_BOUND, compare
from ffprep.convert.against.reopening import Origin, holds_share, reopened

__all__ = ["MEAN_BOUND", "WORST_BOUND", "Origin", "compare", "holds_share", "reopened"]

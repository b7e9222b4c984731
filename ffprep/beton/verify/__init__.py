"""Checking a whole file: its structure, its checksums, and the seek index beside it."""

from ffprep.beton.verify.verify import MAX_PROBLEMS, Problem, VerifyReport, jpeg_problem, verify

__all__ = ["MAX_PROBLEMS", "Problem", "VerifyReport", "jpeg_problem", "verify"]

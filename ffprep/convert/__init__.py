"""Conversion: plan, run, journal, report."""

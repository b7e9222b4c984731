"""Conversion: planning, encoding by threads or Ray, writing, progress and reports."""

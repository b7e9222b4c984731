"""Conversions by a Ray cluster: parts that the nodes write, or units for the driver to write."""

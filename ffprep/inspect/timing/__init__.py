"""Timing loaders: fairly against each other, and where their time goes."""

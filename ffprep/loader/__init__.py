"""Epochs of batches from .beton files."""

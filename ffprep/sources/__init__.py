"""Data sets in their published forms: one module for each, which finds its files and makes samples of them."""

"""Reads documents from files of all kinds and cleans them."""

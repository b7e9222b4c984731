"""Vocabularies, byte-pair encoding, and rows of tokens."""

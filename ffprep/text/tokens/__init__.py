"""Vocabularies, byte-pair encoding, sequences of tokens."""

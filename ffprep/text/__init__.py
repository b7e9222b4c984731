"""Cleaning, GPT-2 tokens, vocabularies, blocks."""

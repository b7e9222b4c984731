"""Blocks of tokens: how they are made, stored, read and exchanged with other tools."""

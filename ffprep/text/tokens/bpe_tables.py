"""The GPT-2 vocabulary as hash tables of numpy arrays, and their lookup functions for the compiled tokenizer."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline, kernel

OTHER, LETTER, NUMBER, SPACE, UNKNOWN = 0, 1, 2, 3, 4
"""Classes of characters. UNKNOWN: versions of Unicode disagree, or may come to disagree, on the class."""

NO_TOKEN = 1 << 30
"""What `find_pair` returns for two neighbours that are not a token: greater than any token."""

_NO_PAIR = np.uint32(0xFFFFFFFF)
_SPACES = [*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
_MIX = np.uint64(0x9E3779B97F4A7C15)


@lru_cache(maxsize=1)
def character_classes() -> NDArray[np.uint8]:
    """Class of every code point, as an array of shape (0x110000,).

    Only classes on which Python's current version of Unicode and Unicode 3.2 agree are given.
    """
    classes = np.full(sys.maxunicode + 1, UNKNOWN, np.uint8)
    kinds = {"L": LETTER, "N": NUMBER}
    for point in (*range(0x34000), *range(0xE0000, 0xE0200)):  # elsewhere nothing is assigned, or for private use
        character = chr(point)
        now, then = unicodedata.category(character), unicodedata.ucd_3_2_0.category(character)
        kind = kinds.get(now[0], OTHER)
        if now != "Cn" and kind == kinds.get(then[0], OTHER):
            classes[point] = kind
    classes[_SPACES] = SPACE
    return classes


class Tables(NamedTuple):
    """The vocabulary as the kernel reads it: hash tables with open addressing, whose sizes are powers of two.

    Attributes
    ----------
    classes : (0x110000,) uint8
        Class of each character.
    short_keys, short_values : (n,) uint64, (n,) uint32
        Tokens of up to 8 bytes: their bytes, little-endian, and ``length << 16 | id``; the value is 0 in empty slots.
    long_keys, long_values : (n, 2) uint64, (n,) uint32
        Tokens of 9 to 16 bytes, in the same form.
    pair_keys, pair_values : (n,) uint32, (n,) uint16
        Pairs of tokens ``left << 16 | right`` which joined are a token, and that token; the key is 0xFFFFFFFF in empty
        slots.
    byte_ids : (256,) uint16
        Token of each single byte.
    """

    classes: NDArray[np.uint8]
    short_keys: NDArray[np.uint64]
    short_values: NDArray[np.uint32]
    long_keys: NDArray[np.uint64]
    long_values: NDArray[np.uint32]
    pair_keys: NDArray[np.uint32]
    pair_values: NDArray[np.uint16]
    byte_ids: NDArray[np.uint16]


TABLE_TYPES = [
    (np.uint8, 1), (np.uint64, 1), (np.uint32, 1), (np.uint64, 2), (np.uint32, 1), (np.uint32, 1), (np.uint16, 1),
    (np.uint16, 1),
]  # fmt: skip
"""Dtypes and dimensions of the arrays of :class:`Tables`."""


def make_tables(words: Sequence[bytes]) -> Tables:
    """Build the tables of a vocabulary.

    Parameters
    ----------
    words : sequence of bytes
        The vocabulary's byte strings in order of rank, at most 65,536; all 256 single bytes must be among them.
    """
    ids = {word: number for number, word in enumerate(words)}
    byte_ids = np.array([ids[bytes([b])] for b in range(256)], np.uint16)
    short_size, long_size, pair_size = 1 << 17, 1 << 16, 1 << 19
    short_keys, short_values = np.zeros(short_size, np.uint64), np.zeros(short_size, np.uint32)
    long_keys, long_values = np.zeros((long_size, 2), np.uint64), np.zeros(long_size, np.uint32)
    pair_keys, pair_values = np.full(pair_size, _NO_PAIR, np.uint32), np.zeros(pair_size, np.uint16)
    pairs: list[tuple[int, int, int]] = []
    for word, number in ids.items():
        for cut in range(1, len(word)):
            left, right = ids.get(word[:cut]), ids.get(word[cut:])
            if left is not None and right is not None:
                pairs.append((left, right, number))
    short = [(int.from_bytes(w, "little"), len(w), n) for w, n in ids.items() if len(w) <= 8]
    long = [
        (int.from_bytes(w[:8], "little"), int.from_bytes(w[8:], "little"), len(w), n)
        for w, n in ids.items()
        if 8 < len(w) <= 16
    ]
    _fill_short(short_keys, short_values, np.array(short, np.uint64))
    _fill_long(long_keys, long_values, np.array(long, np.uint64).reshape(-1, 4))
    _fill_pairs(pair_keys, pair_values, np.array(pairs, np.uint32).reshape(-1, 3))
    return Tables(
        character_classes(), short_keys, short_values, long_keys, long_values, pair_keys, pair_values, byte_ids
    )


@inline
def _hash(key: int) -> int:
    mixed = np.uint64(key) * _MIX
    return mixed ^ (mixed >> np.uint64(29))


@inline
def _hash_two(first: int, second: int) -> int:
    return _hash(_hash(first) ^ np.uint64(second))


@inline
def find_short(keys: NDArray[np.uint64], values: NDArray[np.uint32], key: int, length: int) -> int:
    """Return the token of up to 8 bytes with these bytes, or -1."""
    mask = np.uint64(keys.size - 1)
    place = _hash(key) & mask
    while values[place] != 0:
        if keys[place] == key and values[place] >> np.uint32(16) == np.uint32(length):
            return np.int64(values[place] & np.uint32(0xFFFF))
        place = (place + np.uint64(1)) & mask
    return np.int64(-1)


@inline
def find_long(keys: NDArray[np.uint64], values: NDArray[np.uint32], first: int, second: int, length: int) -> int:
    """Return the token of 9 to 16 bytes with these first 8 and following bytes, or -1."""
    mask = np.uint64(values.size - 1)
    place = _hash_two(first, second) & mask
    while values[place] != 0:
        same = keys[place, 0] == first and keys[place, 1] == second
        if same and values[place] >> np.uint32(16) == np.uint32(length):
            return np.int64(values[place] & np.uint32(0xFFFF))
        place = (place + np.uint64(1)) & mask
    return np.int64(-1)


@inline
def find_pair(keys: NDArray[np.uint32], values: NDArray[np.uint16], left: int, right: int) -> int:
    """Return the token that two neighbours make, or NO_TOKEN."""
    key = np.uint32(left) << np.uint32(16) | np.uint32(right)
    mask = np.uint64(keys.size - 1)
    place = _hash(key) & mask
    while keys[place] != _NO_PAIR:
        if keys[place] == key:
            return np.int64(values[place])
        place = (place + np.uint64(1)) & mask
    return np.int64(NO_TOKEN)


@kernel(arguments=[(np.uint64, 1), (np.uint32, 1), (np.uint64, 2)])
def _fill_short(keys: NDArray[np.uint64], values: NDArray[np.uint32], rows: NDArray[np.uint64]) -> None:
    mask = np.uint64(keys.size - 1)
    for i in range(rows.shape[0]):
        place = _hash(rows[i, 0]) & mask
        while values[place] != 0:
            place = (place + np.uint64(1)) & mask
        keys[place] = rows[i, 0]
        values[place] = np.uint32(rows[i, 1] << np.uint64(16) | rows[i, 2])


@kernel(arguments=[(np.uint64, 2), (np.uint32, 1), (np.uint64, 2)])
def _fill_long(keys: NDArray[np.uint64], values: NDArray[np.uint32], rows: NDArray[np.uint64]) -> None:
    mask = np.uint64(values.size - 1)
    for i in range(rows.shape[0]):
        place = _hash_two(rows[i, 0], rows[i, 1]) & mask
        while values[place] != 0:
            place = (place + np.uint64(1)) & mask
        keys[place, 0] = rows[i, 0]
        keys[place, 1] = rows[i, 1]
        values[place] = np.uint32(rows[i, 2] << np.uint64(16) | rows[i, 3])


@kernel(arguments=[(np.uint32, 1), (np.uint16, 1), (np.uint32, 2)])
def _fill_pairs(keys: NDArray[np.uint32], values: NDArray[np.uint16], rows: NDArray[np.uint32]) -> None:
    mask = np.uint64(keys.size - 1)
    for i in range(rows.shape[0]):
        key = rows[i, 0] << np.uint32(16) | rows[i, 1]
        place = _hash(key) & mask
        while keys[place] != _NO_PAIR:
            place = (place + np.uint64(1)) & mask
        keys[place] = key
        values[place] = rows[i, 2]

"""Bits and Huffman codes of the test encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


class Bits:
    """Entropy-coded bytes, stuffed."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.value = 0
        self.count = 0

    def put(self, value: int, count: int) -> None:
        self.value = self.value << count | (value & ((1 << count) - 1))
        self.count += count
        while self.count >= 8:
            self.count -= 8
            byte = self.value >> self.count & 0xFF
            self.out.append(byte)
            if byte == 0xFF:
                self.out.append(0)
        self.value &= (1 << self.count) - 1

    def flush(self, pad: int = 1) -> None:
        while self.count:
            self.put(pad, 1)


class Huffman:
    """A canonical code over symbols in order of their code lengths (annex C)."""

    def __init__(self, lengths: Iterable[tuple[int, int]]) -> None:
        self.counts = [0] * 17
        self.symbols: list[int] = []
        self.codes: dict[int, tuple[int, int]] = {}
        code, last = 0, 0
        for length, symbol in sorted(lengths, key=lambda pair: pair[0]):
            code <<= length - last
            last = length
            self.codes[symbol] = (code, length)
            self.counts[length] += 1
            self.symbols.append(symbol)
            code += 1

    def spec(self, kind: int, number: int) -> bytes:
        """The DHT segment's body for this table."""
        return bytes([kind << 4 | number, *self.counts[1:], *self.symbols])


def random_code(symbols: Sequence[int], rng: np.random.Generator, longest: int = 16) -> Huffman:
    """A code whose lengths are drawn by splitting leaves at random, the all-ones code left unused."""
    leaves = [1, 1]
    while len(leaves) < len(symbols) + 1:
        open_leaves = [i for i, depth in enumerate(leaves) if depth < longest]
        weights = np.array([0.5 ** leaves[i] for i in open_leaves]) + 1e-3
        at = open_leaves[rng.choice(len(open_leaves), p=weights / weights.sum())]
        leaves[at] += 1
        leaves.append(leaves[at])
    lengths = sorted(leaves)[: len(symbols)]
    order = rng.permutation(len(symbols))
    return Huffman([(lengths[i], symbols[int(order[i])]) for i in range(len(symbols))])

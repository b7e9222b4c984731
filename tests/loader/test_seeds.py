"""Seeds of any size become 64-bit words in one way only."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ffprep.common.seeds import GOLDEN, derived_seed, signed, unsigned


@given(st.integers(-(2**70), 2**70))
def test_words_are_the_lowest_bits(seed: int) -> None:
    assert -(2**63) <= signed(seed) < 2**63 and (signed(seed) - seed) % 2**64 == 0
    assert unsigned(seed) == np.uint64(seed % 2**64) and unsigned(seed).dtype == np.uint64
    assert np.int64(signed(seed)).astype(np.uint64) == unsigned(seed)
    assert signed(np.int64(signed(seed))) == signed(seed)


def test_borders() -> None:
    assert [signed(seed) for seed in (0, -1, 2**63 - 1, 2**63, 2**64)] == [0, -1, 2**63 - 1, -(2**63), 0]


def test_derived_seeds_are_fixed_and_differ() -> None:
    assert derived_seed(5, 0) == 5 and derived_seed(0, 1) == GOLDEN == 0x9E3779B97F4A7C15
    assert derived_seed(2**64 - 1, 1) == GOLDEN - 1
    assert len({derived_seed(seed, number) for seed in range(50) for number in range(50)}) == 2500

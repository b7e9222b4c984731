"""The AVX-512 renderer, on any CPU that has AVX2: see emulated_avx512.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ffprep.kernels.simd import level


@pytest.mark.slow
@pytest.mark.skipif(not level.supported(level.AVX2), reason="this CPU has no avx2")
def test_emulated_instructions_give_what_avx2_gives(tmp_path: Path) -> None:
    program = Path(__file__).with_name("emulated_avx512.py")
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "FFPREP_KERNELS": "jit"}
    done = subprocess.run(
        [sys.executable, str(program), "60"], env=variables, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) >= 60

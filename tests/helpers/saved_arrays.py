"""What another program saved with ``numpy.savez``."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def saved_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Return all arrays of an ``.npz`` file, and close it."""
    with np.load(path) as found:
        return dict(found)

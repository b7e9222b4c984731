"""A Ray cluster of one node for tests."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def small_cluster(ray: Any) -> Iterator[None]:
    """Two processors, started in up to three tries: on a busy machine it takes longer than the 30 s that Ray waits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for last in (False, False, True):
            try:
                ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
                break
            except Exception:
                ray.shutdown()
                if last:
                    raise
    yield
    ray.shutdown()

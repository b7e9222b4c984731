"""Numbers that no machine can serve are errors that name the option, not overflows or waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ffprep import Loader
from ffprep.errors import OptionError
from ffprep.loader.plan.options import MOST_AHEAD, MOST_SAMPLES, MOST_WORKERS, at_least, worker_threads

LABELS: dict[str, Any] = {"float": None, "array": None, "bytes": None, "json": None}
HUGE = 2**70


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": HUGE}, f"num_workers is {HUGE}; it must be at most {MOST_WORKERS}"),
        ({"num_workers": MOST_WORKERS + 1}, "num_workers is 4097"),
        ({"num_workers": 2.5}, "num_workers is 2.5; give a whole number"),
        ({"batches_ahead": HUGE}, f"batches_ahead is {HUGE}; it must be at most {MOST_AHEAD}"),
        ({"epoch_samples": HUGE}, f"epoch_samples is {HUGE}; it must be at most {MOST_SAMPLES}"),
        ({"batch_size": HUGE}, f"batch_size is {HUGE}; it must be at most"),
        ({"batch_size": 2**40}, "do not fill one batch"),
        ({"window_pages": HUGE}, f"window_pages is {HUGE}; it must be at most"),
        ({"world_size": HUGE, "rank": 0}, "do not fill one batch"),
        ({"indices": [HUGE]}, "indices"),
    ],
)
def test_huge_numbers_are_errors(plain_beton: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Loader(plain_beton, **{"batch_size": 4, "num_workers": 1, "pipelines": LABELS, **options})


def test_limits_themselves_are_taken() -> None:
    assert worker_threads(MOST_WORKERS) == MOST_WORKERS and worker_threads(1) == 1
    assert worker_threads(0) == worker_threads(-1) >= 1
    assert at_least(5, 5, "n", 5) == 5
    with pytest.raises(OptionError, match="n is 6; it must be at most 5"):
        at_least(6, 5, "n", 5)
    with pytest.raises(OptionError, match="n is 4; it must be at least 5"):
        at_least(4, 5, "n", 5)

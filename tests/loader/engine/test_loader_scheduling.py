"""Workers go on over batch borders, need nothing from the interpreter, and use memory for what they decode only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ffprep import Loader
from ffprep.fields.decoders import ResizeRGBImageDecoder

SPINS = 10**8
"""Turns of an empty loop to give workers, at most: minutes."""


def left(loader_pool: Any, batches: int) -> np.ndarray:
    """Rows of the first batches that are not done; reading them does not leave the interpreter's lock."""
    slots: np.ndarray = loader_pool._tables.slots["left"][:batches]
    return slots


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    """128 small pictures."""
    payloads = [make.stored_jpeg(make.encode_jpeg(make.noise_image(i, 100, 120))) for i in range(128)]
    path: Path = make.write_images(tmp_path_factory.mktemp("small") / "small.beton", payloads)
    return path


@pytest.mark.parametrize("workers", [1, 3])
def test_nothing_stalls_while_the_interpreter_is_busy(small: Path, workers: int) -> None:
    """All batches ahead get done while one thread runs Python and never gives up the interpreter's lock."""
    pipelines: dict[str, Any] = {"image": [ResizeRGBImageDecoder((64, 64))]}
    before = sys.getswitchinterval()
    with Loader(small, 16, workers, pipelines=pipelines, batches_ahead=6) as loader:
        iterator = iter(loader)
        next(iterator)  # compiled, and threads started
        pool = iterator._scheduler._pool
        sys.setswitchinterval(10_000.0)  # seconds: no other thread of Python runs from here on
        try:
            slots = left(pool, 7)
            for _ in range(SPINS):
                if not slots.any():
                    break
            assert not slots.any()
        finally:
            sys.setswitchinterval(before)
        assert sum(1 for _ in iterator) == 7


def test_no_barrier_between_batches(tmp_path: Path, make: SimpleNamespace) -> None:
    """While one thread is at an image of 64 million pixels, the other does all the batches after it."""
    tile = np.random.default_rng(0).integers(0, 256, (256, 256)).astype(np.uint8)
    huge = make.encode_jpeg(np.tile(tile, (31, 32)), quality=90)
    tiny = make.encode_jpeg(make.noise_image(1, 20, 20))
    path = make.write_images(tmp_path / "mixed.beton", [make.stored_jpeg(s) for s in [tiny, huge, *[tiny] * 30]])
    pipelines: dict[str, Any] = {"image": [ResizeRGBImageDecoder((16, 16))], "label": None}
    with Loader(path, 4, 2, pipelines=pipelines, batches_ahead=7) as loader:
        iterator = iter(loader)
        iterator._scheduler._publish(iterator._scheduler._pool)  # what next(iterator) begins with
        slots = left(iterator._scheduler._pool, 8)
        for _ in range(SPINS):
            if not slots[1:].any():
                break
        assert not slots[1:].any()
        assert slots[0] == 1, "the batch of the huge image was done first"
        assert sum(1 for _ in iterator) == 8


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from ffprep import Loader
from ffprep.fields.decoders import CenterCropRGBImageDecoder

def own():
    return 1024 * int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])

path, first = sys.argv[1], int(sys.argv[2])
decoder = CenterCropRGBImageDecoder((64, 64), ratio=0.05)
def run(indices):
    with Loader(path, 2, 1, pipelines={"image": [decoder], "label": None}, indices=indices) as loader:
        for _ in loader:
            pass
        return own()
before = run(np.arange(first))
print(run(np.arange(first + 2)) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much memory a process has")
def test_scratch_does_not_know_the_largest_image(tmp_path: Path, make: SimpleNamespace) -> None:
    """A small crop of an image of 64 million pixels takes memory for the crop: 12 bytes a pixel would be 780 MB."""
    from ffprep.jpeg import rewrite

    tile = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    huge = rewrite(make.encode_jpeg(np.tile(tile, (32, 31, 1)), quality=60), 16)
    tiny = make.encode_jpeg(make.noise_image(1, 400, 400))
    path = make.write_images(tmp_path / "mixed.beton", [make.stored_jpeg(s) for s in [*[tiny] * 8, huge, huge]])
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path), "8"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 16_000_000

"""Worker threads stay on the processors they were given; memory of batches is touched first by those who fill it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ffprep import Loader
from ffprep.errors import OptionError
from ffprep.fields.decoders import ResizeRGBImageDecoder
from ffprep.loader.engine.buffers import BufferPool

linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
PIPELINES: dict[str, Any] = {"image": [ResizeRGBImageDecoder((16, 16))], "label": None}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    payloads = [make.stored_jpeg(make.encode_jpeg(make.noise_image(i, 40, 30))) for i in range(8)]
    written: Path = make.write_images(tmp_path_factory.mktemp("pinned") / "x.beton", payloads)
    return written


def processors_of_workers() -> list[set[int]]:
    """The processors that each worker thread may use, by the threads' numbers."""
    workers = sorted((t for t in threading.enumerate() if t.name.startswith("ffprep-worker")), key=lambda t: t.name)
    return [os.sched_getaffinity(thread.native_id or 0) for thread in workers]


@linux
@pytest.mark.parametrize("wanted", [True, "last"])
def test_threads_are_pinned_in_turn(path: Path, wanted: Any) -> None:
    usable = sorted(os.sched_getaffinity(0))
    given = usable[-1:] if wanted == "last" else True
    cores = usable if given is True else given
    with Loader(path, 2, 3, pipelines=PIPELINES) as plain:
        expected = [images.copy() for (images,) in plain]
        assert processors_of_workers() == [set(usable)] * 3
    with Loader(path, 2, 3, pipelines=PIPELINES, pin_threads=given) as pinned:
        batches = [images for (images,) in pinned]
        assert processors_of_workers() == [{cores[i % len(cores)]} for i in range(3)]
    assert all((one == other).all() for one, other in zip(batches, expected, strict=True))
    assert sorted(os.sched_getaffinity(0)) == usable, "the training thread must stay free"


@linux
@pytest.mark.parametrize("wrong", [[], "01", 3, [100_000], [-1], [0.5], None])
def test_wrong_processors_are_refused(path: Path, wrong: Any) -> None:
    with pytest.raises(OptionError, match="pin_threads"):
        Loader(path, 2, 1, pipelines=PIPELINES, pin_threads=wrong)


def test_no_pinning_where_the_system_has_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with pytest.raises(OptionError, match="Linux only"):
        Loader(path, 2, 1, pipelines=PIPELINES, pin_threads=True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_buffers_are_touched_by_those_who_fill_them() -> None:
    """A page of memory lies near the processor that first writes it, so that must not be the training thread's."""

    def own() -> int:
        return 1024 * int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])

    before = own()
    array = BufferPool(1).take((64, 1 << 20), np.dtype(np.uint8))
    assert own() - before < 1 << 22
    array[:] = 1
    assert own() - before > 1 << 25, "what is measured does not see memory that is touched"

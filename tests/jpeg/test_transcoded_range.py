"""What is transcoded holds values that the check of sequential streams accepts, so that nothing else is stored."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from ffprep.errors import ConversionError, JpegError
from ffprep.jpeg import coefficients, rewrite
from ffprep.jpeg.prepare import prepare
from ffprep.jpeg.rewrite import check_scan
from ffprep.jpeg.status import Status

KINDS = {"progressive": 0xC2, "arithmetic": 0xC9, "arithmetic progressive": 0xCA, "several scans": 0xC1}


def stream(jpegmaker: ModuleType, kind: str, dc: int) -> bytes:
    """Build a stream whose DC values are zero but for one; steps between neighbours stay small enough for any code."""
    rng = np.random.default_rng(3)
    frame = jpegmaker.random_frame(rng, 100, 16, [(1, 1)] * 3, sof=KINDS[kind])
    frame.scans = jpegmaker.PROGRESSIVE if "progressive" in kind else [jpegmaker.Scan([n]) for n in range(3)]
    blocks = frame.components[1].blocks
    blocks[..., 0] = 0
    blocks[0, 2:5, 0] = [dc // 2, dc, dc // 2]
    return bytes(jpegmaker.write(frame))


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("dc", [2047, -2047, 2048, -2048, 3000])
@pytest.mark.parametrize("interval", [0, 1, 3])
def test_dc_values(jpegmaker: ModuleType, kind: str, dc: int, interval: int) -> None:
    data = stream(jpegmaker, kind, dc)
    assert coefficients(data)[1][..., 0].ravel()[3] == dc
    if abs(dc) > 2047:
        with pytest.raises(JpegError) as caught:
            rewrite(data, interval)
        assert caught.value.status == Status.CORRUPT_SCAN
        with pytest.raises(ConversionError):
            prepare(data)
        return
    stored = rewrite(data, interval)
    check_scan(stored)
    assert rewrite(stored, interval) == stored

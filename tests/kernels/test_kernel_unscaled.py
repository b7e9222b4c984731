"""Boxes that keep their size: the renderer that does not resample gives the wide one's pixels in every bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.errors import OptionError
from ffprep.kernels import layout
from ffprep.kernels.resample import weights
from ffprep.kernels.resample.render import colour_array, render, render_request
from tests.kernels.test_kernel_fused import SAMPLINGS, Picture

COLOUR = colour_array((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
COLORS = [layout.YCC, layout.YCC, layout.RGB, layout.GRAY, layout.RGB_PACKED]


@st.composite
def crops(draw: Any) -> tuple[Picture, tuple[int, int, int, int]]:
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 90))
    h, w = draw(st.integers(1, height)), draw(st.integers(1, width))
    y, x = draw(st.integers(0, height - h)), draw(st.integers(0, width - w))
    color = draw(st.sampled_from(COLORS))
    sampling = draw(st.sampled_from(SAMPLINGS[:4])) if color in (layout.YCC, layout.RGB) else (1, 1)
    return Picture.make(height, width, color, sampling, draw(st.integers(0, 99))), (y, x, h, w)


@given(
    case=crops(),
    mode=st.sampled_from(sorted(weights.FILTERS)),
    form=st.sampled_from(sorted(layout.FORMATS)),
    flip=st.booleans(),
    at_end=st.booleans(),
    stream=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_pixels_are_the_wide_renderers(case: Any, mode: str, form: str, flip: bool, at_end: bool, stream: bool) -> None:
    picture, box = case
    desc = picture.describe(box, at_end)  # one byte more than the box needs, and it would crash
    options: dict[str, Any] = {"filter": mode, "format": form, "flip": flip, "colour": COLOUR, "stream": stream}
    wide = render(desc, box, box[2:], level="wide", **options)
    if picture.sampling[0] == 2 and picture.planes[-1].shape[1] <= 2:
        with pytest.raises(OptionError, match=f"status {layout.UNFIT}"):
            render(desc, box, box[2:], level="unscaled", **options)
        return
    got = render(desc, box, box[2:], level="unscaled", **options)
    np.testing.assert_array_equal(got.view(np.uint8), wide.view(np.uint8))


@pytest.mark.parametrize("sampling", [(4, 1), (2, 4)])
def test_rare_samplings_are_left_to_the_wide_renderer(sampling: tuple[int, int]) -> None:
    picture = Picture.make(40, 50, layout.YCC, sampling, 0)
    desc = picture.describe((0, 0, 40, 50), True)
    with pytest.raises(OptionError, match=f"status {layout.UNFIT}"):
        render(desc, (0, 0, 40, 50), (40, 50), level="unscaled")


@pytest.mark.parametrize(
    "box", [(0, 0, 20, 20.5), (0.5, 0, 20, 20), (0, 1.25, 20, 20), (0, 0, 19, 20), (-1, 0, 20, 20)]
)
def test_boxes_between_pixels_are_left_to_the_wide_renderer(box: tuple[float, float, float, float]) -> None:
    picture = Picture.make(40, 50, layout.YCC, (2, 2), 0)
    desc = picture.describe((0, 0, 40, 50), True)
    with pytest.raises(OptionError, match=f"status {layout.UNFIT}"):
        render(desc, box, (20, 20), bounds=(0, 40, 0, 50), level="unscaled")


def test_a_small_workspace_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from ffprep.kernels.resample import render as module

    picture = Picture.make(40, 50, layout.YCC, (2, 2), 0)
    desc = picture.describe((0, 0, 40, 50), True)
    size = module.level_work_size("unscaled", render_request((0, 0, 40, 50), (0, 40, 0, 50), (40, 50), 0))
    monkeypatch.setattr(module, "level_work_size", lambda *_: size - 1)
    with pytest.raises(OptionError, match=f"status {layout.NO_SPACE}"):
        render(desc, (0, 0, 40, 50), (40, 50), level="unscaled")

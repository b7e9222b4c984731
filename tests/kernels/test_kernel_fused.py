"""Fused renderers against a slow float twin, against each other, and against the edge of their memory."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ffprep.abi import IMAGE
from ffprep.kernels import layout
from ffprep.kernels.jit import kernel
from ffprep.kernels.resample import weights
from ffprep.kernels.resample.render import DTYPES, channels_in, colour_array, packed_desc, render
from ffprep.kernels.simd import level as simd

LEVELS = [*simd.available(), "wide"]
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
PAGE = mmap.PAGESIZE
SAMPLINGS = [(1, 1), (2, 2), (2, 1), (1, 2), (4, 1), (2, 4)]


@kernel
def axis_matrix(kind: int, origin: float, scale: float, lo: int, hi: int, n: int) -> NDArray[np.float64]:
    starts, counts = np.zeros(n, np.int64), np.zeros(n, np.int64)
    values = np.zeros((n, weights.tap_limit(kind, scale, lo, hi)))
    weights.axis_weights(kind, origin, scale, lo, hi, starts, counts, values)
    out = np.zeros((n, hi))
    for o in range(n):
        for k in range(counts[o]):
            out[o, starts[o] + k] += values[o, k]
    return out


class Guarded:
    """Bytes that end (or begin) where an unreadable page begins (or ends)."""

    def __init__(self, size: int, at_end: bool) -> None:
        body = -(-size // PAGE) * PAGE
        self.map = mmap.mmap(-1, body + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        for guard in (start, start + PAGE + body):
            assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0) == 0
        offset = PAGE + (body - size if at_end else 0)
        self.array = np.frombuffer(self.map, np.uint8, size, offset)


@dataclass
class Picture:
    """Planes as a decoder would hand them out: only what a box needs, and not a byte more around them."""

    height: int
    width: int
    color: int
    sampling: tuple[int, int]
    planes: list[NDArray[np.uint8]]
    kept: list[Any] = field(default_factory=list)

    @classmethod
    def make(cls, height: int, width: int, color: int, sampling: tuple[int, int], seed: int) -> Picture:
        rng = np.random.default_rng(seed)
        planes = []
        for c in range(1 if color in (layout.GRAY, layout.RGB_PACKED) else 3):
            hs, vs = sampling if c else (1, 1)
            shape = (-(-height // vs), -(-width // hs), *([3] if color == layout.RGB_PACKED else []))
            coarse = rng.integers(0, 256, [-(-shape[0] // 3), -(-shape[1] // 3), *shape[2:]])
            smooth = np.kron(coarse, np.ones([3, 3, *[1] * (len(shape) - 2)]))[: shape[0], : shape[1]]
            planes.append(np.clip(smooth + rng.integers(-20, 21, shape), 0, 255).astype(np.uint8))
        return cls(height, width, color, sampling, planes)

    def describe(self, box: tuple[int, int, int, int], at_end: bool) -> NDArray[np.void]:
        y, x, h, w = box
        image = np.zeros((), IMAGE)
        image["width"], image["height"] = self.width, self.height
        image["components"], image["color"] = len(self.planes), self.color
        for c, plane in enumerate(self.planes):
            hs, vs = self.sampling if c else (1, 1)
            y0, y1 = max(y // vs - 1, 0), min((y + h - 1) // vs + 2, plane.shape[0])
            x0, x1 = max(x // hs - 1, 0), min((x + w - 1) // hs + 2, plane.shape[1])
            part = np.ascontiguousarray(plane[y0:y1, x0:x1])
            store = Guarded(part.size, at_end)
            store.array[:] = part.reshape(-1)
            self.kept.append(store)
            stride = part.shape[1] * (3 if part.ndim == 3 else 1)
            address, (rows, columns) = store.array.ctypes.data, part.shape[:2]
            image["planes"][c] = address, stride, x0, y0, columns, rows, hs, vs, plane.shape[1], plane.shape[0]
        return image

    def twin(self, box: tuple[int, int, int, int], size: tuple[int, int], kind: int, flip: bool) -> NDArray[Any]:
        """Do it in floats without rounding: upsample as libjpeg, resample by dense matrices, convert, clamp."""
        y, x, h, w = box
        if kind == weights.AREA and (h < size[0] or w < size[1]):
            kind = weights.STRETCH
        down = axis_matrix(kind, float(y), h / size[0], y, y + h, size[0])
        along = axis_matrix(kind, float(x), w / size[1], x, x + w, size[1])
        full = []
        for c, plane in enumerate(self.planes):
            hs, vs = self.sampling if c else (1, 1)
            fancy = hs <= 2 and vs <= 2 and (plane.shape[1] > 2 or hs == 1)
            up = upsample(plane.astype(float), vs, fancy, self.height)
            up = upsample(up.swapaxes(0, 1), hs, fancy, self.width).swapaxes(0, 1)
            full.append(up if up.ndim == 3 else up[:, :, None])
        values = np.concatenate(full, 2)[: y + h, : x + w]
        out = np.einsum("oi,ijc,pj->opc", down, values, along)
        if self.color == layout.YCC:
            luma, cb, cr = out[..., 0], out[..., 1] - 128, out[..., 2] - 128
            out = np.stack([luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb], 2)
        out = np.clip(np.broadcast_to(out, (*size, 3)), 0, 255).astype(np.float64)
        result: NDArray[Any] = out[:, ::-1] if flip else out
        return result


def upsample(plane: NDArray[Any], ratio: int, fancy: bool, length: int) -> NDArray[Any]:
    """Bring axis 0 to full resolution."""
    if ratio == 1:
        return plane
    near = np.repeat(plane, ratio, 0)[:length]
    if not fancy:
        return near
    aside = np.minimum(np.maximum(np.arange(length) // 2 - 1 + 2 * (np.arange(length) % 2), 0), len(plane) - 1)
    mixed: NDArray[Any] = 0.75 * near + 0.25 * plane[aside]
    return mixed


@st.composite
def cases(draw: Any, most: int = 100) -> tuple[Picture, tuple[int, int, int, int], tuple[int, int]]:
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    h, w = draw(st.integers(1, height)), draw(st.integers(1, width))
    y, x = draw(st.integers(0, height - h)), draw(st.integers(0, width - w))
    color = draw(st.sampled_from([layout.YCC, layout.YCC, layout.GRAY, layout.RGB, layout.RGB_PACKED]))
    sampling = draw(st.sampled_from(SAMPLINGS)) if color == layout.YCC else (1, 1)
    size = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    return Picture.make(height, width, color, sampling, draw(st.integers(0, 99))), (y, x, h, w), size


FILTERS = st.sampled_from(sorted(weights.FILTERS))


def usable(level: str, picture: Picture, box: tuple[int, int, int, int], size: tuple[int, int]) -> str | None:
    """The level to ask for: the fixed-point ones leave large scales and rare samplings to the wide one."""
    rare = picture.sampling not in [(1, 1), (2, 2), (2, 1), (1, 2)]
    if picture.sampling[0] == 2 and picture.planes[-1].shape[1] <= 2:
        rare = True
    return "wide" if rare or box[2] > 3.75 * size[0] or box[3] > 3.75 * size[1] else level


@pytest.mark.parametrize("level", LEVELS)
@given(case=cases(), mode=FILTERS, flip=st.booleans(), at_end=st.booleans())
@settings(max_examples=120, deadline=None)
def test_levels_are_the_float_twin_and_stay_in_their_memory(
    level: str, case: Any, mode: str, flip: bool, at_end: bool
) -> None:
    picture, box, size = case
    level = usable(level, picture, box, size) or level
    desc = picture.describe(box, at_end)
    got = render(desc, box, size, filter=mode, flip=flip, format="f32_hwc", level=level)
    expected = picture.twin(box, size, weights.FILTERS[mode], flip)
    # Eight-bit weights and a byte between the passes: the error of a channel is that of Y plus 1.8 times
    # chroma's.
    worst, spread = (0.51, 0.3) if level == "wide" else (12.0, 2.0)
    difference = got - expected
    if mode == "bicubic" and level != "wide":
        worst = 60.0  # overshoots between the passes are clamped to bytes, as in Pillow
        assert np.abs(difference).mean() < 6.0
    else:
        assert np.sqrt((difference**2).mean()) < spread
    assert np.abs(difference).max() < worst


@given(case=cases(), mode=FILTERS, flip=st.booleans())
@settings(max_examples=60, deadline=None)
def test_vector_levels_agree_in_every_bit(case: Any, mode: str, flip: bool) -> None:
    picture, box, size = case
    levels = [x for x in simd.available() if x != "scalar"]
    if usable("", picture, box, size) == "wide" or len(levels) < 2:
        return
    desc = picture.describe(box, True)
    outputs = [render(desc, box, size, filter=mode, flip=flip, format="f32_chw", level=x) for x in levels]
    np.testing.assert_array_equal(outputs[0], outputs[1])


@pytest.mark.parametrize("level", LEVELS)
@given(case=cases(60), mode=FILTERS)
@settings(max_examples=30, deadline=None)
def test_formats_and_flip_change_nothing_else(level: str, case: Any, mode: str) -> None:
    picture, box, size = case
    level = usable(level, picture, box, size) or level
    desc = picture.describe(box, False)
    options: dict[str, Any] = {"filter": mode, "colour": colour_array(MEAN, STD), "level": level}
    base = render(desc, box, size, format="f32_chw", **options)
    np.testing.assert_array_equal(render(desc, box, size, format="f32_chw", flip=True, **options), base[:, :, ::-1])
    np.testing.assert_array_equal(render(desc, box, size, format="f32_hwc", **options), np.moveaxis(base, 0, 2))
    half = render(desc, box, size, format="f16_chw", **options)
    np.testing.assert_array_equal(half, base.astype(np.float16))
    np.testing.assert_array_equal(render(desc, box, size, format="f16_hwc", **options), np.moveaxis(half, 0, 2))
    bits = base.view(np.uint32)
    brain = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    np.testing.assert_array_equal(render(desc, box, size, format="bf16_chw", **options), brain)
    np.testing.assert_array_equal(render(desc, box, size, format="bf16_hwc", **options), np.moveaxis(brain, 0, 2))
    octets = render(desc, box, size, format="u8_chw", **options)
    np.testing.assert_array_equal(render(desc, box, size, format="u8_hwc", **options), np.moveaxis(octets, 0, 2))
    levels = base * np.array(STD)[:, None, None] + np.array(MEAN)[:, None, None]
    assert np.abs(octets - levels).max() <= 0.501


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("mode", sorted(weights.FILTERS))
@pytest.mark.parametrize("size", [(20, 30), (33, 20), (70, 90)])
def test_grey_formats_are_luma(level: str, mode: str, size: tuple[int, int]) -> None:
    options: dict[str, Any] = {"filter": mode, "level": level, "colour": colour_array((90.0,) * 3, (50.0,) * 3)}
    grey, box = Picture.make(50, 60, layout.GRAY, (1, 1), 1), (0, 0, 50, 60)
    desc = grey.describe(box, True)
    for kind in ("u8", "f32", "f16", "bf16"):
        coloured = render(desc, box, size, format=f"{kind}_hwc", **options)
        np.testing.assert_array_equal(render(desc, box, size, format=f"{kind}_grey", **options), coloured[..., :1])
    for color in (layout.YCC, layout.RGB):
        picture = Picture.make(50, 60, color, (1, 1), 1)
        desc = picture.describe(box, True)
        whole = render(desc, box, size, format="f32_grey", **options)[..., 0]
        if color == layout.YCC:  # Y itself
            desc["components"], desc["color"] = 1, layout.GRAY
            np.testing.assert_array_equal(whole, render(desc, box, size, format="f32_chw", **options)[0])
        else:
            wanted = render(desc, box, size, format="f32_chw", **options).T @ np.array([0.299, 0.587, 0.114])
            # cut to 0..255 before or after weighting, where a cubic leaves that
            assert np.abs(whole.T - wanted).max() <= (1.0 if mode == "bicubic" else 1e-3)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", sorted(layout.FORMATS))
def test_streaming_writes_the_same(level: str, form: str) -> None:
    picture = Picture.make(50, 60, layout.YCC, (2, 2), 1)
    desc = picture.describe((0, 0, 50, 60), True)
    for size in ((32, 48), (33, 40)):
        options: dict[str, Any] = {"format": form, "level": level}
        np.testing.assert_array_equal(
            render(desc, (0, 0, 50, 60), size, stream=True, **options),
            render(desc, (0, 0, 50, 60), size, **options),
        )


@pytest.mark.parametrize("level", [*LEVELS, "exact"])
@given(case=cases(60), mode=FILTERS, form=st.sampled_from(sorted(layout.FORMATS)), at_end=st.booleans())
@settings(max_examples=40, deadline=None)
def test_output_and_workspace_are_not_overrun(level: str, case: Any, mode: str, form: str, at_end: bool) -> None:
    from ffprep.kernels.resample import render as module

    picture, box, size = case
    level = usable(level, picture, box, size) if level != "exact" else level  # type: ignore[assignment]
    desc = picture.describe(box, at_end)
    y, x, h, w = box
    kind = weights.FILTERS[mode]
    if level == "exact":
        form = form.replace("grey", "hwc")
    dtype, _ = DTYPES[form]
    out = Guarded(size[0] * size[1] * channels_in(form) * np.dtype(dtype).itemsize, at_end)
    request = module.render_request((y, x, h, w), (y, y + h, x, x + w), size, kind)
    need = module.level_work_size(level, request)
    work = Guarded(need, at_end)
    colour = colour_array(MEAN, STD)
    request["image"], request["out"], request["colour"] = desc.ctypes.data, out.array.ctypes.data, colour.ctypes.data
    request["work"], request["work_size"] = work.array.ctypes.data, need
    request["format"], request["stream"] = layout.FORMATS[form], 1
    assert module._call(module.render_entry(level), request.ctypes.data) == layout.OK
    expected = render(desc, box, size, filter=mode, format=form, colour=colour, level=level)
    np.testing.assert_array_equal(out.array.view(dtype).reshape(expected.shape), expected)
    request["work_size"] = 100
    assert module._call(module.render_entry(level), request.ctypes.data) == layout.NO_SPACE


def test_unknown_and_missing_levels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from ffprep.errors import OptionError
    from ffprep.kernels.resample.render import render_entry

    with pytest.raises(OptionError, match="no renderer"):
        render_entry("sse9")
    monkeypatch.setattr(simd, "supported", lambda level: level == "scalar")
    with pytest.raises(OptionError, match="FFPREP_SIMD may be one of scalar"):
        render_entry("avx512")


def test_levels_can_be_forced_and_unsupported_ones_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for level in simd.available():
        monkeypatch.setenv("FFPREP_SIMD", level)
        assert simd.current() == level
    monkeypatch.setenv("FFPREP_SIMD", "altivec")
    assert simd.current() == simd.available()[0]
    monkeypatch.setattr(simd, "supported", lambda level: level == "scalar")
    monkeypatch.setenv("FFPREP_SIMD", "avx512")
    assert simd.current() == "scalar"


def test_fixed_point_levels_leave_large_scales_and_rare_samplings() -> None:
    image = np.zeros((80, 80, 3), np.uint8)
    for level in simd.available():
        with pytest.raises(Exception, match=f"status {layout.UNFIT}"):
            render(packed_desc(image), (0, 0, 80, 80), (20, 80), level=level)
    assert render(packed_desc(image), (0, 0, 80, 80), (20, 80)).shape == (20, 80, 3)


def test_levels_are_known_before_anything_is_compiled() -> None:
    """Asked first thing in a process, the answer is the same as later."""
    code = "from ffprep.kernels.simd import level; print(*level.available())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == simd.available()
    needed = simd._NEEDS[simd.AVX2] <= simd.target_features()
    assert (simd.AVX2 in simd.available()) == needed

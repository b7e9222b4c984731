"""From decoded planes to a training image: crop, resize, flip, colour, normalise, element type and order in
one call.

A renderer is a C function of :data:`SIGNATURE`, called by address, so that the loop that calls it is compiled
once and the CPU's best form is chosen at run time::

    render(desc, y, x, h, w, lo_y, hi_y, lo_x, hi_x, flip, filter, out, out_h, out_w, format, colour, work,
    work_size,
           stream) -> status

    desc        address of int64[48], a descriptor as the native JPEG kernel writes it
    y, x, h, w  box in pixels of the described image (float64): the output shows exactly this
    lo_y .. hi_x  pixels that may be used (hi excluded); for a crop, its own ends
    flip        1: mirror left and right
    filter      weights.BILINEAR, BICUBIC, AREA
    out         address of the output image, out_h x out_w x 3 in `format` (layout.FORMATS), densely packed
    colour      address of float32[6]: scale and bias of R, G, B (out = scale * level + bias; ignored for
    uint8) work        address of at least :func:`work_size` bytes stream      1: write past the cache where
    the format allows it (see :func:`streaming_pays`) status      0 or a code of layout: OK,
    UNSUPPORTED_COLOR, BAD_RECTANGLE, NO_SPACE, BAD_OPTION

Nothing outside the planes, the output and the workspace is read or written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.errors import OptionError
from ffprep.kernels import layout
from ffprep.kernels.jit import entry_address, inline, kernel
from ffprep.kernels.memory import call_entry
from ffprep.kernels.resample.exact import exact_work_size, render_exact
from ffprep.kernels.resample.fixed import fixed_work_size
from ffprep.kernels.resample.fixed_generic import generic_work_size, render_generic
from ffprep.kernels.resample.weights import FILTERS
from ffprep.kernels.resample.wide import render_wide, wide_work_size
from ffprep.kernels.simd import level as simd

SIGNATURE = f"int64(int64, {'float64, ' * 4}{', '.join(['int64'] * 14)})"

DTYPES: dict[str, tuple[type, bool]] = {
    "u8_hwc": (np.uint8, True),
    "u8_chw": (np.uint8, False),
    "f32_chw": (np.float32, False),
    "f16_chw": (np.float16, False),
    "f32_hwc": (np.float32, True),
    "f16_hwc": (np.float16, True),
    "bf16_chw": (np.uint16, False),
    "bf16_hwc": (np.uint16, True),
}
"""Format name -> (numpy type of an element, channels last); bfloat16 comes as its bits in uint16."""


def render_entry(level: str | None = None) -> int:
    """Return the address of a renderer, compiled on its first use.

    Parameters
    ----------
    level : {'avx512', 'avx2', 'scalar', 'wide', 'exact'}, optional
        A fixed-point renderer of a CPU level (the one in use by default, see :mod:`ffprep.kernels.simd.level`),
        which may return UNFIT; the wide one, which takes what they leave; the exact one, bit-equal to Pillow
        and slower.

    Raises
    ------
    OptionError
        The CPU does not have the level.
    """
    level = simd.current() if level is None else level
    function: Any
    if level in simd.LEVELS and not simd.supported(level):
        raise OptionError(f"this CPU has no {level}; FFPREP_SIMD may be one of {', '.join(simd.available())}")
    if level == simd.AVX512:
        from ffprep.kernels.resample.fixed_avx512 import render_avx512 as function
    elif level == simd.AVX2:
        from ffprep.kernels.resample.fixed_avx2 import render_avx2 as function
    elif level == simd.SCALAR:
        function = render_generic
    elif level == "wide":
        function = render_wide
    elif level == "exact":
        function = render_exact
    else:
        raise OptionError(f"no renderer {level!r}")
    return entry_address(function.py_func, SIGNATURE)


@inline
def work_size(kind: int, box_h: float, box_w: float, rows: int, cols: int, out_h: int, out_w: int) -> int:
    """Return the bytes of workspace that a fixed-point renderer needs for a box with rows x cols pixels in
    reach."""
    generic = generic_work_size(kind, box_h, box_w, rows, cols, out_h, out_w)
    return max(generic, fixed_work_size(kind, box_h, box_w, rows, cols, out_h, out_w))


@kernel
def _sizes(kind: int, box_h: float, box_w: float, rows: int, cols: int, out_h: int, out_w: int) -> tuple[int, int, int]:
    return (
        work_size(kind, box_h, box_w, rows, cols, out_h, out_w),
        wide_work_size(kind, box_h, box_w, rows, cols, out_h, out_w),
        exact_work_size(kind, box_h, box_w, rows, cols, out_h, out_w),
    )


def level_work_size(
    level: str | None, kind: int, box_h: float, box_w: float, rows: int, cols: int, out_h: int, out_w: int
) -> int:
    """Return the bytes of workspace that the renderer of a level needs, or the wide one too where level is
    None."""
    fixed, wide, exact = _sizes(kind, box_h, box_w, rows, cols, out_h, out_w)
    if level == "exact":
        return exact
    if level == "wide":
        return wide
    return max(fixed, wide) if level is None else fixed


@kernel
def _call(entry: int, args: tuple[Any, ...]) -> int:
    return call_entry(entry, args)


def streaming_pays(form: int, batch_bytes: int) -> bool:
    """Return whether outputs should be written past the cache: float32 into a batch that the cache cannot
    hold."""
    return form in (layout.F32_CHW, layout.F32_HWC) and batch_bytes >= 1 << 22


def colour_array(
    mean: Sequence[float] = (0.0, 0.0, 0.0), std: Sequence[float] = (1.0, 1.0, 1.0)
) -> NDArray[np.float32]:
    """Return the `colour` of ``(level - mean) / std``, levels in 0..255: float32 of shape (6,)."""
    m, s = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    if m.shape != (3,) or s.shape != (3,) or not np.all(np.isfinite(m)) or not np.all(s > 0):
        raise OptionError(f"mean and std must be three finite numbers each, std above 0; got {mean} and {std}")
    return np.concatenate([1.0 / s, -m / s]).astype(np.float32)


def packed_desc(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the descriptor of an RGB image, uint8 of shape (H, W, 3), rows densely packed; it must outlive
    the use."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.flags.c_contiguous:
        raise OptionError(f"need contiguous uint8 of shape (H, W, 3), got {image.dtype} {image.shape}")
    h, w = image.shape[:2]
    desc = np.zeros(layout.DESC_SIZE, np.int64)
    desc[:4] = w, h, 1, layout.RGB_PACKED
    desc[layout.DESC_PLANES : layout.DESC_PLANES + layout.DESC_PLANE_SIZE] = (
        image.ctypes.data,
        3 * w,
        0,
        0,
        w,
        h,
        1,
        1,
        w,
        h,
    )
    return desc


def render(
    desc: NDArray[np.int64],
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    *,
    filter: str = "bilinear",
    format: str = "u8_hwc",
    flip: bool = False,
    colour: NDArray[np.float32] | None = None,
    bounds: tuple[int, int, int, int] | None = None,
    level: str | None = None,
    stream: bool = False,
) -> NDArray[Any]:
    """Render one image from Python: for tools and tests; the loader calls the C function itself.

    Parameters
    ----------
    desc : int64 array of shape (48,)
        Plane descriptor; the planes it points at must be alive.
    box : (y, x, h, w)
        What to show, in pixels; may be fractional.
    size : (out_h, out_w)
    bounds : (lo_y, hi_y, lo_x, hi_x), optional
        Pixels that may be used; the box's own ends, rounded outwards, by default.
    level : str, optional
        Which renderer, as for :func:`render_entry`; by default the CPU's, or the wide one for what that
        leaves.

    Returns
    -------
    ndarray
        Shape (out_h, out_w, 3) or (3, out_h, out_w) as `format` says, dtype as in :data:`DTYPES`.

    Raises
    ------
    OptionError
        The renderer refused; the message has its status.
    """
    if filter not in FILTERS or format not in layout.FORMATS:
        raise OptionError(f"filter must be one of {sorted(FILTERS)}, format one of {sorted(layout.FORMATS)}")
    y, x, h, w = (float(v) for v in box)
    if bounds is None:
        bounds = int(np.floor(y)), int(np.ceil(y + h)), int(np.floor(x)), int(np.ceil(x + w))
    lo_y, hi_y, lo_x, hi_x = bounds
    if not (hi_y > lo_y and hi_x > lo_x and h > 0 and w > 0 and min(size) > 0):
        raise OptionError(f"nothing to render: box {box}, bounds {bounds}, size {size}")
    out_h, out_w = size
    dtype, last = DTYPES[format]
    out: NDArray[Any] = np.zeros((out_h, out_w, 3) if last else (3, out_h, out_w), dtype)
    colour = colour_array() if colour is None else np.ascontiguousarray(colour, np.float32)
    kind = FILTERS[filter]
    work = np.empty(level_work_size(level, kind, h, w, hi_y - lo_y, hi_x - lo_x, out_h, out_w), np.uint8)
    arguments = (
        desc.ctypes.data,
        y,
        x,
        h,
        w,
        lo_y,
        hi_y,
        lo_x,
        hi_x,
        int(flip),
        kind,
        out.ctypes.data,
        out_h,
        out_w,
        layout.FORMATS[format],
        colour.ctypes.data,
        work.ctypes.data,
        work.size,
        int(stream),
    )
    status = _call(render_entry(level), arguments)
    if status == layout.UNFIT and level is None:
        status = _call(render_entry("wide"), arguments)
    if status != layout.OK:
        raise OptionError(f"rendering box {box} with bounds {bounds} failed with status {status}")
    return out

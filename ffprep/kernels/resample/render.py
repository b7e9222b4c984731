"""From decoded planes to a training image: crop, resize, flip, colour, normalisation, element type and order at once.

A renderer is a C function of :data:`SIGNATURE`::

    render(arguments: address of an abi.RENDER) -> status

It is called by address, so that the loop that calls it is compiled once and the CPU's best form is chosen at run time.
:data:`ffprep.abi.RENDER` says what the arguments are. The status is a code of :mod:`ffprep.kernels.layout`: OK,
UNSUPPORTED_COLOR, BAD_RECTANGLE, NO_SPACE (the workspace is too small), BAD_OPTION, or UNFIT (only the wide renderer
can render this). Nothing outside the planes, the output and the workspace is read or written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.abi import IMAGE, RENDER
from ffprep.errors import OptionError
from ffprep.kernels import layout
from ffprep.kernels.jit import entry_address, inline, kernel
from ffprep.kernels.memory import call_entry
from ffprep.kernels.resample.exact import exact_work_size, render_exact
from ffprep.kernels.resample.fixed.common import fixed_work_size
from ffprep.kernels.resample.fixed.generic import generic_work_size, render_generic
from ffprep.kernels.resample.records import render_at
from ffprep.kernels.resample.unscaled import render_unscaled, unscaled_work_size
from ffprep.kernels.resample.weights import FILTERS
from ffprep.kernels.resample.wide import render_wide, wide_work_size
from ffprep.kernels.simd import level as simd

SIGNATURE = "int64(int64)"

DTYPES: dict[str, tuple[type, bool]] = {
    "u8_hwc": (np.uint8, True),
    "u8_chw": (np.uint8, False),
    "f32_chw": (np.float32, False),
    "f16_chw": (np.float16, False),
    "f32_hwc": (np.float32, True),
    "f16_hwc": (np.float16, True),
    "bf16_chw": (np.uint16, False),
    "bf16_hwc": (np.uint16, True),
    "u8_grey": (np.uint8, True),
    "f32_grey": (np.float32, True),
    "f16_grey": (np.float16, True),
    "bf16_grey": (np.uint16, True),
}
"""Format name -> (numpy type of an element, channels last); bfloat16 comes as its bits in uint16."""


def channels_in(format: str) -> int:
    """Return how many channels images of a format have."""
    return 1 if format.endswith("_grey") else 3


def renderer(level: str) -> Any:
    """Return the renderer of a level, as for :func:`render_entry`.

    Raises
    ------
    OptionError
        There is no such renderer.
    """
    function: Any
    if level == simd.AVX512:
        from ffprep.kernels.resample.fixed.avx512 import render_avx512 as function
    elif level == simd.AVX2:
        from ffprep.kernels.resample.fixed.avx2 import render_avx2 as function
    elif level == simd.SCALAR:
        function = render_generic
    elif level == "unscaled":
        function = render_unscaled
    elif level == "wide":
        function = render_wide
    elif level == "exact":
        function = render_exact
    else:
        raise OptionError(f"no renderer {level!r}")
    return function


def render_entry(level: str | None = None) -> int:
    """Return the address of a renderer, compiled on its first use.

    Parameters
    ----------
    level : {'avx512', 'avx2', 'scalar', 'unscaled', 'wide', 'exact'}, optional
        A fixed-point renderer of a CPU level (the one in use by default, see :mod:`ffprep.kernels.simd.level`), or the
        one for boxes that keep their size, which may return UNFIT; the wide one, which takes what those leave; the
        exact one, bit-equal to Pillow and slower.

    Raises
    ------
    OptionError
        The CPU does not have the level.
    """
    level = simd.current() if level is None else level
    if level in simd.LEVELS and not simd.supported(level):
        raise OptionError(f"this CPU has no {level}; FFPREP_SIMD may be one of {', '.join(simd.available())}")
    return entry_address(renderer(level), SIGNATURE)


@inline
def work_size(request: Any) -> int:
    """Return the bytes of workspace that any fixed-point renderer needs for a RENDER record."""
    return max(generic_work_size(request), fixed_work_size(request))


@kernel(arguments=[np.int64, (np.int64, 1)])
def _sizes(arguments: int, out: NDArray[np.int64]) -> None:
    request = render_at(arguments)
    out[0], out[1], out[2] = work_size(request), wide_work_size(request), exact_work_size(request)
    out[3] = unscaled_work_size(request)


def level_work_size(level: str | None, request: NDArray[np.void]) -> int:
    """Return the bytes of workspace that the renderer of a level needs; where it is None, a CPU's and the wide one.

    Parameters
    ----------
    level : str or None
        As for :func:`render_entry`.
    request : RENDER array of shape ()
        As :func:`render_request` returns it.
    """
    sizes = np.empty(4, np.int64)
    _sizes(request.ctypes.data, sizes)
    fixed, wide, exact, unscaled = (int(size) for size in sizes)
    if level in ("exact", "wide", "unscaled"):
        return {"exact": exact, "wide": wide, "unscaled": unscaled}[level]
    return max(fixed, wide) if level is None else fixed


@kernel(arguments=[np.int64, np.int64])
def _call(entry: int, arguments: int) -> int:
    return call_entry(entry, (arguments,))


def streaming_pays(form: int, batch_bytes: int) -> bool:
    """Return whether to write outputs past the cache: float32 into a batch that the cache cannot hold."""
    return form in (layout.F32_CHW, layout.F32_HWC, layout.F32_GREY) and batch_bytes >= 1 << 22


def colour_array(
    mean: Sequence[float] = (0.0, 0.0, 0.0), std: Sequence[float] = (1.0, 1.0, 1.0)
) -> NDArray[np.float32]:
    """Return ``(level - mean) / std`` of levels in 0..255 as scales and biases: float32 of shape (6,), as COLOUR is."""
    m, s = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    if m.shape != (3,) or s.shape != (3,) or not np.all(np.isfinite(m)) or not np.all(s > 0):
        raise OptionError(f"mean and std must be three finite numbers each, std above 0; got {mean} and {std}")
    return np.concatenate([1.0 / s, -m / s]).astype(np.float32)


def packed_desc(image: NDArray[np.uint8]) -> NDArray[np.void]:
    """Return the description of densely packed RGB, uint8 of shape (H, W, 3): an IMAGE array of shape ().

    It holds the address of the pixels, which must outlive its use.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.flags.c_contiguous:
        raise OptionError(f"need contiguous uint8 of shape (H, W, 3), got {image.dtype} {image.shape}")
    h, w = image.shape[:2]
    described = np.zeros((), IMAGE)
    described["width"], described["height"] = w, h
    described["components"], described["color"] = 1, layout.RGB_PACKED
    described["planes"][0] = image.ctypes.data, 3 * w, 0, 0, w, h, 1, 1, w, h
    return described


def render_request(
    box: tuple[float, float, float, float],
    bounds: tuple[int, int, int, int],
    size: tuple[int, int],
    kind: int,
) -> NDArray[np.void]:
    """Return what a renderer is asked for, as a RENDER array of shape () whose addresses are still 0.

    Parameters
    ----------
    box : (y, x, h, w)
    bounds : (lo_y, hi_y, lo_x, hi_x)
    size : (out_h, out_w)
    kind : one of ``weights.FILTERS``
    """
    request = np.zeros((), RENDER)
    request["y"], request["x"], request["h"], request["w"] = box
    request["lo_y"], request["hi_y"], request["lo_x"], request["hi_x"] = bounds
    request["out_h"], request["out_w"] = size
    request["filter"] = kind
    return request


def render(
    desc: NDArray[np.void],
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
    desc : IMAGE array of shape ()
        The decoded image; the planes whose addresses it holds must be alive.
    box : (y, x, h, w)
        What to show, in pixels; may be fractional.
    size : (out_h, out_w)
    bounds : (lo_y, hi_y, lo_x, hi_x), optional
        Pixels that may be used; the box's own ends, rounded outwards, by default.
    level : str, optional
        Which renderer, as for :func:`render_entry`; by default the CPU's, or the wide one for what that leaves.

    Returns
    -------
    ndarray
        Shape (out_h, out_w, 3), (out_h, out_w, 1) or (3, out_h, out_w) as `format` says, dtype as in :data:`DTYPES`.

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
    out: NDArray[Any] = np.zeros((out_h, out_w, channels_in(format)) if last else (3, out_h, out_w), dtype)
    colour = colour_array() if colour is None else np.ascontiguousarray(colour, np.float32)
    request = render_request((y, x, h, w), bounds, size, FILTERS[filter])
    work = np.empty(level_work_size(level, request), np.uint8)
    request["image"], request["out"], request["colour"] = desc.ctypes.data, out.ctypes.data, colour.ctypes.data
    request["work"], request["work_size"] = work.ctypes.data, work.size
    request["flip"], request["format"], request["stream"] = int(flip), layout.FORMATS[format], int(stream)
    status = _call(render_entry(level), request.ctypes.data)
    if status == layout.UNFIT and level is None:
        status = _call(render_entry("wide"), request.ctypes.data)
    if status != layout.OK:
        raise OptionError(f"rendering box {box} with bounds {bounds} failed with status {status}")
    return out

"""The header of a JPEG: everything it says before its first scan."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ffprep.jpeg.native import INFO_SIZE, library, stream
from ffprep.jpeg.status import check

if TYPE_CHECKING:
    from ffprep.jpeg.native import BytesLike

_Info = ctypes.c_int64 * INFO_SIZE
COLORS = {1: "gray", 2: "ycc", 3: "rgb", 4: "cmyk", 5: "ycck"}


@dataclass(frozen=True)
class JpegHeader:
    """The facts in a JPEG header.

    Attributes
    ----------
    width, height : int
        Pixels, as stored (EXIF orientation not applied).
    components : int
        1, 3 or 4.
    color : str
        ``gray``, ``ycc``, ``rgb``, ``cmyk`` or ``ycck``, decided as libjpeg does: JFIF, then Adobe transform,
        then component identifiers.
    sof : int
        0xC0 baseline, 0xC1 extended sequential, 0xC2 progressive; 0xC9 and 0xCA the last two with arithmetic codes.
    single_scan : bool
        Whether it is sequential with all components in the first scan, so that any rectangle can be decoded without the
        rest.
    orientation : int
        EXIF orientation 1-8; 1 when absent or unreadable.
    adobe_transform : int
        Colour transform of the APP14 segment; -1 when there is none.
    mcu : tuple of int
        Width and height of an MCU in pixels.
    mcus : tuple of int
        MCUs in a row, and rows of MCUs.
    restart_interval : int
        MCUs between restart markers; 0 when there are none.
    scan_offset : int
        First byte of entropy-coded data.
    sampling : tuple of (h, v)
        Sampling factors of each component; (1, 1) if there is only one.
    """

    width: int
    height: int
    components: int
    color: str
    sof: int
    single_scan: bool
    orientation: int
    adobe_transform: int
    mcu: tuple[int, int]
    mcus: tuple[int, int]
    restart_interval: int
    scan_offset: int
    sampling: tuple[tuple[int, int], ...]

    @property
    def progressive(self) -> bool:
        """Whether the JPEG is progressive (SOF2, SOF10)."""
        return self.sof in (0xC2, 0xCA)

    @property
    def arithmetic(self) -> bool:
        """Whether its codes are arithmetic ones (SOF9, SOF10)."""
        return self.sof in (0xC9, 0xCA)


def read_header(data: BytesLike, where: str = "JPEG") -> JpegHeader:
    """Parse the marker segments up to the first scan.

    Parameters
    ----------
    data : bytes-like
        A JPEG stream.
    where : str
        Name at the start of the error message.

    Raises
    ------
    JpegError
        The stream is no JPEG, ends early, is malformed, or is of a kind that the kernel does not know.
    """
    pointer, size, _alive = stream(data)
    info = _Info()
    check(library().ffp_read_header(pointer, size, info), where)
    facts: list[int] = info[:]
    components = facts[2]
    return JpegHeader(
        width=facts[0],
        height=facts[1],
        components=components,
        color=COLORS[facts[3]],
        sof=facts[4],
        single_scan=bool(facts[5]),
        orientation=facts[6],
        adobe_transform=facts[7],
        mcu=(facts[8], facts[9]),
        mcus=(facts[10], facts[11]),
        restart_interval=facts[12],
        scan_offset=facts[13],
        sampling=tuple((facts[14 + 2 * i], facts[15 + 2 * i]) for i in range(components)),
    )

"""Decoding any image file with Pillow to the pixels that torchvision's ``ImageFolder`` gives, without side effects.

``Image.open`` warns through a process-wide filter, tries every plugin (one runs Ghostscript) and takes the limit on
pixels from a global variable. Here the first bytes of the file choose one of a few plugins, the caller sets the limit,
and metadata that would make Pillow warn is removed first.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ffprep.errors import ConversionError

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

Signature = Callable[[bytes], bool]

JPEG_START = b"\xff\xd8\xff"
"""First bytes of what counts as a JPEG file."""

_PLUGINS: tuple[tuple[str, Signature], ...] = (
    ("Jpeg", lambda head: head.startswith(JPEG_START)),
    ("Png", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
    ("Gif", lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    ("Bmp", lambda head: head.startswith(b"BM")),
    ("WebP", lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP"),
    ("Tiff", lambda head: head.startswith((b"II*\0", b"MM\0*"))),
    ("Ppm", lambda head: head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()),
    ("Avif", lambda head: head[4:12] in (b"ftypavif", b"ftypavis")),
)

_FAILURES: tuple[type[BaseException], ...] = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    Warning,
)
"""What Pillow's plugins are known to raise for malformed files, and warnings, which the user may have made errors."""


def _failures() -> tuple[type[BaseException], ...]:
    from PIL.Image import DecompressionBombError

    return (*_FAILURES, DecompressionBombError)


def sniff(data: bytes) -> str | None:
    """Format of an image file by its first bytes: ``JPEG``, ``PNG``, ..., or None if ffprep does not read it."""
    for plugin, matches in _PLUGINS:
        if matches(data[:16]):
            return plugin.upper()
    return None


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:160]


def without_metadata(data: bytes) -> bytes:
    """A JPEG stream without the APPn and COM segments before its first scan, except those that state its colours."""
    out, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xDA or 0xD0 <= marker <= 0xD9 or marker == 1:
            break
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))  # libjpeg steps over a length below 2
        head = data[at + 4 : at + 9]
        tells_colour = (marker == 0xE0 and head == b"JFIF\0") or (marker == 0xEE and head == b"Adobe")
        if tells_colour or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            out.append(data[at:end])
        at = end
    out.append(data[at:])
    return b"".join(out)


@dataclass(frozen=True)
class Loaded:
    """The first picture in an image file.

    Attributes
    ----------
    image : PIL.Image.Image
        Mode ``L`` for grey images without alpha, otherwise the result of ``convert("RGB")``: alpha is dropped, not
        blended, and colour profiles are ignored.
    size : tuple of int
        Width and height of the picture in the file; those of ``image`` unless it was decoded at a smaller scale.
    orientation : int
        EXIF orientation (1-8) that is still to be applied; 1 if it was not asked for. Always 1 for JPEGs, whose header
        is read by the kernel.
    """

    image: Image.Image
    size: tuple[int, int]
    orientation: int


def load(
    data: bytes,
    format_name: str,
    *,
    max_pixels: int,
    enough: Callable[[int, int], tuple[int, int] | None] | None = None,
    orientation: bool = False,
) -> Loaded:
    """Decode an image file.

    Parameters
    ----------
    data : bytes
        The file.
    format_name : str
        The result of :func:`sniff`.
    max_pixels : int
        Larger images are refused before anything is decoded.
    enough : callable, optional
        Returns, for a width and height, a size that is large enough, or None. A JPEG is then decoded at a half, a
        quarter or an eighth of its size, if that is not smaller.
    orientation : bool
        Whether to read the EXIF orientation.

    Raises
    ------
    ConversionError
        The image is too large, damaged, or of a kind that Pillow does not know. The message is one clause without the
        file's name.
    """
    image = _open(data, format_name)
    size = _check_pixels(image.size, max_pixels)
    try:
        draft = enough(*size) if enough and format_name == "JPEG" else None
        if draft is not None:
            image.draft(None, draft)
        image.load()
        if draft is None:
            size = _check_pixels(image.size, max_pixels)  # a GIF's frame may be larger than its screen
        turned = _orientation(image) if orientation and format_name != "JPEG" else 1
        image.info.pop("transparency", None)  # convert("RGB") does not use it, but warns about it
        mode = "L" if image.mode in ("1", "L") else "RGB"
        plain: Image.Image = image if image.mode == mode else image.convert(mode)
    except _failures() as error:
        raise ConversionError(f"damaged {format_name} file ({_describe(error)})") from error
    return Loaded(plain, size, turned)


def load_plain(data: bytes, format_name: str, max_pixels: int) -> Image.Image:
    """Decode an image file without converting its pixels: indices of a palette, 16 bits and all channels stay.

    Raises
    ------
    ConversionError
        As for `load`.
    """
    image = _open(data, format_name)
    _check_pixels(image.size, max_pixels)
    try:
        image.load()
    except _failures() as error:
        raise ConversionError(f"damaged {format_name} file ({_describe(error)})") from error
    return image


def stated_size(data: bytes, format_name: str) -> tuple[int, int]:
    """Width and height in the header of an image file.

    Raises
    ------
    ConversionError
        As for `load`.
    """
    width, height = _open(data, format_name).size
    return width, height


def _open(data: bytes, format_name: str) -> ImageFile:
    plugin = next(name for name, _ in _PLUGINS if name.upper() == format_name)
    if format_name == "JPEG":
        data = without_metadata(data)
    try:
        module = import_module(f"PIL.{plugin}ImagePlugin")
        image: ImageFile = getattr(module, f"{plugin}ImageFile")(io.BytesIO(data))
    except ImportError as error:
        raise ConversionError(f"the installed Pillow does not read {format_name}") from error
    except _failures() as error:
        raise ConversionError(f"no {format_name} file that Pillow can open ({_describe(error)})") from error
    return image


def _check_pixels(size: tuple[int, int], most: int) -> tuple[int, int]:
    if size[0] * size[1] > most:
        raise ConversionError(f"{size[0]} x {size[1]} pixels are over the limit of {most} (--max-pixels)")
    return size


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(0x0112, 1)  # not set for TIFF, which load() has turned upright already
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn and mirror pixels as an EXIF orientation (1-8) says."""
    from PIL.Image import Transpose

    turns: dict[int, Any] = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize (antialiased bicubic, a = -0.5) to width and height; an image of that size is returned as it is."""
    from PIL.Image import Resampling

    return image if image.size == size else image.resize(size, Resampling.BICUBIC)


def encode(image: Image.Image, quality: int, subsampling: str) -> bytes:
    """Encode as a baseline JPEG (JFIF, standard Huffman tables).

    Raises
    ------
    ConversionError
        The image has a side of more than 65,500 pixels, libjpeg's limit.
    """
    out = io.BytesIO()
    options: dict[str, Any] = {} if image.mode == "L" else {"subsampling": subsampling}
    try:
        image.save(out, "JPEG", quality=quality, **options)
    except _failures() as error:
        raise ConversionError(
            f"{image.size[0]} x {image.size[1]} pixels do not fit into a JPEG ({_describe(error)})"
        ) from error
    return out.getvalue()

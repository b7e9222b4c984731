"""Is what arrived an image, and a usable one? Optionally made smaller on arrival."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tiff"}


@dataclass(frozen=True)
class Checked:
    """An image that decodes.

    Attributes
    ----------
    data : bytes
        The file as served, or the smaller JPEG made of it.
    width, height : int
        In pixels, of `data`.
    extension : str
        ``jpg``, ``png``, ...
    """

    data: bytes
    width: int
    height: int
    extension: str


class Unusable(Exception):
    """The bytes are not a usable image; ``args[0]`` is the cause for the report."""


def check_image(
    data: bytes, max_pixels: int, min_side: int = 0, resize_to: int | None = None, quality: int = 95
) -> Checked:
    """Decodes an image completely and returns it.

    Parameters
    ----------
    data : bytes
        File as served.
    max_pixels : int
        Width times height above which the file is refused before it is decoded.
    min_side : int
        Shortest side, in pixels, below which the image is refused; trackers and spacers are 1 pixel wide.
    resize_to : int | None
        When the shortest side is longer than this, store a JPEG with that shortest side instead.
    quality : int
        JPEG quality of resized images.

    Raises
    ------
    Unusable
        With cause ``not_an_image``, ``too_many_pixels``, ``too_small`` or ``undecodable``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        except Image.DecompressionBombError:
            raise Unusable("too_many_pixels") from None
        except Exception:  # Pillow's plugins raise almost anything on hostile bytes
            raise Unusable("not_an_image") from None
        with image:
            if image.width * image.height > max_pixels:
                raise Unusable("too_many_pixels")
            if min(image.size) < min_side:
                raise Unusable("too_small")
            width, height = image.size
            shrunk = resize_to is not None and min(image.size) > resize_to
            try:
                if not shrunk:
                    image.draft(None, (1, 1))  # a JPEG at an eighth of its size: all its bits are decoded, for half
                image.load()
                if shrunk and resize_to is not None:
                    return _smaller(image, resize_to, quality)
            except Exception:
                raise Unusable("undecodable") from None
            return Checked(data, width, height, _EXTENSIONS.get(image.format or "", "img"))


def _smaller(image: Image.Image, side: int, quality: int) -> Checked:
    scale = side / min(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    smaller = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    smaller.save(buffer, "JPEG", quality=quality)
    return Checked(buffer.getvalue(), *size, "jpg")

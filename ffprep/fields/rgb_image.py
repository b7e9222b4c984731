"""RGB images, as JPEG streams or as raw pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.errors import ConversionError, JpegError, OptionError
from ffprep.fields import pixels
from ffprep.fields.base import ARG_TYPE, UNKNOWN_SIZE, Encoded, Field
from ffprep.fields.decoders import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
    ResizedCropRGBImageDecoder,
    ResizeRGBImageDecoder,
    SimpleRGBImageDecoder,
)
from ffprep.jpeg.prepare import (
    DAMAGED,
    JPEG_MODES,
    KERNEL_MAX_PIXELS,
    MAX_PIXELS,
    MAX_SIDE,
    Prepared,
    prepare,
    prepare_plain,
)
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.state import State

__all__ = [
    "ARG_TYPE",
    "AllocationQuery",
    "CenterCropRGBImageDecoder",
    "Compiler",
    "Operation",
    "RGBImageField",
    "RandomResizedCropRGBImageDecoder",
    "ResizeCenterCropRGBImageDecoder",
    "ResizeRGBImageDecoder",
    "ResizedCropRGBImageDecoder",
    "SimpleRGBImageDecoder",
    "State",
]


def __getattr__(name: str) -> Any:
    # Python itself asks for names such as __path__, and for them nothing is to be imported.
    if not name.startswith("__"):
        from ffprep.fields import ffcv_images  # not at the top: it imports numba

        if name in ffcv_images.__all__:
            return getattr(ffcv_images, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


IMAGE_RECORD = np.dtype([("mode", "<u1"), ("width", "<u2"), ("height", "<u2"), ("data_ptr", "<u8")])
MODE_JPEG, MODE_RAW = 0, 1
PNG_MODES = ("jpeg", "raw")
WRITE_MODES = ("raw", "jpg", "smart", "proportion")


class RGBImageField(Field):
    """An image of any size up to 65,535 pixels a side.

    Accepts encoded image files as bytes, Pillow images, and uint8 arrays of shape (height, width, 3), or of shape
    (height, width) if grey. **Give JPEG files as bytes**: with ``jpeg="seekable"`` or ``"keep"`` their pixels are never
    re-encoded.

    Parameters
    ----------
    write_mode : {'raw', 'jpg', 'smart', 'proportion'}, optional
        As in ffcv: raw pixels; JPEG; JPEG if the raw pixels take more than `smart_threshold` bytes; or JPEG for a share
        of the images. By default ``'raw'``, as in ffcv, or ``'jpg'`` if `jpeg` is given.
    max_resolution : int, optional
        Shrink (antialiased bicubic) so that the longer side has at most this many pixels; never enlarge. Images that
        are shrunk are re-encoded.
    smart_threshold : int, optional
        Bytes of raw pixels above which ``'smart'`` stores a JPEG; without it ``'smart'`` is the same as ``'raw'``.
    jpeg_quality : int
        1 to 100, for images that are encoded.
    compress_probability : float
        Share of the images that ``'proportion'`` stores as JPEG. The choice depends on the pixels alone, so it is the
        same each time.
    jpeg : {'seekable', 'keep', 'reencode'}, optional
        What happens to JPEG files given as bytes: they are rewritten losslessly with restart markers, so that crops
        can be decoded without the rest of the image (the default), stored byte by byte, or re-encoded.
    min_resolution : int, optional
        Shrink so that the shorter side has at most this many pixels.
    apply_orientation : bool
        Turn images as their EXIF orientation says. By default it is ignored, as in torchvision and ffcv.
    keep_metadata : bool
        Keep APPn and COM segments when a JPEG is rewritten.
    damaged : {'refuse', 'reencode'}
        JPEG files whose data is damaged: refuse them, or store what Pillow decodes of them, if it decodes anything.
    max_pixels : int
        Image files of more pixels are refused before they are decoded; at most 2^28, which is what a loader decodes.
    png : {'jpeg', 'raw'}
        What becomes of PNG, BMP, TIFF, GIF and PPM files given as bytes where JPEGs are stored: a JPEG of quality 95,
        or their pixels, unchanged.

    Raises
    ------
    OptionError
        An argument is out of range.
    """

    type_id: ClassVar[int] = 2
    pointer: ClassVar[str | None] = "data_ptr"

    def __init__(
        self,
        write_mode: str | None = None,
        max_resolution: int | None = None,
        smart_threshold: int | None = None,
        jpeg_quality: int = 90,
        compress_probability: float = 0.5,
        *,
        jpeg: str | None = None,
        min_resolution: int | None = None,
        apply_orientation: bool = False,
        keep_metadata: bool = False,
        damaged: str = "refuse",
        max_pixels: int = MAX_PIXELS,
        png: str = "jpeg",
    ) -> None:
        if png not in PNG_MODES:
            raise OptionError(f"png is one of {', '.join(PNG_MODES)}, not {png!r}")
        if write_mode is None:
            write_mode = "raw" if jpeg is None else "jpg"
        if write_mode not in WRITE_MODES:
            raise OptionError(f"write_mode is one of {', '.join(WRITE_MODES)}, not {write_mode!r}")
        if jpeg is not None and jpeg not in JPEG_MODES:
            raise OptionError(f"jpeg is one of {', '.join(JPEG_MODES)}, not {jpeg!r}")
        if damaged not in DAMAGED:
            raise OptionError(f"damaged is one of {', '.join(DAMAGED)}, not {damaged!r}")
        for name, side in (("max_resolution", max_resolution), ("min_resolution", min_resolution)):
            if side is not None and (not isinstance(side, int) or side < 1):
                raise OptionError(f"{name} is a number of pixels, at least 1, not {side!r}")
        if not 1 <= int(jpeg_quality) <= 100:
            raise OptionError(f"jpeg_quality is between 1 and 100, not {jpeg_quality}")
        if not 0 <= compress_probability <= 1:
            raise OptionError(f"compress_probability is between 0 and 1, not {compress_probability}")
        if not 1 <= max_pixels <= KERNEL_MAX_PIXELS:
            raise OptionError(f"max_pixels is between 1 and {KERNEL_MAX_PIXELS}, not {max_pixels}")
        self.write_mode = write_mode
        self.max_resolution = max_resolution
        self.min_resolution = min_resolution
        self.smart_threshold = smart_threshold
        self.jpeg_quality = int(jpeg_quality)
        self.proportion = compress_probability
        self.jpeg = jpeg or "seekable"
        self.apply_orientation = apply_orientation
        self.keep_metadata = keep_metadata
        self.damaged = damaged
        self.max_pixels = max_pixels
        self.png = png

    @property
    def metadata_type(self) -> np.dtype[Any]:
        return IMAGE_RECORD

    def encode(self, value: Any) -> Encoded:
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == np.uint8:
            value = value.tobytes()
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._encode_file(bytes(value))
        if pixels.is_pillow(value) and self.apply_orientation:
            from PIL import ImageOps

            value = ImageOps.exif_transpose(value)
        return self._encode_pixels(pixels.rgb_array(value))

    def encode_together(self, values: Sequence[Any]) -> Sequence[Encoded | None]:
        kind = type(self)
        own = kind.encode is not RGBImageField.encode or kind.encode_any is not Field.encode_any  # a subclass decides
        if own or self.jpeg != "seekable" or self.write_mode != "jpg":
            return ()
        files = [value if type(value) in (bytes, memoryview) else b"" for value in values]
        ready = prepare_plain(
            files,
            max_side=self.max_resolution,
            min_side=self.min_resolution,
            apply_orientation=self.apply_orientation,
            keep_metadata=self.keep_metadata,
            max_pixels=self.max_pixels,
        )
        return [None if plain is None else _stored(plain) for plain in ready]

    def _encode_file(self, data: bytes) -> Encoded:
        if self.write_mode != "jpg":
            image, notes = pixels.open_image(data, self.apply_orientation, self.damaged, self.max_pixels)
            return self._encode_pixels(pixels.rgb_array(image), notes)
        if self.png == "raw" and (kind := pixels.lossless_kind(data)):
            image, _ = pixels.open_image(data, self.apply_orientation, max_pixels=self.max_pixels)
            whole = pixels.rgb_array(image)
            small = pixels.shrink(whole, self.max_resolution, self.min_resolution)
            return self._encode_raw(small, ("raw", kind if small is whole else f"{kind.split(',')[0]}, resized"))
        try:
            ready = prepare(
                data,
                jpeg=self.jpeg,
                max_side=self.max_resolution,
                min_side=self.min_resolution,
                quality=self.jpeg_quality,
                apply_orientation=self.apply_orientation,
                keep_metadata=self.keep_metadata,
                damaged=self.damaged,
                max_pixels=self.max_pixels,
            )
        except JpegError as error:
            raise ConversionError(str(error)) from error
        _check_sides(ready.width, ready.height)
        return _stored(ready)

    def _encode_pixels(self, image: npt.NDArray[np.uint8], notes: str = "") -> Encoded:
        image = pixels.shrink(image, self.max_resolution, self.min_resolution)
        if self._compresses(image):
            height, width = image.shape[:2]
            _check_sides(width, height)
            data = pixels.jpeg_bytes(image, self.jpeg_quality, seekable=self.jpeg != "keep")
            return Encoded((MODE_JPEG, width, height, 0), data, note=_note("encoded", notes))
        return self._encode_raw(image, _note("raw", notes))

    def _encode_raw(self, image: npt.NDArray[np.uint8], note: tuple[str, str]) -> Encoded:
        height, width = image.shape[:2]
        _check_sides(width, height)
        return Encoded((MODE_RAW, width, height, 0), image.tobytes(), note=note)

    def _compresses(self, image: npt.NDArray[np.uint8]) -> bool:
        if self.write_mode == "smart":
            return self.smart_threshold is not None and image.nbytes > self.smart_threshold
        if self.write_mode == "proportion":
            return xxhash.xxh3_64_intdigest(image.data) < self.proportion * 2**64
        return self.write_mode == "jpg"

    def payload_sizes(self, column: npt.NDArray[Any]) -> npt.NDArray[np.uint64] | None:
        stored = column["mode"] == MODE_RAW
        if not stored.any():
            return None
        raw = column["width"].astype(np.uint64) * column["height"].astype(np.uint64) * np.uint64(3)
        sizes: npt.NDArray[np.uint64] = np.where(stored, raw, UNKNOWN_SIZE)
        return sizes

    def bad_records(self, column: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], str] | None:
        bad = (column["mode"] > MODE_RAW) | (column["width"] == 0) | (column["height"] == 0)
        return bad, "has no valid mode, width and height"

    def decode(self, record: Any, payload: npt.NDArray[np.uint8] | None) -> Any:
        """Return the JPEG stream as bytes, or raw pixels as an array of shape (height, width, 3)."""
        assert payload is not None
        if record["mode"] == MODE_JPEG:
            return payload.tobytes()
        return np.array(payload).reshape(int(record["height"]), int(record["width"]), 3)

    def options(self) -> Mapping[str, Any]:
        named: dict[str, Any] = {
            "write_mode": self.write_mode,
            "jpeg": self.jpeg,
            "max_resolution": self.max_resolution,
            "min_resolution": self.min_resolution,
            "jpeg_quality": self.jpeg_quality,
            "apply_orientation": self.apply_orientation,
            "keep_metadata": self.keep_metadata,
            "damaged": self.damaged,
        }
        if self.max_pixels != MAX_PIXELS:
            named["max_pixels"] = self.max_pixels
        if self.png != "jpeg":
            named["png"] = self.png
        if self.write_mode == "smart":
            named["smart_threshold"] = self.smart_threshold
        if self.write_mode == "proportion":
            named["compress_probability"] = self.proportion
        return named

    def get_decoder_class(self) -> Any:
        return SimpleRGBImageDecoder


def _stored(ready: Prepared) -> Encoded:
    metadata = (MODE_JPEG, ready.width, ready.height, 0)
    return Encoded(metadata, ready.data, note=(ready.action, ready.reason), checksum=ready.checksum)


def _note(action: str, notes: str) -> tuple[str, str]:
    """What the report counts; damaged images, which it is to list by name, under an action of their own."""
    return ("decoded" if notes.startswith("damaged") else action), f"pixels, {notes}" if notes else "pixels"


def _check_sides(width: int, height: int) -> None:
    if width > MAX_SIDE or height > MAX_SIDE:
        raise ConversionError(
            f"the image is {width}x{height}; a .beton file holds at most {MAX_SIDE} pixels a side, "
            "so pass max_resolution"
        )

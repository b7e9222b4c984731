"""Decoders of FFCV-SSL, a fork of ffcv for self-supervised learning, under its module's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ffprep.errors import OptionError
from ffprep.fields.decoders import ResizedCropRGBImageDecoder, SimpleRGBImageDecoder
from ffprep.fields.sizes import Size
from ffprep.pipeline.state import State

__all__ = ["CornerCrop", "PadRGBImageDecoder"]

CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")


class CornerCrop(ResizedCropRGBImageDecoder):
    """The square of side ``int(ratio * min(height, width))`` in a corner, resized by area averaging.

    FFCV-SSL itself takes the lower corners for the upper ones and the other way round.

    Parameters
    ----------
    output_size : (height, width) or int
    ratio : float
    corner : {'top_left', 'top_right', 'bottom_left', 'bottom_right'}
    """

    by_protocol: ClassVar[bool] = True

    def __init__(self, output_size: Size, ratio: float, corner: str = "top_left") -> None:
        super().__init__(output_size)
        if not 0 < ratio <= 1:
            raise OptionError(f"ratio is {ratio}; it is the share of the shorter side, above 0 and up to 1")
        if corner not in CORNERS:
            raise OptionError(f"corner is {corner!r}; choose from {', '.join(CORNERS)}")
        self.ratio = float(ratio)
        self.corner = corner

    @property
    def get_crop_generator(self) -> Callable[..., Any]:
        bottom, right = self.corner.startswith("bottom"), self.corner.endswith("right")

        def crop(height: Any, width: Any, scale: Any, ratio: Any) -> tuple[Any, Any, Any, Any]:
            side = max(1, int(ratio * min(height, width)))
            return (height - side if bottom else 0), (width - side if right else 0), side, side

        return crop


class PadRGBImageDecoder(SimpleRGBImageDecoder):
    """Whole images in the upper left corner of one size, which is the largest height and width; the rest is black."""

    by_protocol: ClassVar[bool] = True

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, Any]:
        """Declare the padded images, and room for the largest one before it is padded."""
        return self._with_room(
            previous_state, (int(self.metadata["height"].max()), int(self.metadata["width"].max()), 3)
        )

    def generate_code(self) -> Callable[..., Any]:
        """Return the code that decodes and pads the images of a batch."""

        def pad(image: Any, height: Any, width: Any, out: Any) -> None:
            out[:] = 0
            out[:height, :width] = image

        return self._showing(pad)

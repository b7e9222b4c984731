"""ffcv's protocol on our image decoders: for subclasses that override a part of it, and scripts that call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ffprep.errors import DecodeError, OptionError
from ffprep.fields.sizes import Size, common_size, size_pair
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.state import State

MODE_JPEG = 0

UNDECODABLE = "an image of this batch cannot be decoded; ffprep verify names it"

PROTOCOL = ("declare_state_and_memory", "generate_code", "get_crop_generator")
"""What a decoder's class may override to be run by ffcv's protocol."""


def overridden(decoder: Any) -> list[str]:
    """Return which parts of `PROTOCOL` a decoder has from a class that is not ours, or as attributes of its own."""
    found = []
    for name in PROTOCOL:
        owner = next((kind for kind in type(decoder).__mro__ if name in vars(kind)), None)
        ours = owner is None or owner.__module__.partition(".")[0] == "ffprep"
        if not ours or name in getattr(decoder, "__dict__", ()):
            found.append(name)
    return found


class FfcvImageDecoding:
    """What ffcv's image decoders have. The loader uses it for those subclasses alone that override a part of it.

    Whole images are decoded then, and resized by area averaging, whatever ``interpolation`` says, as in ffcv. A decoder
    of ours as it is decodes its crop alone, and all in one pass with what follows.

    Class attributes
    ----------------
    crop_function : str or None
        Name of ffcv's function that draws the same crop, in `ffprep.fields.ffcv_images`.
    by_protocol : bool
        The loader always runs this decoder by the protocol, and unless a class overrides a part of that, by plain
        Python around the shipped decoder, so that nothing has to be compiled.
    """

    field: Any = None
    metadata: Any = None
    memory_read: Any = None
    output_size: Size | None
    scale: Any = None
    ratio: Any = None
    crop_function: ClassVar[str | None] = None
    by_protocol: ClassVar[bool] = False

    def accept_field(self, field: Any) -> None:
        """Store the field whose pipeline this decoder begins."""
        self.field = field

    def accept_globals(self, metadata: Any, memory_read: Any) -> None:
        """Store the field's metadata column and the compiled function that reads payloads."""
        self.metadata = metadata
        self.memory_read = memory_read

    @property
    def get_crop_generator(self) -> Callable[..., Any]:
        """The crop: a function ``f(height, width, scale, ratio) -> (top, left, height, width)``, for numba."""
        from ffprep.fields import ffcv_images  # not at the top: it imports numba

        if self.crop_function is None:
            raise NotImplementedError(f"{type(self).__name__} has no get_crop_generator")
        found: Callable[..., Any] = getattr(ffcv_images, self.crop_function)
        return found

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, Any]:
        """Declare the images of a batch and, if they are resized, room for the largest image of the file.

        Raises
        ------
        MixedSizesError
            Images are to be given in their own size, and it is not the same for all.
        """
        byte, size = np.dtype("u1"), self.output_size
        if size is None:
            shape: tuple[int, int, int] = (*common_size(self.metadata, type(self).__name__), 3)
            return replace(previous_state, jit_mode=True, shape=shape, dtype=byte), AllocationQuery(shape, byte)
        if callable(size):
            raise OptionError(f"{type(self).__name__}: output_size is a function; give (height, width) to this decoder")
        return self._with_room(previous_state, (*size_pair(size), 3))

    def _with_room(self, previous_state: State, shape: tuple[int, int, int]) -> tuple[State, Any]:
        """Declare images of a shape, and room for the largest image of the file in its own."""
        byte = np.dtype("u1")
        largest = 3 * int(self.metadata["width"].max()) * int(self.metadata["height"].max())
        return replace(previous_state, jit_mode=True, shape=shape, dtype=byte), (
            AllocationQuery(shape, byte),
            AllocationQuery((largest,), byte),
        )

    def generate_code(self) -> Callable[..., Any]:
        """Return the code that decodes the images of a batch and, if they are resized, crops and resizes them."""
        return self._whole() if self.output_size is None else self._resized()

    def _whole(self) -> Callable[..., Any]:
        from ffprep.jpeg.ffcv_calls import imdecode, memcpy  # not at the top: it imports numba

        read, loop, copy, jpeg = self.memory_read, Compiler.get_iterator(), Compiler.compile(memcpy), MODE_JPEG

        def decode(batch: Any, out: Any, metadata: Any, storage: Any) -> Any:
            for row in loop(len(batch)):
                record = metadata[batch[row]]
                stored = read(record["data_ptr"], storage)
                if record["mode"] == jpeg:
                    if imdecode(stored, out[row], record["height"], record["width"]) != 0:
                        raise DecodeError(UNDECODABLE)
                else:
                    copy(stored, out[row])
            return out[: len(batch)]

        decode.is_parallel = True  # type: ignore[attr-defined]
        return decode

    def _resized(self) -> Callable[..., Any]:
        from ffprep.jpeg.ffcv_calls import resize_crop  # not at the top: it imports numba

        crop = self._inner(self.get_crop_generator)
        scale, ratio = (np.array(v) if isinstance(v, (tuple, list)) else v for v in (self.scale, self.ratio))

        def show(image: Any, height: Any, width: Any, out: Any) -> None:
            top, left, tall, wide = crop(height, width, scale, ratio)
            resize_crop(image, top, top + tall, left, left + wide, out)

        return self._showing(show)

    def _plain(self) -> bool:
        return self.by_protocol and not overridden(self)

    def _inner(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what this decoder's code calls: compiled, unless that code itself is not."""
        return function if self._plain() else Compiler.compile(function)

    def _showing(self, show: Callable[[Any, Any, Any, Any], None]) -> Callable[..., Any]:
        """Return the code that decodes each image of a batch, and calls ``show(image, height, width, its row)``."""
        from ffprep.jpeg.ffcv_calls import imdecode  # not at the top: it imports numba

        read, loop, jpeg, place = self.memory_read, Compiler.get_iterator(), MODE_JPEG, self._inner(show)

        def decode(batch: Any, memory: Any, metadata: Any, storage: Any) -> Any:
            out, scratch = memory
            for row in loop(len(batch)):
                record = metadata[batch[row]]
                stored = read(record["data_ptr"], storage)
                height, width = np.int64(record["height"]), np.int64(record["width"])
                if record["mode"] == jpeg:
                    if imdecode(stored, scratch[row], height, width) != 0:
                        raise DecodeError(UNDECODABLE)
                    image = scratch[row][: 3 * height * width].reshape(height, width, 3)
                else:
                    image = stored.reshape(height, width, 3)
                place(image, height, width, out[row])
            return out[: len(batch)]

        decode.is_parallel = True  # type: ignore[attr-defined]
        decode.is_plain = self._plain()  # type: ignore[attr-defined]
        return decode

"""Our image decoders have ffcv's protocol: subclasses that override a part of it, and scripts that call it, work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ffprep import Loader
from ffprep.errors import CustomFieldError, DecodeError, MixedSizesError, OptionError
from ffprep.fields import IntField, NDArrayField, RGBImageField
from ffprep.fields.decoders import IntDecoder
from ffprep.fields.rgb_image import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizedCropRGBImageDecoder,
    SimpleRGBImageDecoder,
    imdecode,
    resize_crop,
)
from ffprep.memory_managers import OSCacheManager
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.state import State
from ffprep.reader import Reader
from ffprep.transforms import ToTensor
from ffprep.writer import DatasetWriter

Image = npt.NDArray[np.uint8]


def picture(height: int, width: int) -> Image:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([3 * rows + columns, 5 * columns, 255 - rows], axis=2).astype(np.uint8)


def written(path: Path, sides: list[tuple[int, int]], mode: str = "raw") -> Path:
    class Pictures:
        def __len__(self) -> int:
            return len(sides)

        def __getitem__(self, i: int) -> tuple[Any, ...]:
            return picture(*sides[i]), i

    writer = DatasetWriter(path, {"image": RGBImageField(mode), "label": IntField()}, num_workers=1, processes=False)
    writer.from_indexed_dataset(Pictures())
    return path


def images_of(path: Path, decoder: Any) -> list[Image]:
    with Loader(path, 1, 1, pipelines={"image": [decoder], "label": None}) as loader:
        return [np.array(images[0]) for (images,) in loader]


class LowerRight:
    """A crop of its own, mixed into a decoder: the lower right quarter."""

    @property
    def get_crop_generator(self) -> Callable[..., Any]:
        def crop(height: Any, width: Any, scale: Any, ratio: Any) -> Any:
            return height - height // 2, width - width // 2, height // 2, width // 2

        return crop


class RandomLower(LowerRight, RandomResizedCropRGBImageDecoder):
    pass


class CentralLower(LowerRight, CenterCropRGBImageDecoder):
    pass


class Lower(LowerRight, ResizedCropRGBImageDecoder):
    pass


SIDES = [(45, 62), (30, 30), (80, 51)]


@pytest.mark.parametrize(
    "decoder", [RandomLower((15, 20)), CentralLower((15, 20), 0.5), Lower((15, 20))], ids=lambda d: type(d).__name__
)
@pytest.mark.parametrize("mode", ["raw", "jpg"])
def test_an_overridden_crop_is_honoured(tmp_path: Path, decoder: Any, mode: str) -> None:
    for image, (height, width) in zip(images_of(written(tmp_path / "x", SIDES, mode), decoder), SIDES, strict=True):
        wanted = np.empty((15, 20, 3), np.uint8)
        top, left = height - height // 2, width - width // 2
        resize_crop(picture(height, width), top, height, left, width, wanted)
        difference = np.abs(image.astype(int) - wanted)
        assert difference.max() == 0 if mode == "raw" else difference.mean() < 8


class Negative(SimpleRGBImageDecoder):
    """Overrides the code and leaves the declaration to ffcv's class."""

    def generate_code(self) -> Callable[..., Any]:
        decode = Compiler.compile(super().generate_code())

        def negative(batch: Any, out: Any, metadata: Any, storage: Any) -> Any:
            decode(batch, out, metadata, storage)
            out[:] = 255 - out
            return out

        return negative


class Centre(CenterCropRGBImageDecoder):
    """Overrides the declaration alone, to say how often it was called."""

    declared = 0

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, Any]:
        self.declared += 1
        return super().declare_state_and_memory(previous_state)


def test_a_part_that_is_overridden_is_used(tmp_path: Path) -> None:
    path = written(tmp_path / "x", [(20, 30)] * 2)
    assert all((image == 255 - picture(20, 30)).all() for image in images_of(path, Negative()))
    decoder = Centre((8, 8), 0.5)
    wanted = np.empty((8, 8, 3), np.uint8)
    resize_crop(picture(20, 30), 5, 15, 10, 20, wanted)
    assert all((image == wanted).all() for image in images_of(path, decoder)) and decoder.declared > 0


def test_a_crop_given_to_the_object_is_honoured(tmp_path: Path) -> None:
    class Settable(ResizedCropRGBImageDecoder):
        get_crop_generator: Any = None

    decoder = Settable((8, 8))
    decoder.get_crop_generator = lambda height, width, scale, ratio: (0, 0, height, width)
    wanted = np.empty((8, 8, 3), np.uint8)
    resize_crop(picture(20, 30), 0, 20, 0, 30, wanted)
    assert (images_of(written(tmp_path / "x", [(20, 30)]), decoder)[0] == wanted).all()


def test_what_cannot_be_honoured_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x", SIDES)
    with pytest.raises(OptionError, match="get_crop_generator"):
        images_of(path, ResizedCropRGBImageDecoder((8, 8)))

    class Half(IntDecoder):
        def generate_code(self) -> Any:
            return None

    with pytest.raises(OptionError, match=r"Half.*generate_code.*declare_state_and_memory"):
        Loader(path, 1, 1, pipelines={"image": None, "label": [Half(), ToTensor()]})
    with pytest.raises(OptionError, match="output_size is a function"):
        images_of(path, RandomLower(lambda epoch: 8))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("mode", ["raw", "jpg"])
def test_scripts_may_run_the_default_decoder_themselves(tmp_path: Path, mode: str, compiled: bool) -> None:
    path = written(tmp_path / "x", [(20, 30)] * 2, mode)
    reader = Reader(path)
    manager = OSCacheManager(reader)
    Compiler.set_enabled(compiled)
    try:
        decoder = RGBImageField().get_decoder_class()()
        decoder.accept_globals(reader.metadata["f0"], manager.compile_reader())
        state, query = decoder.declare_state_and_memory(State(True, None, (), np.dtype("u1")))
        decode = Compiler.compile(decoder.generate_code())
    finally:
        Compiler.set_enabled(True)
    assert isinstance(query, AllocationQuery) and state.shape == query.shape == (20, 30, 3)
    room = np.zeros((1, 20, 30, 3), np.uint8)
    with manager.schedule_epoch([[0, 1]]) as context:
        for i in range(2):
            image = decode(np.array([i]), room, reader.metadata["f0"], context.state)[0]
            assert image.shape == (20, 30, 3)
            assert np.abs(image.astype(int) - picture(20, 30)).mean() < (1 if mode == "raw" else 8)


def test_an_image_that_cannot_be_decoded_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "x", [(45, 62)], "jpg")
    reader = Reader(path)
    start = int(reader.metadata["f0"]["data_ptr"][0])
    reader.close()
    data = bytearray(path.read_bytes())
    data[start + 2 : start + 60] = bytes(58)
    path.write_bytes(data)
    with pytest.raises(DecodeError, match="cannot be decoded"):
        images_of(path, Lower((8, 8)))


def test_errors_are_those_that_scripts_catch(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="differ in size") as mixed:
        Loader(written(tmp_path / "x", SIDES), 1, 1)
    assert isinstance(mixed.value, MixedSizesError)
    decoder = SimpleRGBImageDecoder()
    decoder.accept_globals(Reader(tmp_path / "x").metadata["f0"], None)
    with pytest.raises(TypeError, match="differ in size"):
        decoder.declare_state_and_memory(State(True, None, (), np.dtype("u1")))

    class Own(NDArrayField):
        pass

    class Numbers:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, i: int) -> tuple[Any]:
            return (np.zeros(3, np.float32),)

    writer = DatasetWriter(tmp_path / "y", {"own": Own(np.dtype("f4"), (3,))}, num_workers=1, processes=False)
    writer.from_indexed_dataset(Numbers())
    with pytest.raises(ValueError, match="custom_fields") as custom:
        Loader(tmp_path / "y", 1, 1)
    assert isinstance(custom.value, CustomFieldError)


class Twice(Operation):
    def generate_code(self) -> Any:
        return lambda labels, out: 2 * labels

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, None]:
        return previous_state, None


@pytest.mark.parametrize("recompile", [False, True])
def test_code_is_another_in_each_epoch_only_if_it_is_made_anew(tmp_path: Path, recompile: bool) -> None:
    pipelines = {"image": None, "label": [IntDecoder(), Twice(), ToTensor()]}
    with Loader(written(tmp_path / "x", SIDES), 1, 1, pipelines=pipelines, recompile=recompile) as loader:
        codes = []
        for _ in range(2):
            iterator = iter(loader)
            codes.append(loader.code)
            assert [int(labels[0, 0]) for (labels,) in iterator] == [0, 2, 4]
        assert list(codes[0]) == ["label"] and (codes[0] != codes[1]) == recompile


def test_imdecode_says_when_it_fails() -> None:
    assert imdecode(np.zeros(10, np.uint8), np.empty((4, 4, 3), np.uint8), 4, 4) != 0

# ruff: noqa: NPY002
"""Operations that users wrote to ffcv's protocol run, and the same way in every run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import IntDecoder
from ffprep.fields.ndarray import NDArrayDecoder
from ffprep.fields.rgb_image import RandomResizedCropRGBImageDecoder, SimpleRGBImageDecoder
from ffprep.libffcv import memcpy
from ffprep.pipeline import PipelineSpec
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.state import State
from ffprep.transforms import RandomHorizontalFlip, ToTensor


class Corner(Operation):
    """Either the first or the last quarter of each image, by numpy's draws."""

    made = 0

    def generate_code(self) -> Any:
        type(self).made += 1
        loop = Compiler.get_iterator()

        def corner(images: Any, out: Any) -> Any:
            chosen = np.random.rand(images.shape[0])
            for i in loop(images.shape[0]):
                if chosen[i] < 0.5:
                    out[i] = images[i, : images.shape[1] // 2, : images.shape[2] // 2]
                else:
                    out[i] = images[i, -(images.shape[1] // 2) :, -(images.shape[2] // 2) :]
            return out

        corner.is_parallel = True  # type: ignore[attr-defined]
        return corner

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery]:
        height, width, channels = previous_state.shape
        shape = (height // 2, width // 2, channels)
        return replace(previous_state, shape=shape), AllocationQuery(shape, previous_state.dtype)


class Wrong(Operation):
    """Some labels replaced, by a draw that depends on the sample alone."""

    def generate_code(self) -> Any:
        def wrong(labels: Any, _: Any, indices: Any) -> Any:
            for i in range(labels.shape[0]):
                np.random.seed(indices[i])
                if np.random.rand() < 0.3:
                    labels[i] = np.random.randint(100, 110)
            return labels

        wrong.with_indices = True  # type: ignore[attr-defined]
        return wrong

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, None]:
        return previous_state, None


class Shift(Operation):
    """Adds a number drawn once a batch, in memory that all pipelines with this operation share."""

    def declare_shared_memory(self, previous_state: State) -> AllocationQuery:
        return AllocationQuery((1,), np.dtype(np.int64))

    def generate_code_for_shared_state(self) -> Any:
        def draw(memory: Any) -> None:
            for i in range(memory.shape[0]):
                memory[i, 0] = np.random.randint(1, 1000)

        return draw

    def generate_code(self) -> Any:
        def shift(x: Any, out: Any, shared: Any) -> Any:
            for i in range(x.shape[0]):
                out[i, 0] = shared[i, 0]
            return out

        return shift

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery]:
        kind = np.dtype(np.int64)
        return replace(previous_state, shape=(1,), dtype=kind), AllocationQuery((1,), kind)


class OnTensors(Operation):
    """Runs after ToTensor, so it is not compiled, and asks for a tensor and an array."""

    def generate_code(self) -> Any:
        def double(x: Any, memory: Any) -> Any:
            tensor, array = memory
            assert isinstance(x, torch.Tensor) and isinstance(array, np.ndarray) and array.shape == (len(x), 2)
            tensor[: len(x)] = 2 * x
            return tensor

        return double

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, Any]:
        assert not previous_state.jit_mode
        shape = previous_state.shape
        queries = (AllocationQuery(shape, torch.int64, torch.device("cpu")), AllocationQuery((2,), np.dtype("f4")))
        return replace(previous_state, dtype=torch.int64), queries


def load(path: Path, pipelines: dict[str, Any], **options: Any) -> list[Any]:
    with Loader(path, 8, pipelines=pipelines, **{"num_workers": 2, "seed": 3, "drop_last": False, **options}) as loader:
        return [batch for _ in range(2) for batch in loader]


def test_compiled_draws_repeat_and_code_is_kept(small: Path) -> None:
    Corner.made = 0
    pipelines = {"image": [SimpleRGBImageDecoder(), Corner(), ToTensor()], "label": None}
    first = load(small, pipelines, num_workers=1)
    assert Corner.made == 1  # one compilation for two epochs
    again = load(small, pipelines, num_workers=4, batches_ahead=1)
    assert all(torch.equal(a, b) for (a,), (b,) in zip(first, again, strict=True))
    assert first[0][0].shape == (8, 16, 16, 3)
    assert not torch.equal(first[0][0], first[7][0])  # the next epoch draws anew
    plain = load(small, {"image": [SimpleRGBImageDecoder()], "label": None})
    for (got,), (images,) in zip(first, plain, strict=True):
        for row, image in zip(got.numpy(), images, strict=True):
            assert np.array_equal(row, image[:16, :16]) or np.array_equal(row, image[16:, 16:])
    load(small, pipelines, recompile=True)
    assert Corner.made == 4


def test_indices(small: Path) -> None:
    pipelines = {"image": None, "label": [IntDecoder(), Wrong(), ToTensor()]}
    labels = torch.cat([b[0] for b in load(small, pipelines)])[:, 0].numpy()
    assert np.array_equal(labels[:50], labels[50:])
    changed = labels[:50] != np.arange(50) % 10
    assert 5 < changed.sum() < 25 and (labels[:50][changed] >= 100).all()
    shuffled = torch.cat([b[0] for b in load(small, pipelines, order=OrderOption.RANDOM)])[:, 0].numpy()
    assert sorted(shuffled[:50]) == sorted(labels[:50])


def test_shared_memory_is_filled_once_a_batch(small: Path) -> None:
    shift = Shift()
    pipelines = {
        "image": [SimpleRGBImageDecoder(), shift, ToTensor()],
        "label": [IntDecoder(), shift, ToTensor()],
    }
    batches = load(small, pipelines)
    assert all(torch.equal(a, b) and len(a.unique()) > 1 for a, b in batches)
    assert not torch.equal(batches[0][0], batches[1][0])


def test_tensors_and_several_buffers(small: Path) -> None:
    pipelines = {"image": None, "label": [IntDecoder(), ToTensor(), OnTensors()]}
    labels = torch.cat([b[0] for b in load(small, pipelines)])[:50, 0]
    assert labels.tolist() == [2 * (i % 10) for i in range(50)]


def test_the_form_may_change_between_epochs(photographs: Path) -> None:
    decoder = RandomResizedCropRGBImageDecoder((32, 32))
    pipelines = {"image": [decoder, RandomHorizontalFlip(), Corner(), ToTensor()], "label": None}
    with Loader(photographs, 8, num_workers=1, pipelines=pipelines) as loader:
        assert next(iter(loader))[0].shape == (8, 16, 16, 3)
        decoder.output_size = (48, 64)
        assert next(iter(loader))[0].shape == (8, 24, 32, 3)


class FirstRow(SimpleRGBImageDecoder):
    """A decoder of one's own: the first row of raw images."""

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery]:
        width = int(self.metadata["width"].max())
        kind = np.dtype("u1")
        state = replace(previous_state, jit_mode=True, shape=(width, 3), dtype=kind)
        return state, AllocationQuery((width, 3), kind)

    def generate_code(self) -> Any:
        read = self.memory_read
        loop = Compiler.get_iterator()
        copy = Compiler.compile(memcpy)

        def decode(batch: Any, out: Any, metadata: Any, storage: Any) -> Any:
            for i in loop(len(batch)):
                record = metadata[batch[i]]
                pixels = read(record["data_ptr"], storage)
                copy(pixels[: 3 * record["width"]], out[i])
            return out[: len(batch)]

        return decode


def test_memcpy_copies_bytes() -> None:
    words = np.zeros((2, 2), np.uint32)
    memcpy(np.array([1, 0, 0, 0, 2], np.uint8), words)
    assert words.tolist() == [[1, 2], [0, 0]]


def test_decoders_of_users(small: Path) -> None:
    rows = [b[0] for b in load(small, {"image": [FirstRow(), ToTensor()], "label": None})]
    whole = [b[0] for b in load(small, {"image": [SimpleRGBImageDecoder(), ToTensor()], "label": None})]
    assert all(torch.equal(a, b[:, 0]) for a, b in zip(rows, whole, strict=True))
    spec = PipelineSpec("image", decoder=FirstRow(), transforms=[ToTensor()])
    both = load(small, {"image": [SimpleRGBImageDecoder(), ToTensor()], "row": spec, "label": None})
    assert all(torch.equal(b[0][:, 0], b[1]) for b in both)


class Caption(NDArrayDecoder):
    """A subclass that changes nothing stays what it was."""


def test_a_derived_decoder_is_still_fast(small: Path) -> None:
    class Label(IntDecoder):
        pass

    labels = torch.cat([b[0] for b in load(small, {"image": None, "label": [Label(), ToTensor()]})])
    assert labels[:50, 0].tolist() == [i % 10 for i in range(50)]


def test_code_can_run_uncompiled(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compiler, "is_enabled", True)
    Compiler.set_enabled(False)
    assert Compiler.compile(len) is len
    Compiler.set_num_threads(7)
    assert Compiler.num_threads == 1
    pipelines = {"image": None, "label": [IntDecoder(), Wrong(), ToTensor()]}
    assert len(load(small, pipelines)) == 14


def adder(number: Any) -> Any:
    def add(x: Any) -> Any:
        return x + number

    return add


OUTSIDE = 3


def more(x: Any) -> Any:
    return x + OUTSIDE


def twice(helper: Any) -> Any:
    def call(x: Any) -> Any:
        return helper(helper(x))

    return call


def test_the_same_code_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Compiler.compile(adder(2))
    assert Compiler.compile(adder(2)) is one and one(5) == 7
    assert Compiler.compile(adder(np.arange(2))) is Compiler.compile(adder(np.arange(2)))
    different = [2.0, 3, True, np.int32(2), np.arange(2), np.arange(3), np.arange(2.0), (2, 3), (2, 3.0)]
    made = [one, *(Compiler.compile(adder(number)) for number in different)]
    assert len({id(compiled) for compiled in made}) == len(made)
    before = Compiler.compile(more)
    assert before(1) == 4
    monkeypatch.setitem(globals(), "OUTSIDE", 10)
    after = Compiler.compile(more)
    assert after is not before and after(1) == 11
    chain = Compiler.compile(twice(before))
    assert Compiler.compile(twice(before)) is chain and chain(1) == 7
    assert Compiler.compile(twice(after)) is not chain
    assert Compiler.compile(adder([2])) is not Compiler.compile(adder([2]))


def test_attributes_of_modules_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings_of_mine.py").write_text("LEVEL = 4\nOTHER = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import settings_of_mine

    def scale(x: Any) -> Any:
        return x * settings_of_mine.LEVEL

    first = Compiler.compile(scale)
    assert first(3) == 12
    settings_of_mine.OTHER = 2
    assert Compiler.compile(scale) is first
    settings_of_mine.LEVEL = 5
    assert Compiler.compile(scale)(3) == 15
    del sys.modules["settings_of_mine"]


PROGRAM = """
from ffprep.pipeline.compiler import Compiler
import numpy as np
from ffprep.jpeg.ffcv_calls import _decode
from ffprep.loader.plan.operations import _memory_reader

def maker(number):
    def add(x):
        return x + number
    def look(data, offsets, sizes):
        return _memory_reader(np.uint64(2), (data, offsets, sizes)).size + number
    def failed(data, out):
        return _decode(data.ctypes.data, data.size, 1, 1, 0, out.ctypes.data, 1, 1) + number
    return [Compiler.compile(f) for f in (add, look, failed)]

add, look, failed = maker(NUMBER)
some = np.arange(5, dtype=np.uint8)
print(add(1), look(some, np.array([2], np.uint64), np.array([3], np.uint64)), failed(some, some) > NUMBER)
print(*(sum(f.stats.cache_hits.values()) for f in (add, look, failed)))
"""


def test_code_without_addresses_is_kept_on_disk(tmp_path: Path) -> None:
    def run(number: int) -> list[list[str]]:
        program = tmp_path / "program.py"
        program.write_text(f"NUMBER = {number}\n" + PROGRAM)
        variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, str(program)], env=variables, capture_output=True, text=True, check=True, timeout=500
        )
        assert "Warning" not in done.stderr
        return [line.split() for line in done.stdout.splitlines()]

    assert run(2) == [["3", "5", "True"], ["0", "0", "0"]]
    assert run(2) == [["3", "5", "True"], ["1", "1", "0"]]
    assert run(7) == [["8", "10", "True"], ["0", "0", "0"]]

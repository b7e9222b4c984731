"""Batches on a device: the same bits, never from memory that was filled anew, never a wait in the training thread.

The device is played by `Late`, a stream that does nothing before it must: a copy reads its host memory only when
someone waits for it, so memory that went back too early, or a batch handed out without an order to wait, shows as
wrong values.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from late_device import Late

from ffprep import Loader, OrderOption, presets
from ffprep.errors import OptionError
from ffprep.fields.decoders import (
    BytesDecoder,
    IntDecoder,
    JSONDecoder,
    NDArrayDecoder,
    Ragged,
    RandomResizedCropRGBImageDecoder,
)
from ffprep.loader.engine import device as transfer
from ffprep.loader.engine.memory import SPARE_PINNED
from ffprep.loader.plan.finish import Finish, on_host
from ffprep.pipeline.form import ImageForm, dtype_name, torch_dtype
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.transforms import (
    Convert,
    NormalizeImage,
    RandomHorizontalFlip,
    Squeeze,
    ToDevice,
    ToTensor,
    ToTorchImage,
)
from ffprep.transforms.bases.transform import each

MEAN = np.array([0.485, 0.456, 0.406]) * 255
STD = np.array([0.229, 0.224, 0.225]) * 255


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Late]]:
    Late.made = []
    monkeypatch.setitem(transfer.STREAMS, "late", Late)
    yield Late
    Late.made = []


def image_pipeline(device: str | None, dtype: Any, last: bool, place: int = 3) -> list[Any]:
    pipeline: list[Any] = [
        RandomResizedCropRGBImageDecoder(48),
        RandomHorizontalFlip(),
        NormalizeImage(MEAN, STD, dtype) if dtype is not None else ToTensor(),
        ToTensor(),
        ToTorchImage(channels_last=last),
    ]
    if device is not None:
        pipeline.insert(place, ToDevice(device))
    return pipeline


def load(path: Path, pipelines: dict[str, Any], **options: Any) -> list[Any]:
    arguments = {"num_workers": 2, "order": OrderOption.RANDOM, "seed": 5, "drop_last": False, **options}
    with Loader(path, 4, pipelines=pipelines, **arguments) as loader:
        return [each_clone(batch) for _ in range(2) for batch in loader]


def each_clone(batch: Any) -> Any:
    return tuple(each(part, lambda x: x.clone() if hasattr(x, "clone") else x) for part in batch)


def same(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) and x.dtype == y.dtype and x.stride() == y.stride()
        for m, n in zip(a, b, strict=True)
        for x, y in zip(transfer.tensors_of(m), transfer.tensors_of(n), strict=True)
    )


LABEL = [IntDecoder(), ToTensor(), Squeeze()]


def expected(path: Path, dtype: Any, last: bool) -> list[Any]:
    """What the device should make of the images that the host writes as uint8."""
    plain = load(path, {"image": [RandomResizedCropRGBImageDecoder(48), RandomHorizontalFlip()], "label": LABEL})
    batches = []
    for pixels, labels in plain:
        images = torch.from_numpy(pixels)
        if dtype is not None:
            mean, std = torch.tensor(MEAN, dtype=torch.float32), torch.tensor(STD, dtype=torch.float32)
            images = ((images.float() - mean) / std).to(torch_dtype(dtype_name(dtype)))
        images = images.permute(0, 3, 1, 2)
        batches.append((images if last else images.contiguous(), labels))
    return batches


@pytest.mark.parametrize("dtype", [np.float32, np.float16, torch.bfloat16, None])
@pytest.mark.parametrize("last", [True, False])
def test_images_cross_as_bytes_and_are_finished_on_the_device(image_beton: Path, dtype: Any, last: bool) -> None:
    wanted = expected(image_beton, dtype, last)
    for place in (2, 3, 5):
        moved = image_pipeline("late", dtype, last, place)
        assert same(load(image_beton, {"image": moved, "label": [*LABEL, ToDevice("late")]}), wanted)
        assert {sent.dtype for sent in Late.made[-1].submitted} == {torch.uint8, torch.int64}
    host = {"image": image_pipeline(None, dtype, last), "label": LABEL}
    assert same(load(image_beton, host, device="late"), wanted)
    for (a, _), (b, _) in zip(load(image_beton, host), wanted, strict=True):
        assert a.stride() == b.stride() and (a.double() - b.double()).abs().max() < 0.51 / STD.min() + 0.02


def open_late(path: Path, ahead: int, **options: Any) -> Loader:
    pipelines = {"image": image_pipeline("late", np.float32, True), "label": [*LABEL, ToDevice("late")]}
    arguments = {"order": OrderOption.RANDOM, "seed": 5, "drop_last": False, "pipelines": pipelines, **options}
    return Loader(path, 4, 2, batches_ahead=ahead, **arguments)


def take_late(loader: Loader, epochs: int, ahead: int) -> list[Any]:
    """Batches of a loader whose stage thread was as far ahead as it may be before the first was taken."""
    got: list[Any] = []
    for _ in range(epochs):
        marks = Late.made[-1].marks if Late.made else 0
        iterator = iter(loader)
        Late.made[-1].reach(marks + max(1, ahead))
        got += iterator
    return got


@pytest.mark.parametrize("ahead", [0, 1, 3, 7])
def test_host_memory_waits_for_its_copy(image_beton: Path, ahead: int) -> None:
    wanted = expected(image_beton, np.float32, True)
    with open_late(image_beton, ahead) as loader:
        got = take_late(loader, 2, ahead)
        stream = Late.made[-1]
        assert same(got, wanted)
        assert [x for batch in got for x in batch if x.data_ptr() not in stream.received] == []
        assert stream.strays == 0  # everything came from memory that the device copies from directly
        take_late(loader, 4, ahead)
        assert len(stream.memories) <= 2 * (ahead + SPARE_PINNED)  # the same few buffers go round for ever
        assert len(Late.made) == 1


def test_views_of_one_size_go_round_too(image_beton: Path) -> None:
    views = {name: PipelineSpec("image", transforms=image_pipeline("late", None, True)) for name in ("two", "three")}
    pipelines = {"image": image_pipeline("late", None, True), **views, "label": None}
    with open_late(image_beton, 2, pipelines=pipelines) as loader:
        for _ in range(5):
            list(loader)
        assert len(Late.made[-1].memories) <= 3 * (2 + SPARE_PINNED)


def test_what_ffcv_scripts_do_on_the_device(image_beton: Path) -> None:
    # the end of ffcv's CIFAR script; the module stands for torchvision's Normalize
    double = torch.nn.Hardtanh(0.0, 200.0)
    start = [RandomResizedCropRGBImageDecoder(48), RandomHorizontalFlip()]
    tail = [ToTensor(), ToDevice("late", non_blocking=True), ToTorchImage(), Convert(torch.float16), double]
    wanted = [double(images.half()) for images, _ in expected(image_beton, None, True)]
    got = load(image_beton, {"image": [*start, *tail], "label": [*LABEL, ToDevice("late")]})
    assert all(torch.equal(a, b) and a.dtype == b.dtype for (a, _), b in zip(got, wanted, strict=True))


def test_memory_that_goes_back_too_early_would_show(image_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = expected(image_beton, np.float32, True)
    monkeypatch.setattr(transfer.PendingCopies, "add", lambda self, mark, memory: None)
    with open_late(image_beton, 5) as loader:
        assert not same(take_late(loader, 1, 5), wanted[:10])


def test_a_batch_without_the_order_to_wait_would_show(image_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = expected(image_beton, np.float32, True)
    monkeypatch.setattr(Late, "receive", lambda self, mark, values: None)
    monkeypatch.setattr(Late, "passed", lambda self, mark: False)
    with open_late(image_beton, 1) as loader:
        iterator = iter(loader)
        assert not torch.equal(next(iterator)[0], wanted[0][0])


@pytest.mark.parametrize("taken", [0, 1, 4])
def test_a_broken_off_epoch_lands_before_its_memory_is_used_again(image_beton: Path, taken: int) -> None:
    wanted = expected(image_beton, np.float32, True)
    with open_late(image_beton, 3) as loader:
        for _ in range(4):
            loader.next_epoch = 0
            iterator = iter(loader)
            assert same([next(iterator) for _ in range(taken)], wanted[:taken])
            del iterator
            gc.collect()
        loader.next_epoch = 0
        assert same(list(loader), wanted[:10])


def test_dropped_loaders_end_their_threads(image_beton: Path) -> None:
    for taken in range(20):
        iterator = iter(open_late(image_beton, 2))
        for _ in range(taken % 3):
            next(iterator)
    del iterator
    gc.collect()
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("ffprep-")]
    for thread in mine:
        thread.join(60)
    assert not any(thread.is_alive() for thread in mine)
    assert all(stream.done == len(stream.queued) for stream in Late.made)


class Broken(Exception):
    pass


def test_a_failure_on_the_device_reaches_the_loop(image_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def fail(x: Any) -> Any:
        if not any(x is known for known in seen):
            seen.append(x)
            if len(seen) == 4:
                raise Broken("out of memory")
        return x

    monkeypatch.setattr(Late, "receive", lambda self, mark, values: self.run_to(mark))
    pipelines = {"image": image_pipeline("late", np.float32, True), "label": [*LABEL, ToDevice("late"), fail]}
    with open_late(image_beton, 3, pipelines=pipelines) as loader:
        with pytest.raises(Broken, match="out of memory"):
            list(loader)
        for thread in threading.enumerate():
            if thread.name == "ffprep-stages":
                thread.join(60)
        stream = Late.made[-1]
        assert stream.done == len(stream.queued) == 7  # the image's copy of the failed batch, too


def test_every_kind_of_output_moves(plain_beton: Path) -> None:
    def batches(device: str | None) -> list[Any]:
        pipelines = {
            "array": [NDArrayDecoder(), ToTensor(), Convert(np.int64)],
            "bytes": [BytesDecoder(lengths=True)],
            "json": [JSONDecoder()],
        }
        options: dict[str, Any] = {"pipelines": pipelines, "seed": 3, "order": OrderOption.RANDOM}
        with Loader(plain_beton, 9, 2, pad="mask", device=device, **options) as loader:
            return list(loader)

    wanted, got = batches(None), batches("late")
    for (number, real, array, strings, documents, mask), want in zip(got, wanted, strict=True):
        assert torch.equal(number, want[0]) and torch.equal(real, want[1]) and torch.equal(array, want[2])
        assert isinstance(strings, Ragged) and isinstance(strings.lengths, torch.Tensor)
        assert np.array_equal(strings.data, want[3].data) and np.array_equal(strings.lengths, want[3].lengths)
        assert documents == want[4] and torch.equal(mask, want[5])
        assert number.data_ptr() in Late.made[-1].received


def test_presets_move(image_beton: Path) -> None:
    options: dict[str, Any] = {"batch_size": 8, "num_workers": 2, "size": 32, "dtype": torch.bfloat16}
    with presets.imagenet_val(image_beton, **options) as loader:
        wanted = list(loader)
    with presets.imagenet_val(image_beton, device="late", **options) as loader:
        for got, want in zip(loader, wanted, strict=True):
            assert got[0].dtype == torch.bfloat16 and torch.equal(got[1], want[1])
            assert (got[0].float() - want[0].float()).abs().max() < 0.51 / STD.min() + 0.02
    assert {sent.dtype for sent in Late.made[-1].submitted} == {torch.uint8, torch.int64}


def test_numbers_name_cuda_devices_and_one_loader_serves_one(image_beton: Path) -> None:
    assert ToDevice(1).target == "cuda:1" and ToDevice("cpu").target is None
    assert ToDevice(torch.device("cpu", 0)).target is None and ToDevice(torch.device("cuda", 2)).target == "cuda:2"
    pipelines = {"image": image_pipeline("late:0", None, True), "label": [*LABEL, ToDevice("late:1")]}
    with (
        Loader(image_beton, 4, 1, pipelines=pipelines) as loader,
        pytest.raises(OptionError, match="late:0 and late:1; choose one"),
    ):
        iter(loader)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda_is_said(image_beton: Path) -> None:
    with presets.imagenet_val(image_beton, 4, 1, size=32, device="cuda") as loader:
        for _ in range(2):
            with pytest.raises(OptionError, match=r"ToDevice\('cuda'\): torch sees no CUDA device"):
                next(iter(loader))


def test_a_device_without_streams_of_its_own(image_beton: Path) -> None:
    wanted = load(image_beton, {"image": image_pipeline(None, np.float16, False), "label": LABEL})
    moved = {"image": image_pipeline("meta", np.float16, False), "label": [*LABEL, ToDevice("meta")]}
    with Loader(image_beton, 4, 2, pipelines=moved, drop_last=False) as loader:
        for got, want in zip(loader, wanted, strict=False):
            assert got[0].is_meta and got[0].shape == want[0].shape and got[0].dtype == want[0].dtype
            assert got[0].stride() == want[0].stride() and got[1].is_meta


class Recorder:
    """Stands for ``torch.cuda``: writes down what is asked of it."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def Stream(self, device: Any) -> Any:
        return "side"

    def Event(self, blocking: bool) -> Any:
        assert blocking  # or a waiting thread would spin
        log = self.log

        class Event:
            def record(self, stream: str) -> None:
                log.append(f"record {stream}")

            def query(self) -> bool:
                return True

            def synchronize(self) -> None:
                log.append(f"wait in {threading.current_thread().name}")

        return Event()

    def stream(self, stream: str) -> Any:
        import contextlib

        @contextlib.contextmanager
        def on() -> Iterator[None]:
            self.log.append(f"on {stream}")
            yield
            self.log.append(f"off {stream}")

        return on()

    def set_device(self, device: Any) -> None:
        self.log.append(f"device {device} in {threading.current_thread().name}")

    def current_stream(self, device: Any) -> Any:
        log = self.log

        class Stream:
            def wait_event(self, event: Any) -> None:
                log.append(f"current waits in {threading.current_thread().name}")

        return Stream()


def test_what_cuda_is_asked_for(image_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    recorded = []
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: recorded.append(self.data_ptr()))

    class Cuda(transfer.CudaStream):
        def __init__(self, device: str) -> None:
            self._cuda, self._stream, self.device = recorder, recorder.Stream(device), torch.device("cpu")

        def host(self, size: int) -> npt.NDArray[np.uint8]:
            return np.empty(size, np.uint8)

    monkeypatch.setitem(transfer.STREAMS, "late", Cuda)
    wanted = expected(image_beton, np.float32, True)
    with open_late(image_beton, 3) as loader:
        got = list(loader)
    assert same(got, wanted[:10])
    log = recorder.log
    assert log[0] == "device cpu in ffprep-stages"
    assert log.count("record side") == log.count("current waits in MainThread") == 10
    assert log.count("on side") == log.count("off side") == 20
    assert not any(line.startswith("wait in MainThread") for line in log)
    assert set(recorded) == {x.data_ptr() for batch in got for x in batch}


def test_cuda_is_the_device_of_the_training_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    streams: list[Any] = []
    monkeypatch.setattr(torch.cuda, "Stream", streams.append)
    for name, index in (("cuda", 1), ("cuda:0", 0), ("cuda:3", 3)):
        assert transfer.open_stream(name).device == torch.device("cuda", index)  # type: ignore[attr-defined]
    assert streams == [torch.device("cuda", index) for index in (1, 0, 3)]


def test_finish_reads_every_pixel_value() -> None:
    values = torch.arange(256, dtype=torch.uint8).repeat_interleave(3).view(1, 16, 16, 3)
    for dtype in ("float32", "float16", "bfloat16"):
        form = ImageForm(16, 16, dtype, channels_first=True, mean=tuple(MEAN), std=tuple(STD), device="late")
        got = Finish(form)(values).permute(0, 2, 3, 1).reshape(256, 3)
        wanted = (torch.arange(256)[:, None] - torch.tensor(MEAN, dtype=torch.float32)) / torch.tensor(
            STD, dtype=torch.float32
        )
        assert torch.equal(got, wanted.to(got.dtype))
        assert on_host(form).dtype == "uint8" and on_host(form).mean is None

"""The batch loop: dynamic distribution, determinism, crops as sampled, and failures that leave nothing stale."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from ffprep import abi
from ffprep.errors import OptionError
from ffprep.kernels import layout
from ffprep.kernels.image import batch, job
from ffprep.kernels.resample.render import packed_desc, render

Decode = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)


class Images:
    """Raw RGB images of assorted sizes as items of a batch, and a decoder that knows their addresses."""

    def __init__(self, n: int, mode: int) -> None:
        rng = np.random.default_rng(1)
        shapes = [(int(rng.integers(1, 80)), int(rng.integers(1, 80)), 3) for _ in range(n)]
        self.pixels = [rng.integers(0, 256, s, dtype=np.uint8) for s in shapes]
        self.items = np.zeros(n, abi.ITEM)
        for i, p in enumerate(self.pixels):
            self.items[i] = p.ctypes.data, p.size, 0, 0, p.shape[1], p.shape[0], mode, 1000 + i
        self.decode = Decode(self._decode)  # a stand-in with the native kernel's signature

    def _decode(self, address: int) -> int:
        raw = ctypes.string_at(address, abi.DECODE_REQUEST.itemsize)
        request = np.frombuffer(raw, abi.DECODE_REQUEST)[0]
        x, y, w, h = (int(request[name]) for name in "xywh")
        for p in self.pixels:
            if p.ctypes.data == request["data"]:
                if request["size"] != p.size:
                    return 11
                assert x >= 0 and y >= 0 and x + w <= p.shape[1] and y + h <= p.shape[0]
                ctypes.memmove(int(request["image"]), packed_desc(p).ctypes.data, abi.IMAGE.itemsize)
                return 0
        return 1

    def entry(self) -> int:
        return ctypes.cast(self.decode, ctypes.c_void_p).value or 0


class Run:
    def __init__(self, images: Images, threads: int = 1, size: tuple[int, int] = (9, 11), **options: object) -> None:
        options.setdefault("format", "u8_hwc")
        self.spec = job.image_spec(size, **options)  # type: ignore[arg-type]
        n = len(images.items)
        self.out = np.full((n, *size, 3), 0xA5, np.uint8)
        self.status = np.full(n, -1, np.int64)
        boxes = np.zeros(n, abi.BOX)
        self.done = [0] * threads
        counter = np.zeros(1, np.int64)

        def work(k: int) -> None:
            state = job.new_thread(0, images.entry(), exact=True)
            self.done[k] = batch.process_images(
                counter.ctypes.data,
                images.items,
                self.spec,
                self.out.ctypes.data,
                self.status,
                boxes,
                state,
            )
            job.free_thread(state)

        work(0) if threads == 1 else None
        if threads > 1:
            pool = [threading.Thread(target=work, args=(k,)) for k in range(threads)]
            for t in pool:
                t.start()
            for t in pool:
                t.join()
        self.used = np.stack([boxes[name] for name in ("y", "x", "h", "w", "flip")], 1)
        self.sizes = list(zip(boxes["rows"].tolist(), boxes["cols"].tolist(), strict=True))

    def expected(self, images: Images, i: int) -> NDArray[np.uint8]:
        y, x, h, w, flip = self.used[i]
        bounds = None
        if self.spec["crop"][0] >= job.CROP_RESIZE_CENTER:
            bounds = (0, images.pixels[i].shape[0], 0, images.pixels[i].shape[1])
        size = self.sizes[i]  # what lies on a canvas is put there afterwards
        out: NDArray[np.uint8] = render(
            packed_desc(images.pixels[i]), (y, x, h, w), size, flip=bool(flip), bounds=bounds, level="exact"
        )
        return out

    def rendered(self, i: int) -> NDArray[np.uint8]:
        rows, cols = self.sizes[i]
        return self.out[i].reshape(-1)[: rows * cols * 3].reshape(rows, cols, 3)


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("crop", sorted(job.CROPS))
def test_images_are_cropped_flipped_and_rendered(mode: int, crop: str) -> None:
    images = Images(20, mode)
    run = Run(images, crop=crop, flip=0.5, seed=3, short=16)
    assert run.done == [20] and not run.status.any()
    for i in range(20):
        np.testing.assert_array_equal(run.rendered(i), run.expected(images, i))
    assert set(run.used[:, 4]) == {0.0, 1.0}


def test_results_depend_on_sample_epoch_and_seed_but_not_on_threads_or_place() -> None:
    images = Images(24, 1)
    one = Run(images, crop="random", flip=0.5, seed=-5)
    many = Run(images, threads=4, crop="random", flip=0.5, seed=-5)
    assert sum(many.done) == 24
    np.testing.assert_array_equal(one.out, many.out)
    images.items[:] = images.items[::-1].copy()
    np.testing.assert_array_equal(Run(images, crop="random", flip=0.5, seed=-5).out, one.out[::-1])
    assert not np.array_equal(Run(images, crop="random", flip=0.5, seed=-5, epoch=1).used[::-1], one.used)
    assert not np.array_equal(Run(images, crop="random", flip=0.5, seed=-6).used[::-1], one.used)


def test_failures_are_reported_and_leave_zeros() -> None:
    images = Images(12, 0)
    images.items["address"][1] = 0
    images.items["size"][2] -= 1
    images.items["mode"][3] = 2
    images.items["mode"][4] = 1
    images.items["size"][4] += 3
    images.items["width"][5] = 0
    images.items["height"][6] = 65536
    images.pixels[7] = (
        np.ascontiguousarray(images.pixels[7][:-1]) if images.pixels[7].shape[0] > 1 else images.pixels[7]
    )
    run = Run(images)
    assert run.status[:7].tolist() == [
        0,
        1,
        11,
        layout.BAD_MODE,
        layout.RAW_SIZE,
        layout.SIZE_MISMATCH,
        layout.SIZE_MISMATCH,
    ]
    for i in range(12):
        failed = run.status[i] != 0
        assert failed == (not run.out[i].any())


def test_another_size_than_stored_is_a_mismatch() -> None:
    images = Images(3, 0)
    y, x = images.pixels[1].shape[:2]
    images.items["width"][1] = max(1, x - 1) if x > 1 else 1
    run = Run(images)
    assert run.status.tolist() == [0, layout.SIZE_MISMATCH, 0]
    assert not run.out[1].any() and run.out[0].any() and y > 0


def test_workspace_grows_and_is_given_back() -> None:
    images = Images(5, 1)
    spec = job.image_spec((8, 8))
    state = job.new_thread(0, 0)
    out, box = np.zeros((8, 8, 3), np.float32), np.zeros(1, abi.BOX)
    for item in images.items:
        assert batch.process_image(item, spec[0], out.ctypes.data, box[0], state[0]) == 0
    assert state["work"][0] != 0 and state["work_size"][0] > 0
    job.free_thread(state)
    assert state["work"][0] == 0 and state["work_size"][0] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop": "left"},
        {"filter": "x"},
        {"format": "f64"},
        {"scale": (0.0, 1.0)},
        {"ratio": (2.0, 1.0)},
        {"flip": 1.5},
        {"center": 0.0},
        {"std": (1, 1)},
        {"pitch": 5},
    ],
)
def test_impossible_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        job.image_spec((8, 8), **wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError):
        job.image_spec((0, 8))

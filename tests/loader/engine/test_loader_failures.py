"""A failure is reported at once, where it is noticed; nothing hangs and nothing is left behind."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import Loader, OrderOption
from ffprep.beton.reader import Reader
from ffprep.errors import DecodeError, OptionError
from ffprep.fields.decoders import IntDecoder, ResizeRGBImageDecoder
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.state import State
from ffprep.transforms import Squeeze, ToTensor

PIPELINES = {"image": [ResizeRGBImageDecoder(16), ToTensor()], "label": [IntDecoder(), ToTensor(), Squeeze()]}


def damaged(source: Path, target: Path, samples: list[int]) -> Path:
    """A copy in which the beginnings of some samples' JPEGs are overwritten."""
    shutil.copy(source, target)
    offsets = Reader(source).extents("image")[0]
    with target.open("r+b") as file:
        for sample in samples:
            file.seek(int(offsets[sample]))
            file.write(b"\0" * 64)
    return target


def test_a_damaged_image_is_named(image_beton: Path, tmp_path: Path) -> None:
    # stock ffcv gives the previous image's pixels here, without a word
    path = damaged(image_beton, tmp_path / "bad.beton", [21])
    with Loader(path, 8, num_workers=2, pipelines=PIPELINES) as loader:
        iterator = iter(loader)
        next(iterator), next(iterator)
        with pytest.raises(DecodeError, match=r"bad\.beton: sample 21, field 'image': .*on_error='skip'"):
            next(iterator)
        assert list(iterator) == []
        loader.next_epoch = 0
        assert len(next(iter(loader))[1]) == 8  # the loader itself goes on working


def test_damaged_images_can_be_left_out(image_beton: Path, tmp_path: Path) -> None:
    bad = [2, 3, 16, 17, 18, 19]
    path = damaged(image_beton, tmp_path / "bad.beton", bad)
    with Loader(image_beton, 4, num_workers=2, pipelines=PIPELINES, drop_last=False) as whole:
        wanted = {int(n): x for images, labels in whole for x, n in zip(images, labels, strict=True)}
    with (
        Loader(path, 4, num_workers=2, pipelines=PIPELINES, drop_last=False, on_error="skip") as loader,
        pytest.warns(RuntimeWarning) as warned,
    ):
        batches = list(loader)
    assert [len(b[1]) for b in batches] == [2, 4, 4, 4, 4, 4, 4, 4, 1]
    assert len(warned) == 2
    assert "sample 2, field 'image'" in str(warned[0].message) and "1 more of this batch" in str(warned[0].message)
    for images, labels in batches:
        for image, n in zip(images, labels.tolist(), strict=True):
            assert n not in bad and torch.equal(image, wanted[n])


def test_dimensions_that_do_not_fit_the_stream(tmp_path: Path, make: SimpleNamespace) -> None:
    from ffprep.fields.base import Encoded

    data = make.encode_jpeg(make.noise_image(0, 40, 50))
    path = make.write_images(tmp_path / "lie.beton", [Encoded((0, 50, 41, 0), data)])
    with Loader(path, 1, num_workers=1, pipelines=PIPELINES) as loader, pytest.raises(DecodeError, match="stored"):
        list(loader)


class Failure(Exception):
    pass


class FailAt:
    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.seen = 0

    def __call__(self, x: Any) -> Any:
        self.seen += 1
        if self.seen > self.batch:
            raise Failure("no more")
        return x


def test_an_exception_in_a_stage_reaches_the_loop(image_beton: Path) -> None:
    # stock ffcv's loop waits for ever here
    pipelines = {**PIPELINES, "image": [ResizeRGBImageDecoder(16), ToTensor(), FailAt(2)]}
    with Loader(image_beton, 4, num_workers=2, pipelines=pipelines) as loader:
        got = 0
        with pytest.raises(Failure, match="no more") as caught:
            for _ in loader:
                got += 1
        assert got == 2
        if sys.version_info >= (3, 11):
            assert "of pipeline 'image', for a batch of samples 8, 9, 10, ... in epoch 0" in caught.value.__notes__[0]


class Doubled(Operation):
    """As ffcv's documentation writes operations."""

    def generate_code(self) -> Any:
        factor = self.factor

        def double(images: Any, destination: Any, indices: Any) -> Any:
            for i in range(images.shape[0]):
                destination[i] = images[i] * factor + indices[i] * 0
            return destination

        double.with_indices = True  # type: ignore[attr-defined]
        return double

    def __init__(self, factor: Any = 2) -> None:
        super().__init__()
        self.factor = factor

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery]:
        assert previous_state.jit_mode
        state = State(True, previous_state.device, previous_state.shape, np.dtype(np.int32))
        return state, AllocationQuery(previous_state.shape, np.dtype(np.int32))


def test_operations_of_users_run(image_beton: Path) -> None:
    plain = {"image": [ResizeRGBImageDecoder(16)], "label": None}
    with Loader(image_beton, 5, num_workers=2, pipelines=plain, drop_last=False) as loader:
        wanted = [b[0].astype(np.int32) * 2 for b in loader]
    doubled = {"image": [ResizeRGBImageDecoder(16), Doubled(), ToTensor()], "label": None}
    with Loader(image_beton, 5, num_workers=2, pipelines=doubled, drop_last=False) as loader:
        got = [b[0] for b in loader]
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(wanted, got, strict=True))
    assert got[-1].shape[0] == 2


def test_code_that_numba_refuses_is_an_error_not_a_hang(image_beton: Path) -> None:
    from numba.core.errors import NumbaError

    pipelines = {"image": [ResizeRGBImageDecoder(16), Doubled("two"), ToTensor()], "label": None}
    with Loader(image_beton, 4, num_workers=1, pipelines=pipelines) as loader, pytest.raises(NumbaError):
        next(iter(loader))


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def settled_threads() -> int:
    for thread in threading.enumerate():
        if thread.name.startswith("ffprep-") and thread is not threading.current_thread():
            thread.join(5)
    return threading.active_count()


def resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("tail", [[], [FailAt(10**9)]])
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_fifty_loaders_made_and_dropped(image_beton: Path, tail: list[Any]) -> None:
    gc.collect()
    threads, files = settled_threads(), open_files()
    pipelines = {**PIPELINES, "image": [*PIPELINES["image"], *tail]}
    numbers = []
    for i in range(50):
        loader = Loader(image_beton, 4, num_workers=2, pipelines=pipelines, seed=i)
        next(iter(loader))
        if i in (15, 49):
            numbers.append(resident())
    del loader
    gc.collect()
    assert settled_threads() <= threads  # fewer where an earlier test's loaders ended only now
    assert open_files() <= files
    assert numbers[1] - numbers[0] < 8 << 20


def test_fifty_failing_epochs_leave_nothing_behind(image_beton: Path) -> None:
    gc.collect()
    threads, files = settled_threads(), open_files()
    with Loader(image_beton, 4, 2, pipelines={**PIPELINES, "image": [*PIPELINES["image"], FailAt(1)]}) as loader:
        for _ in range(25):
            with pytest.raises(Failure):
                list(loader)
    for _ in range(25):
        pipelines = {**PIPELINES, "image": [*PIPELINES["image"], FailAt(1)]}
        with pytest.raises(Failure):
            list(Loader(image_beton, 4, 2, pipelines=pipelines))
    gc.collect()
    assert settled_threads() <= threads
    assert open_files() <= files


@pytest.mark.parametrize("tail", [[], [FailAt(10**9)]])
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_breaking_out_of_epochs_leaks_nothing(image_beton: Path, tail: list[Any]) -> None:
    pipelines = {"image": [ResizeRGBImageDecoder(224), ToTensor(), *tail]}
    with Loader(image_beton, 8, num_workers=2, pipelines=pipelines, order=OrderOption.RANDOM) as loader:
        numbers = []
        for epoch in range(100):
            for _ in loader:
                break
            if epoch in (30, 99):
                numbers.append((threading.active_count(), resident()))
        assert numbers[1][0] <= numbers[0][0] + 1  # a stage thread may still be ending
        batch = 8 * 224 * 224 * 3
        assert numbers[1][1] - numbers[0][1] < (99 - 30) * batch / 3  # buffers that are used again take some
        assert len(list(loader)) == 4


def run(code: str, path: Path, send: signal.Signals | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a new process with `loader` defined; with `send`, signal it after its first line of output."""
    prelude = """
        import os, sys, signal, time, threading
        from ffprep import Loader, OrderOption
        from ffprep.fields.decoders import *
        from ffprep.transforms import *
        def make(*tail, **options):
            pipelines = {"image": [ResizeRGBImageDecoder(64), *tail], "label": [IntDecoder(), Squeeze()]}
            return Loader(sys.argv[1], 4, num_workers=3, pipelines=pipelines, **options)
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(code)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", source, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    first = ""
    if send is not None:
        first = process.stdout.readline()
        process.send_signal(send)
    try:
        out, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"hung: {process.communicate()}")
    return subprocess.CompletedProcess(process.args, process.returncode, first + out, err)


@pytest.mark.parametrize(
    "code",
    [
        "it = iter(make()); next(it)",
        "it = iter(make(lambda x: x)); next(it); other = make(batches_ahead=20); jt = iter(other); sys.exit(0)",
        "loader = make(ToTensor()); list(loader); kept = list(loader)",
        "threading.Thread(target=lambda: list(make())).start()",
        "it = iter(make(os_cache=False)); next(it)",
    ],
)
def test_the_interpreter_exits_cleanly(image_beton: Path, code: str) -> None:
    result = run(code, image_beton)
    said = [line for line in result.stderr.splitlines() if not line.startswith("ffprep: compil")]
    assert (result.returncode, said) == (0, [])


def test_an_error_in_the_training_loop_ends_the_program(image_beton: Path) -> None:
    result = run("for batch in make(lambda x: x):\n    raise ValueError('mine')", image_beton)
    assert result.returncode == 1 and result.stderr.rstrip().endswith("ValueError: mine")


@pytest.mark.parametrize("tail", ["", "lambda x: wait.wait(60)"])
def test_ctrl_c_ends_a_waiting_loop(image_beton: Path, tail: str) -> None:
    code = f"""
        wait = threading.Event()
        loader = make({tail})
        print("go", flush=True)
        try:
            while True:
                for batch in loader:
                    pass
        except KeyboardInterrupt:
            wait.set()
            raise
    """
    result = run(code, image_beton, signal.SIGINT)
    assert result.returncode in (1, -signal.SIGINT), result.stderr
    assert "KeyboardInterrupt" in result.stderr


def test_no_call_goes_where_numpy_drops_interrupts(image_beton: Path) -> None:
    called: set[str] = set()
    loader = Loader(image_beton, 2, 1, pipelines={"image": [ResizeRGBImageDecoder(16)]})
    sys.setprofile(lambda frame, event, _: called.add(frame.f_code.co_name) if event == "call" else None)
    try:
        list(loader)
    finally:
        sys.setprofile(None)
    assert "__next__" in called
    assert "_array_descr" not in called  # of __array_interface__, which loses what is raised there: Ctrl-C as well


def test_a_fork_after_use(image_beton: Path) -> None:
    code = """
        import warnings
        warnings.simplefilter("ignore")
        loader = make(order=OrderOption.RANDOM, seed=1)
        it = iter(loader)
        first = next(it)[1].tolist()
        child = os.fork()
        if child == 0:
            try:
                try:
                    next(it)
                    os._exit(2)
                except Exception as error:
                    assert "fork" in str(error), error
                loader.next_epoch = 0
                got = [b[1].tolist() for b in loader]
                other = [b[1].tolist() for b in make()]
                os._exit(0 if got[0] == first and len(got) == 9 == len(other) else 3)
            except BaseException as error:
                print(repr(error), flush=True)
                os._exit(4)
        rest = [b[1].tolist() for b in it]
        print(len(rest), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    result = run(code, image_beton)
    assert result.stdout.split() == ["8", "0"], result


def test_importing_ffprep_is_light() -> None:
    code = "import sys, ffprep; print(sorted({'torch', 'numba', 'numpy', 'PIL'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
    code = (
        "import sys, ffprep.loader, ffprep.transforms, ffprep.fields.decoders, ffprep.pipeline\n"
        "from ffprep import Loader, OrderOption\n"
        "print(sorted({'torch', 'numba'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_to_tensor_of_what_torch_does_not_have(tmp_path: Path) -> None:
    from ffprep.beton.writing.writer import Writer
    from ffprep.fields import NDArrayField

    field = NDArrayField(np.dtype("S4"), (2,))
    with Writer(tmp_path / "s.beton", {"name": field}, 1) as writer:
        writer.write([field.encode(np.array([b"ab", b"cd"], "S4"))])
    with Loader(tmp_path / "s.beton", 1, num_workers=1) as loader, pytest.raises(OptionError, match="leave ToTensor"):
        next(iter(loader))

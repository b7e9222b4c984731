"""The C library's guard: xxh3 against the package of that name, payloads compared once, a word before SIGBUS."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from ctypes import create_string_buffer
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ffprep.jpeg.native import library, set_simd_level

GOOD, CHANGED = 2, 3


@pytest.fixture(params=["scalar", None], scope="module")
def level(request: pytest.FixtureRequest) -> Iterator[None]:
    set_simd_level(request.param)
    yield
    set_simd_level(None)


def xxh3(data: np.ndarray) -> int:
    return int(library().ffp_xxh3(data.ctypes.data, data.size))


@pytest.mark.usefixtures("level")
def test_xxh3_of_every_length() -> None:
    data = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)
    for size in (*range(1200), 2047, 2048, 2049, 4096, 4900):
        part = data[size % 64 : size % 64 + size]
        assert xxh3(part) == xxhash.xxh3_64_intdigest(part.tobytes()), size


@pytest.mark.usefixtures("level")
@given(st.binary(max_size=2100))
def test_xxh3_of_any_bytes(data: bytes) -> None:
    assert xxh3(np.frombuffer(data + b"\0", np.uint8)[: len(data)]) == xxhash.xxh3_64_intdigest(data)


def test_payloads_are_compared_once() -> None:
    data = np.arange(200, dtype=np.uint8)
    good, bad = (np.array([xxhash.xxh3_64_intdigest(data) + add], np.uint64) for add in (0, 1))
    state = np.zeros(1, np.uint8)

    def check(sums: np.ndarray, with_state: bool = True) -> int:
        where = state.ctypes.data if with_state else None
        return int(library().ffp_check_payload(data.ctypes.data, data.size, sums.ctypes.data, where))

    assert (check(bad, False), check(good, False), state[0]) == (CHANGED, GOOD, 0)
    assert check(good) == GOOD == state[0]
    assert check(bad) == GOOD  # known already
    state[0] = 0
    assert check(bad) == CHANGED == state[0]
    assert check(good) == CHANGED


def test_what_the_handler_says(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    path.write_bytes(bytes(1000))
    memory, line = np.zeros(1000, np.uint8), create_string_buffer(4000)
    start = memory.ctypes.data
    ticket = library().ffp_watch(start, 1000, str(path).encode())

    def said(offset: int, room: int = 4000) -> str:
        length = library().ffp_watch_line(start + offset, line, room)
        return line.raw[:length].decode()

    assert said(7).startswith(f"ffprep: {path}: byte 7 cannot be read, so the process ends (SIGBUS): the disk or the")
    assert said(999).count("\n") == 1 and said(999)[-1] == "\n"
    assert said(1000) == said(-1) == ""
    assert len(said(7, 20)) == 20
    path.write_bytes(bytes(10))
    assert "had 1000 bytes when it was opened and has 10 now" in said(7)
    library().ffp_unwatch(ticket)
    assert said(7) == ""


@pytest.mark.skipif(not hasattr(__import__("signal"), "SIGBUS"), reason="needs SIGBUS")
@pytest.mark.parametrize("handler", ["", "faulthandler.enable()", "late"])
def test_a_cut_file_is_named_before_the_process_ends(tmp_path: Path, handler: str) -> None:
    path = tmp_path / "x.beton"
    path.write_bytes(bytes(1 << 20))
    code = f"""
        import faulthandler, sys, threading
        import numpy as np
        {"" if handler == "late" else handler}
        from ffprep.jpeg.watching import watch_memory
        data = np.memmap(sys.argv[1], np.uint8, "r")
        watch_memory(data, data, sys.argv[1])
        {"faulthandler.enable()" if handler == "late" else ""}
        open(sys.argv[1], "r+b").truncate(4096)
        print(data[4095], flush=True)
        threads = [threading.Thread(target=lambda: data[500000:].sum()) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == -7 and run.stdout == "0\n"
    lines = [line for line in run.stderr.splitlines() if line.startswith("ffprep: ")]
    assert len(lines) == 1 and f"ffprep: {path}: byte " in lines[0] and "has 4096 now" in lines[0]
    assert ("Fatal Python error: Bus error" in run.stderr) == bool(handler)


def test_the_handler_is_there_only_while_memory_is_watched(tmp_path: Path) -> None:
    code = """
        import faulthandler, os, signal, sys
        import numpy as np
        from ffprep.jpeg.native import library
        memory = np.zeros(10, np.uint8)
        def watched():
            mask = [line for line in open("/proc/self/status") if line.startswith("SigCgt")][0].split()[1]
            return bool(int(mask, 16) >> (signal.SIGBUS - 1) & 1)
        before = watched()
        tickets = [library().ffp_watch(memory.ctypes.data, 10, b"x") for _ in range(3)]
        during = watched()
        for ticket in tickets:
            library().ffp_unwatch(ticket)
        after = watched()
        library().ffp_watch(memory.ctypes.data, 10, b"x")
        print(before, during, after, watched(), flush=True)
        os.kill(os.getpid(), signal.SIGBUS)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert (run.stdout, run.stderr, run.returncode) == ("False True False True\n", "", -7)

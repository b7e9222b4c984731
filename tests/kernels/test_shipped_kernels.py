"""The machine code that is shipped: what it is made from, what it needs, that it gives what numba's code gives."""

from __future__ import annotations

import ctypes
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shipped_results

from ffprep.errors import FfprepError
from ffprep.inspect import doctor
from ffprep.kernels import random, shipped
from ffprep.kernels.jit import plain_function
from ffprep.kernels.resample.render import render_entry, renderer
from ffprep.kernels.simd import level as simd
from ffprep.loader.engine import worker

BUILT = shipped.LIBRARY_PATH.exists()
needs_object = pytest.mark.skipif(not BUILT, reason="the kernels' machine code is not built")
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "build_kernels.py"
MACHINE = ROOT / "machine"


@pytest.fixture
def fresh() -> Iterator[None]:
    """Forget which object was opened, before and after."""
    for remembered in (shipped._open, shipped.stamps):
        remembered.cache_clear()
    yield
    for remembered in (shipped._open, shipped.stamps):
        remembered.cache_clear()


def results(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start what prints everything that kernels make."""
    variables = {**os.environ, **environment}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), variables.get("PYTHONPATH"))))
    command = [sys.executable, shipped_results.__file__, str(folder)]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@needs_object
def test_object_is_of_these_sources() -> None:
    assert shipped.stale() == [], "run `make kernels`"
    assert len(shipped.stamps()) > 10


@needs_object
def test_object_needs_the_c_library_alone_and_exports_kernels_alone() -> None:
    listed = subprocess.run(["nm", "-D", str(shipped.LIBRARY_PATH)], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    undefined = {name.partition("@")[0] for kind, name in symbols if kind == "U"}
    assert undefined <= runpy.run_path(str(SCRIPT))["ALLOWED"] | {"__stack_chk_fail"}
    exported = {name for kind, name in symbols if kind in "TDRB"}
    assert all(name.startswith(("ffp_k_", "ffp_kernels_")) for name in exported) and len(exported) > 20


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail at once where the object is of other sources: everything would be compiled."""
    monkeypatch.delenv(shipped.VARIABLE, raising=False)
    if shipped.stale():
        pytest.fail("the kernels' machine code is of other sources: run `make kernels`")


@needs_object
@pytest.mark.slow
def test_shipped_code_gives_what_numba_compiles_and_needs_no_numba(tmp_path: Path, current: None) -> None:
    cache = tmp_path / "cache"
    places = [tmp_path / name for name in ("cache", "shipped", "jit")]
    for place in places:
        place.mkdir()
    both = [
        results(places[1], NUMBA_CACHE_DIR=str(cache)),
        results(places[2], FFPREP_KERNELS="jit"),
    ]
    printed = [process.communicate(timeout=550) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed[0][1][-1500:] + printed[1][1][-1500:]
    (imported, ours), (compilers, theirs) = (json.loads(text) for text, _ in printed)
    assert imported == [] and compilers == ["llvmlite", "numba"]
    assert not list(cache.iterdir())
    assert ours.keys() == theirs.keys() and len(ours) > 300
    tried = {name.split()[1] for name in ours if name.startswith("operation")}
    public = {kind.function for kind in shipped_results.image_ops()}
    assert {kind.function for kind in shipped_results.image_ops() if kind.__name__ in tried} == public
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (shipped.VARIABLE, "jit"),
        ("NUMBA_BOUNDSCHECK", "1"),
        ("NUMBA_DISABLE_JIT", "1"),
        ("NUMBA_CPU_NAME", "generic"),
        ("NUMBA_CPU_FEATURES", ""),
        ("NUMBA_ENABLE_AVX", "0"),
    ],
)
def test_other_code_is_asked_for(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(shipped.VARIABLE, raising=False)
    monkeypatch.setenv(name, value)
    assert name in (shipped.refusal() or "")
    assert shipped.address(plain_function(random._draw)) is None and shipped.processor_levels() is None
    assert f"compiled here when it is first used: {name}" in doctor._machine_code()["text"]


def test_without_the_object_kernels_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.delenv(shipped.VARIABLE, raising=False)
    monkeypatch.setattr(shipped, "LIBRARY_PATH", tmp_path / "none.so")
    assert shipped.refusal() == "this installation was built without it"
    assert shipped.address(plain_function(random._draw)) is None and shipped.stale() == []
    (tmp_path / "bad.so").write_bytes(b"no object")
    monkeypatch.setattr(shipped, "LIBRARY_PATH", tmp_path / "bad.so")
    shipped._open.cache_clear()
    assert "cannot be loaded" in (shipped.refusal() or "")
    assert not doctor._machine_code()["shipped"]


@needs_object
def test_code_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(shipped.VARIABLE, raising=False)
    changed = {**shipped.stamps(), random._draw.__module__: "0" * 64}
    monkeypatch.setattr(shipped, "stamps", lambda: changed)
    assert random._draw.__module__ in shipped.stale()
    assert shipped.address(plain_function(random._draw)) is None
    assert random._draw.__module__ in doctor._machine_code()["text"]


class OfProcessor:
    """The object as it is on a processor of another level."""

    def __init__(self, library: ctypes.CDLL, level: int) -> None:
        self._library = library
        self.ffp_kernels_level = lambda: level

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


@needs_object
@pytest.mark.parametrize(("level", "found"), [(1, ""), (2, "avx2"), (3, "avx2")])
def test_a_processor_without_a_level_gets_the_code_of_the_one_below(
    level: int, found: str, current: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = shipped._open()[0]
    assert library is not None and shipped.stamps()
    monkeypatch.setattr(shipped, "_open", lambda: (OfProcessor(library, level), None))
    simd.supported.cache_clear()
    try:
        assert simd.available() == [*(["avx512"] if level > 2 else []), *(["avx2"] if level > 1 else []), "scalar"]
        monkeypatch.setenv("FFPREP_SIMD", "avx512")
        assert simd.current() == {1: "scalar", 2: "avx2", 3: "avx512"}[level]
    finally:
        simd.supported.cache_clear()
    function = plain_function(worker.work)
    expected = ctypes.cast(getattr(library, shipped.symbol(function, found)), ctypes.c_void_p).value
    assert shipped.address(function) == expected


PROCESSORS = {"core2duo": 0, "Nehalem": 1, "Haswell": 2, "max,-movbe": 1, "max,-fma": 1}
"""Of qemu, and the level of each; the emulator has no AVX-512."""

ASK = """
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **name) {
    void *library = count > 1 ? dlopen(name[1], RTLD_NOW) : NULL;
    long (*level)(void) = library ? (long (*)(void))dlsym(library, "ffp_kernels_level") : NULL;
    return level ? (printf("%ld", level()), 0) : (fputs(dlerror(), stderr), 1);
}
"""


@needs_object
def test_level_is_that_of_the_processor(tmp_path: Path) -> None:
    qemu, compiler = shutil.which("qemu-x86_64"), shutil.which("gcc")
    if qemu is None or compiler is None:
        pytest.skip("qemu is not installed")
    (tmp_path / "ask.c").write_text(ASK)
    subprocess.run([compiler, tmp_path / "ask.c", "-ldl", "-o", tmp_path / "ask"], check=True)
    for processor, level in PROCESSORS.items():
        command = [qemu, "-cpu", processor, tmp_path / "ask", shipped.LIBRARY_PATH]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, str(level)), (processor, done.stderr)


@needs_object
@pytest.mark.skipif(not MACHINE.is_dir(), reason="the kernels' machine code is not built")
@pytest.mark.parametrize(("text", "never"), [("any", r"[yz]mm\d|\tv[a-z]+ps\t|%k[0-7]"), ("avx2", r"zmm\d|%k[0-7]")])
def test_code_of_a_level_has_no_instructions_of_a_higher_one(text: str, never: str) -> None:
    assembly = (MACHINE / f"{text}.s").read_text()
    assert len(assembly) > 100_000 and re.search(never, assembly) is None


@needs_object
def test_renderers_come_from_the_object() -> None:
    if shipped.refusal() is None and not shipped.stale():
        assert render_entry("wide") == shipped.address(plain_function(renderer("wide")))


@needs_object
def test_arrays_that_the_code_is_not_for_go_to_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = random._draw
    call = shipped.caller(kernel, kernel.arguments)
    if call is None:  # stale, which another test says
        return
    samples, out = np.arange(20), np.zeros(10)
    call(5, 6, samples[:10].copy(), 7, 8, out)
    compiled: list[Any] = []
    monkeypatch.setattr(type(kernel), "made", lambda *given: compiled.append(given))
    call(5, 6, samples[::2], 7, 8, out)
    call(5, 6, samples[:10].astype(np.int32), 7, 8, out)
    assert len(compiled) == 2


@needs_object
def test_a_kernel_that_raises_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = random._draw
    monkeypatch.setattr(shipped, "FAILED", 0)  # what this kernel returns
    call = shipped.caller(kernel, kernel.arguments)
    if call is not None:
        with pytest.raises(FfprepError, match="_draw failed"):
            call(0, 0, np.arange(1), 0, 0, np.zeros(1))


def test_texts_of_a_module_that_was_moved_are_stale(tmp_path: Path) -> None:
    script = runpy.run_path(str(SCRIPT))
    script["up_to_date"].__globals__["MACHINE"] = tmp_path
    known = "ffprep.kernels.memory"
    for level in script["LEVELS"]:
        (tmp_path / f"{level or 'any'}.s").touch()
    (tmp_path / "stamps.c").write_text(script["stamps_text"]({known}))
    assert script["up_to_date"]()
    text = (tmp_path / "stamps.c").read_text()
    (tmp_path / "stamps.c").write_text(text.replace(known, "ffprep.kernels.moved"))
    assert not script["up_to_date"]()

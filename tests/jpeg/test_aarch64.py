"""The JPEG library built for AArch64, its vectors included, under an emulator: what it decodes is the same.

No real machine of that kind is needed; what its code costs is not known by this.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import ffprep.jpeg
from ffprep.jpeg import native

NATIVE = Path(ffprep.jpeg.__file__).parent / "native"
PROGRAM = Path(__file__).with_name("planes.c")
SAMPLINGS = [[(1, 1)], [(1, 1)] * 3, [(2, 2), (1, 1), (1, 1)], [(2, 1), (1, 1), (1, 2)]]
FLAGS = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]
# Traps, since the sanitizers' library is one of this machine.
SANITIZED = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]


def made(jpegmaker: ModuleType) -> list[bytes]:
    """Return JPEGs: of an encoder, progressive too; with coefficients that wrap; damaged and cut off."""
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    files = []
    for options in ({"quality": 90}, {"quality": 60, "progressive": True}, {"restart_marker_blocks": 3}):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", **options)
        files.append(out.getvalue())
    for number, sampling in enumerate(SAMPLINGS):
        for amplitude, quantiser in ((40, 0), (1000, 255), (1000, 65535)):
            frame = jpegmaker.random_frame(
                rng, 61, 43, sampling, sof=0xC1, interval=number % 3, density=0.4, amplitude=amplitude
            )
            for table in frame.quant if quantiser else ():
                frame.quant[table] = rng.integers(1, quantiser + 1, 64)
            files.append(jpegmaker.write(frame))
    for whole in list(files):
        damaged = bytearray(whole)
        damaged[-int(rng.integers(20, 60))] ^= 0x55
        files += [bytes(damaged), whole[: -int(rng.integers(10, 200))]]
    return files


def test_samples_and_statuses_are_the_same(jpegmaker: ModuleType, tmp_path: Path) -> None:
    emulator, cross, compiler = (shutil.which(name) for name in ("qemu-aarch64", "aarch64-linux-gnu-gcc", "gcc"))
    if emulator is None or cross is None or compiler is None:
        pytest.skip("qemu is not installed")
    there, here = tmp_path / "there", tmp_path / "here"
    sources = [PROGRAM, *sorted(NATIVE.rglob("*.c"))]
    subprocess.run([cross, *FLAGS, *SANITIZED, "-static", f"-I{NATIVE}", *sources, "-o", there], check=True)
    assert b"ffp_rows" in there.read_bytes()  # a symbol of the vectors' code
    library = Path(native.library()._name)
    command = [compiler, "-std=gnu11", f"-I{NATIVE}", PROGRAM, library, f"-Wl,-rpath,{library.parent}", "-o", here]
    subprocess.run(command, check=True)
    files = []
    for number, data in enumerate(made(jpegmaker)):
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(data)
    scalar = {**os.environ, "FFPREP_SIMD": "scalar"}
    expected, got = (
        subprocess.run([*start, *files], capture_output=True, text=True, check=True, env=scalar).stdout.splitlines()
        for start in ([here], [emulator, there])
    )
    assert got == expected
    assert sum(line.endswith(" 0") for line in got) >= 15 and not all(line.endswith(" 0") for line in got)

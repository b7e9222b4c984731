"""Mutated streams under AddressSanitizer and UndefinedBehaviorSanitizer (``fuzz.c``)."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import ffprep.jpeg

NATIVE = Path(ffprep.jpeg.__file__).parent / "native"
FLAGS = ["-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fuzz driver, built; skips where there is no compiler with sanitizers."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("fuzz")
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    built = subprocess.run([compiler, *FLAGS, probe, "-o", folder / "probe"], capture_output=True)
    if built.returncode or subprocess.run([folder / "probe"], capture_output=True).returncode:
        pytest.skip("no sanitizers")
    program = folder / "fuzz"
    sources = [Path(__file__).with_name("fuzz.c"), *sorted(NATIVE.rglob("*.c"))]
    command: list[str | Path] = [
        compiler,
        *FLAGS,
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{NATIVE}",
        *sources,
        "-o",
        program,
    ]
    subprocess.run(command, check=True)
    return program


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, jpegmaker: ModuleType) -> list[Path]:
    """Small streams of all kinds."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    streams: list[bytes] = []
    for sampling in (
        [(1, 1)],
        [(1, 1)] * 3,
        [(2, 2), (1, 1), (1, 1)],
        [(1, 2), (1, 1), (1, 1)],
        [(4, 1), (1, 1), (1, 1)],
    ):
        for interval in (0, 1, 5):
            size = (int(rng.integers(1, 90)), int(rng.integers(1, 60)))
            streams.append(jpegmaker.write(jpegmaker.random_frame(rng, *size, sampling, interval=interval)))
    frame = jpegmaker.random_frame(rng, 40, 33, [(2, 1), (1, 1), (1, 1)], sof=0xC1)
    frame.scans = [jpegmaker.Scan([i]) for i in range(3)]
    streams.append(jpegmaker.write(frame))
    for sof, scans in ((0xC9, []), (0xC9, [jpegmaker.Scan([i]) for i in range(3)]), (0xCA, jpegmaker.PROGRESSIVE)):
        frame = jpegmaker.random_frame(rng, 40, 33, [(2, 1), (1, 1), (1, 1)], sof=sof, interval=3 * len(scans))
        frame.scans = scans
        streams.append(jpegmaker.write(frame))
    for factors in ([(4, 4), (2, 2), (2, 2)], [(4, 4), (1, 1), (1, 1)]):  # too many blocks for one scan
        frame = jpegmaker.random_frame(rng, 40, 33, factors)
        frame.scans = [jpegmaker.Scan([i]) for i in range(3)]
        streams.append(jpegmaker.write(frame))
    streams.append(jpegmaker.write(jpegmaker.random_frame(rng, 40, 33, [(2, 1), (1, 1), (1, 1), (2, 1)])))  # CMYK
    streams += [streams[number][:-2] + b"\x7f\0\xff\xd9" for number in (3, 4)]  # bytes left over
    pixels = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    for progressive in (False, True):
        for subsampling in (0, 1, 2):
            out = io.BytesIO()
            options = {"progressive": progressive, "subsampling": subsampling, "restart_marker_blocks": subsampling}
            Image.fromarray(pixels).save(out, "JPEG", quality=60, **options)
            streams.append(out.getvalue())
    smooth = np.asarray(Image.fromarray(pixels).resize((260, 180)))
    for subsampling in (0, 2):  # long enough to be decoded in pieces
        out = io.BytesIO()
        Image.fromarray(smooth).save(out, "JPEG", quality=90, subsampling=subsampling)
        streams.append(out.getvalue())
    files = []
    for number, data in enumerate(streams):
        files.append(folder / f"{number:02d}.jpg")
        files[-1].write_bytes(data)
    return files


def test_mutations_are_survived(fuzzer: Path, corpus: list[Path]) -> None:
    """No sanitizer report; levels agree; nothing stale is called decoded; most statuses are met."""
    run = subprocess.run([fuzzer, "400", "1", *corpus], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-4000:]
    seen = {int(line.split()[0]): int(line.split()[1]) for line in run.stdout.splitlines()}
    assert seen[0] > 100 and set(seen) >= {0, 1, 2, 3, 7, 9, 10, 11, 12}

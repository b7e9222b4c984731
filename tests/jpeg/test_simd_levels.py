"""The CPU levels against the scalar one: pixels of any rectangle, statuses of damaged streams, coefficients of jobs."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from simd_levels import forced_level

import ffprep.jpeg
from ffprep.errors import JpegError
from ffprep.jpeg import decode_planes
from ffprep.jpeg.native import set_simd_level, simd_level

NATIVE = Path(ffprep.jpeg.__file__).parent / "native"
FLAGS = ["-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
SAMPLINGS = [
    [(1, 1)],
    [(1, 1)] * 3,
    [(2, 2), (1, 1), (1, 1)],
    [(2, 1), (1, 1), (1, 1)],
    [(1, 2), (1, 1), (1, 1)],
    [(4, 1), (1, 1), (1, 1)],
    [(2, 2), (2, 1), (1, 2)],
    [(2, 4), (1, 1), (1, 1)],
]
Outcome = tuple[str, list[bytes]]


@pytest.fixture(scope="module", params=["avx2", "avx512"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """A vector level; skips, visibly, where this CPU lacks it."""
    before = simd_level()
    with forced_level(request.param) as name:
        set_simd_level(before)
        yield name


def outcome(data: bytes, rect: tuple[int, int, int, int] | None, name: str) -> Outcome:
    """What decoding gives at a level: nothing but the error, or all samples."""
    set_simd_level(name)
    try:
        return "", [plane.samples.tobytes() for plane in decode_planes(data, rect)]
    except JpegError as error:
        return str(error), []


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], int, int, int, float]:
    """Seed, sampling, width, height, restart interval, share of coefficients that are not zero."""
    sampling = draw(st.sampled_from(SAMPLINGS))
    return (
        draw(st.integers(0, 2**31)),
        sampling,
        draw(st.integers(1, 200)),
        draw(st.integers(1, 120)),
        draw(st.sampled_from([0, 1, 2, 3, 7, 16, 33])),
        draw(st.sampled_from([0.0, 0.02, 0.15, 0.7])),
    )


@given(streams(), st.data())
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_level_equals_scalar(
    jpegmaker: ModuleType,
    level: str,
    stream: tuple[int, list[tuple[int, int]], int, int, int, float],
    draw: st.DataObject,
) -> None:
    """Same samples in any rectangle; the same error, word for word, when bytes are damaged."""
    seed, sampling, width, height, interval, density = stream
    rng = np.random.default_rng(seed)
    frame = jpegmaker.random_frame(rng, width, height, sampling, density=density, interval=interval)
    data = jpegmaker.write(frame)
    x, y = draw.draw(st.integers(0, width - 1)), draw.draw(st.integers(0, height - 1))
    rect = (x, y, draw.draw(st.integers(1, width - x)), draw.draw(st.integers(1, height - y)))
    assert outcome(data, rect, level) == outcome(data, rect, "scalar")
    assert outcome(data, None, level) == outcome(data, None, "scalar")
    start = data.rindex(b"\xff\xda")
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        damaged[draw.draw(st.integers(start, len(data) - 1))] = draw.draw(st.integers(0, 255))
    for bytes_ in (bytes(damaged), data[: draw.draw(st.integers(start, len(data)))]):
        assert outcome(bytes_, rect, level) == outcome(bytes_, rect, "scalar")


def picture(rng: np.random.Generator, width: int, height: int, kind: str) -> NDArray[np.uint8]:
    """Detail everywhere, hardly any, or a flat sky over detail."""
    fine = rng.integers(0, 256, (height, width, 3))
    coarse = np.kron(rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3)), np.ones((16, 16, 1)))
    mixed = (fine * 0.3 + coarse[:height, :width] * 0.7).astype(np.uint8)
    if kind == "flat":
        mixed[:] = rng.integers(0, 256, 3)
        mixed[::64, ::48] = 0
    elif kind == "sky":
        mixed[: height // 2] = (100, 150, 230)
    return mixed


@pytest.mark.parametrize("kind", ["detail", "flat", "sky"])
@pytest.mark.parametrize(
    "options", [{"subsampling": 0}, {"subsampling": 2}, {"subsampling": 1, "quality": 40}, {"gray": 1}]
)
def test_long_scans(level: str, kind: str, options: dict[str, int]) -> None:
    """Scans without restart markers, cut into pieces on speculation: samples and errors are those of one by one."""
    rng = np.random.default_rng(len(kind) + sum(options.values()))
    options = {"quality": 90, **options}
    gray = options.pop("gray", 0)
    for width, height in ((1100, 700), (330, 250), (60, 3000)):
        image = Image.fromarray(picture(rng, width, height, kind))
        out = io.BytesIO()
        (image.convert("L") if gray else image).save(out, "JPEG", **options)  # type: ignore[arg-type]
        data = out.getvalue()
        start = data.rindex(b"\xff\xda") + 10
        for damage in range(4):
            changed = bytearray(data)
            for _ in range(damage):
                changed[int(rng.integers(start, len(data)))] = int(rng.integers(256))
            stream = bytes(changed[: len(data) if damage < 3 else int(rng.integers(start, len(data)))])
            x, y = int(rng.integers(width)), int(rng.integers(height))
            rect = (x, y, int(rng.integers(1, width - x + 1)), int(rng.integers(1, height - y + 1)))
            for wanted in (rect, None):
                assert outcome(stream, wanted, level) == outcome(stream, wanted, "scalar")


def test_level_can_be_forced(level: str) -> None:
    """What was asked for is what runs."""
    set_simd_level(level)
    assert simd_level() == level


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``levels.c``, built with sanitizers."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    built = tmp_path_factory.mktemp("levels") / "levels"
    probe = built.with_name("probe.c")
    probe.write_text("int main(void) { return 0; }\n")
    if subprocess.run([compiler, *FLAGS, probe, "-o", built.with_name("probe")], capture_output=True).returncode:
        pytest.skip("no sanitizers")
    sources = [Path(__file__).with_name("levels.c"), *sorted(NATIVE.rglob("*.c"))]
    subprocess.run([compiler, *FLAGS, "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}", *sources, "-o", built], check=True)
    return built


def vivid(rng: np.random.Generator) -> bytes:
    """Saturated colours at the best quality: DC codes of 10 and 11 bits, longer than a lookup."""
    colours = np.array([(0, 0, 255), (255, 255, 0), (255, 0, 0), (0, 255, 255)], dtype=np.uint8)
    pixels = colours[rng.integers(0, 4, (20, 40))].repeat(8, 0).repeat(8, 1)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=100, subsampling=0, restart_marker_blocks=4)
    return out.getvalue()


def test_jobs_give_equal_coefficients(jpegmaker: ModuleType, program: Path, tmp_path: Path) -> None:
    """Selections of jobs in any order and place, ended early and damaged: status, coefficients, clean gaps."""
    rng = np.random.default_rng(5)
    files = []
    for number, sampling in enumerate(SAMPLINGS * 2):
        interval = int(rng.choice([1, 2, 5, 16]))
        size = (int(rng.integers(40, 300)), int(rng.integers(40, 160)))
        density = float(rng.choice([0.05, 0.3, 0.8]))
        frame = jpegmaker.random_frame(rng, *size, sampling, interval=interval, density=density)
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(jpegmaker.write(frame))
    files.append(tmp_path / "vivid.jpg")
    files[-1].write_bytes(vivid(rng))
    run = subprocess.run([program, "12", "3", *files], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-4000:]
    sound, damaged = map(int, run.stdout.split())
    assert sound > 1000 and damaged > 100

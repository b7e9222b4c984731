"""How many blocks a scan can hold at most: the guard before memory is allocated for an image, called directly."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import ffprep.jpeg

NATIVE = Path(ffprep.jpeg.__file__).parent / "native"
FLAGS = ["-std=gnu11", "-g", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"]


@dataclass(frozen=True)
class Frame:
    """A frame and the first bits of its data that it needs at least."""

    sequential: bool
    mcus: int
    needed_bits: int
    blocks_per_mcu: int = 1
    restart_interval: int = 0
    planes: tuple[tuple[int, int], ...] = ((8, 8),)

    def line(self, scan: int, size: int) -> str:
        numbers = [self.sequential, self.blocks_per_mcu, self.restart_interval, scan, size, self.mcus, len(self.planes)]
        return " ".join(str(int(n)) for n in [*numbers, *(side for plane in self.planes for side in plane)])


SEQUENTIAL = [
    # two bits a block: a DC and an AC code
    Frame(True, mcus=40, needed_bits=80),
    Frame(True, mcus=40, needed_bits=480, blocks_per_mcu=6),
    Frame(True, mcus=1, needed_bits=20, blocks_per_mcu=10),
    # and a marker of sixteen bits after every interval but the last
    Frame(True, mcus=9, needed_bits=18 + 2 * 16, restart_interval=4),
    Frame(True, mcus=8, needed_bits=16 + 16, restart_interval=4),
    Frame(True, mcus=8, needed_bits=16 + 7 * 16, restart_interval=1),
    Frame(True, mcus=4, needed_bits=8, restart_interval=4),
    Frame(True, mcus=1, needed_bits=2, restart_interval=1),
    # sides of planes do not count here
    Frame(True, mcus=4, needed_bits=8, planes=((800, 800), (8, 8), (8, 8))),
]
SEVERAL_SCANS = [
    # a bit for each block that a plane really has: ceil(width / 8) * ceil(height / 8)
    Frame(False, mcus=1000, needed_bits=1),
    Frame(False, mcus=1, needed_bits=100, planes=((80, 80),)),
    Frame(False, mcus=1, needed_bits=11 * 13, planes=((81, 97),)),
    Frame(False, mcus=1, needed_bits=12 * 13, planes=((89, 104),)),
    Frame(False, mcus=1, needed_bits=11 * 13, planes=((88, 104),)),
    Frame(False, mcus=1, needed_bits=64 + 16 + 4, planes=((64, 64), (32, 32), (16, 16))),
    Frame(False, mcus=1, needed_bits=4 * 9, planes=((17, 17), (24, 24), (18, 23), (23, 18))),
    # restart markers do not count here
    Frame(False, mcus=100, needed_bits=4, restart_interval=1, planes=((16, 16),)),
    # the product of the largest sides overflows 32 bits
    Frame(False, mcus=1, needed_bits=4 * 8192 * 8192, planes=((65535, 65535),) * 4),
]


@pytest.fixture(scope="module")
def plausible(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], list[int]]:
    folder = tmp_path_factory.mktemp("plausible")
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "these tests need a C compiler"
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    flags = FLAGS
    if subprocess.run([compiler, *FLAGS, probe, "-o", folder / "probe"], capture_output=True).returncode:
        flags = FLAGS[:-2]  # this compiler has no sanitizers
    sources = [Path(__file__).parent / "plausible.c", *sorted(NATIVE.glob("parse/*.c")), NATIVE / "huffman" / "codes.c"]
    program = folder / "plausible"
    subprocess.run([compiler, *flags, "-Wall", "-Werror", f"-I{NATIVE}", *sources, "-o", program], check=True)

    def run(lines: list[str]) -> list[int]:
        done = subprocess.run([program], input="\n".join(lines), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return [int(line) for line in done.stdout.split()]

    return run


@pytest.mark.parametrize("scan", [0, 623])
def test_data_is_enough_from_the_bits_that_all_blocks_need(
    plausible: Callable[[list[str]], list[int]], scan: int
) -> None:
    frames = SEQUENTIAL + SEVERAL_SCANS
    enough = [frame.line(scan, scan + (frame.needed_bits + 7) // 8) for frame in frames]
    short = [frame.line(scan, scan + (frame.needed_bits + 7) // 8 - 1) for frame in frames]
    assert plausible(enough) == [1] * len(frames)
    assert plausible(short) == [0] * len(frames)


def test_the_exact_bit_decides(plausible: Callable[[list[str]], list[int]]) -> None:
    """Eight bits fit into a byte and nine do not, whatever the counts are made of."""
    fits = [Frame(True, 4, 8), Frame(False, 1, 8, planes=((32, 16),)), Frame(True, 2, 8, blocks_per_mcu=2)]
    over = [Frame(True, 5, 10), Frame(False, 1, 9, planes=((24, 24),)), Frame(True, 5, 10, restart_interval=5)]
    assert plausible([frame.line(10, 11) for frame in fits + over]) == [1, 1, 1, 0, 0, 0]

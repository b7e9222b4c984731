"""A small JPEG encoder for tests: any sampling, any tables, any scan structure, from given coefficients.

It is written from ITU-T T.81 alone, for plainness and not for speed, and is the oracle for coefficients: what it was
given is what a decoder must return.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jpegarith import ArithmeticCode
from jpeghuffman import Bits, Huffman, random_code
from numpy.typing import NDArray

Blocks = NDArray[np.int16]

ZIGZAG = np.array(sorted(range(64), key=lambda i: (i // 8 + i % 8, (i % 8 if (i // 8 + i % 8) % 2 == 0 else i // 8))))
"""Zigzag position -> row * 8 + column (T.81 figure A.6)."""


@dataclass
class Component:
    """One component of a frame; blocks are (block rows, blocks a row, 64) in zigzag order, padded to whole MCUs."""

    identifier: int
    h: int
    v: int
    blocks: Blocks
    quant: int = 0


@dataclass
class Scan:
    """A scan: indices of its components, spectral band, successive approximation, table numbers."""

    components: Sequence[int]
    ss: int = 0
    se: int = 63
    ah: int = 0
    al: int = 0
    dc_tables: Sequence[int] = (0, 1, 1, 1)
    ac_tables: Sequence[int] = (0, 1, 1, 1)


PROGRESSIVE = [
    Scan([0, 1, 2], 0, 0, 0, 1),
    Scan([0], 1, 5, 0, 2),
    Scan([1], 1, 63, 0, 1),
    Scan([2], 1, 63, 0, 1),
    Scan([0], 6, 63, 0, 2),
    Scan([0], 1, 63, 2, 1),
    Scan([0, 1, 2], 0, 0, 1, 0),
    Scan([1], 1, 63, 1, 0),
    Scan([2], 1, 63, 1, 0),
    Scan([0], 1, 63, 1, 0),
]
"""Scans of all kinds, for three components."""


@dataclass
class Frame:
    """An image as its coefficients, and how its stream is to look."""

    width: int
    height: int
    components: list[Component]
    quant: dict[int, NDArray[np.int64]]
    sof: int = 0xC0
    interval: int = 0
    head: bytes = b""
    scans: list[Scan] = field(default_factory=list)
    seed: int = 0

    @property
    def mcus(self) -> tuple[int, int]:
        """MCUs across and down."""
        hmax = max(c.h for c in self.components)
        vmax = max(c.v for c in self.components)
        return -(-self.width // (8 * hmax)), -(-self.height // (8 * vmax))

    def unit_grid(self, index: int) -> tuple[int, int]:
        """Blocks across and down that a scan of one component alone holds (T.81 A.2.2)."""
        hmax = max(c.h for c in self.components)
        vmax = max(c.v for c in self.components)
        c = self.components[index]
        wide = -(-self.width * c.h // hmax)
        high = -(-self.height * c.v // vmax)
        return -(-wide // 8), -(-high // 8)


DC_SYMBOLS = list(range(12))
AC_SYMBOLS = [0x00, 0xF0] + [run << 4 | size for run in range(16) for size in range(1, 11)]
EOB_SYMBOLS = [run << 4 for run in range(1, 15)]


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def magnitude(value: int) -> tuple[int, int]:
    """Size category and its additional bits (F.1.2.1)."""
    size = abs(value).bit_length()
    return size, value if value >= 0 else value + (1 << size) - 1


class ScanWriter:
    """Codes the blocks of one scan."""

    def __init__(self, frame: Frame, scan: Scan, dc: dict[int, Huffman], ac: dict[int, Huffman]) -> None:
        self.frame, self.scan, self.dc, self.ac = frame, scan, dc, ac
        self.bits = Bits()
        self.reset()

    def reset(self) -> None:
        self.arithmetic = ArithmeticCode()
        self.pred = [0] * 4
        self.eobrun = 0
        self.corrections: list[int] = []

    def symbol(self, table: Huffman, symbol: int) -> None:
        self.bits.put(*table.codes[symbol])

    def end_segment(self) -> None:
        self.end_bands()
        self.bits.flush()
        if self.frame.sof in (0xC9, 0xCA):
            self.bits.out += self.arithmetic.coder.end()

    def end_bands(self) -> None:
        """Writes the pending end-of-band run and its correction bits (G.1.2.2, G.1.2.3)."""
        if self.eobrun:
            size = self.eobrun.bit_length() - 1
            self.symbol(self.ac[self.scan.ac_tables[0]], size << 4)
            self.bits.put(self.eobrun, size)
            self.eobrun = 0
        for bit in self.corrections:
            self.bits.put(bit, 1)
        self.corrections = []

    def dc_difference(self, index: int, value: int) -> None:
        size, extra = magnitude(value - self.pred[index])
        self.pred[index] = value
        self.symbol(self.dc[self.scan.dc_tables[index]], size)
        self.bits.put(extra, size)

    def sequential(self, index: int, block: Sequence[int]) -> None:
        self.dc_difference(index, block[0])
        table = self.ac[self.scan.ac_tables[index]]
        run = 0
        last = max((k for k in range(64) if block[k]), default=0)
        for k in range(1, last + 1):
            if block[k] == 0:
                run += 1
                continue
            while run > 15:
                self.symbol(table, 0xF0)
                run -= 16
            size, extra = magnitude(block[k])
            self.symbol(table, run << 4 | size)
            self.bits.put(extra, size)
            run = 0
        if last < 63:
            self.symbol(table, 0x00)

    def ac_first(self, block: Sequence[int]) -> None:
        table = self.ac[self.scan.ac_tables[0]]
        run = 0
        for k in range(self.scan.ss, self.scan.se + 1):
            value = abs(block[k]) >> self.scan.al
            if value == 0:
                run += 1
                continue
            self.end_bands()
            while run > 15:
                self.symbol(table, 0xF0)
                run -= 16
            size, extra = magnitude(value if block[k] > 0 else -value)
            self.symbol(table, run << 4 | size)
            self.bits.put(extra, size)
            run = 0
        if run:
            self.eobrun += 1
            if self.eobrun == 0x7FFF:
                self.end_bands()

    def ac_refine(self, block: Sequence[int]) -> None:
        scan, table = self.scan, self.ac[self.scan.ac_tables[0]]
        values = [abs(block[k]) >> scan.al for k in range(64)]
        last_new = max((k for k in range(scan.ss, scan.se + 1) if values[k] == 1), default=-1)
        run = 0
        pending: list[int] = []
        for k in range(scan.ss, scan.se + 1):
            if values[k] == 0:
                run += 1
                continue
            while run > 15 and k <= last_new:
                self.end_bands()
                self.symbol(table, 0xF0)
                run -= 16
                for bit in pending:
                    self.bits.put(bit, 1)
                pending = []
            if values[k] > 1:
                pending.append(values[k] & 1)
                continue
            self.end_bands()
            self.symbol(table, run << 4 | 1)
            self.bits.put(int(block[k] > 0), 1)
            for bit in pending:
                self.bits.put(bit, 1)
            run, pending = 0, []
        if run or pending:
            self.eobrun += 1
            self.corrections += pending
            if self.eobrun == 0x7FFF or len(self.corrections) > 900:
                self.end_bands()

    def arithmetic_block(self, index: int, block: Sequence[int]) -> None:
        scan, code = self.scan, self.arithmetic
        if scan.ss == 0 and scan.ah == 0:
            code.dc_difference(index, scan.dc_tables[index], block[0] >> scan.al)
        elif scan.ss == 0:
            code.coder.put_evenly(block[0] >> scan.al & 1)
        if scan.ss or self.frame.sof == 0xC9:
            write_band = code.ac_refinement if scan.ah else code.ac_values
            write_band(scan.ac_tables[index], block, max(scan.ss, 1), scan.se, scan.al)

    def block(self, index: int, block: Sequence[int]) -> None:
        scan = self.scan
        if self.frame.sof in (0xC9, 0xCA):
            self.arithmetic_block(index, block)
        elif self.frame.sof != 0xC2:
            self.sequential(index, block)
        elif scan.ss == 0 and scan.ah == 0:
            self.dc_difference(index, block[0] >> scan.al)
        elif scan.ss == 0:
            self.bits.put(block[0] >> scan.al, 1)
        elif scan.ah == 0:
            self.ac_first(block)
        else:
            self.ac_refine(block)

    def units(self) -> Iterator[list[tuple[int, Blocks]]]:
        """The scan's MCUs: (index in the scan, block) of each."""
        frame, scan = self.frame, self.scan
        if len(scan.components) == 1:
            across, down = frame.unit_grid(scan.components[0])
            blocks = frame.components[scan.components[0]].blocks
            for y in range(down):
                for x in range(across):
                    yield [(0, blocks[y, x])]
            return
        across, down = frame.mcus
        for y in range(down):
            for x in range(across):
                unit = []
                for i, number in enumerate(scan.components):
                    c = frame.components[number]
                    unit += [(i, c.blocks[y * c.v + j, x * c.h + k]) for j in range(c.v) for k in range(c.h)]
                yield unit

    def write(self) -> bytes:
        for number, unit in enumerate(self.units()):
            if self.frame.interval and number and number % self.frame.interval == 0:
                self.end_segment()
                self.bits.out += bytes([0xFF, 0xD0 + (number // self.frame.interval - 1) % 8])
                self.reset()
            for i, block in unit:
                self.block(i, block.tolist())
        self.end_segment()
        return bytes(self.bits.out)


def frame_header(frame: Frame) -> bytes:
    body = struct.pack(">BHHB", 8, frame.height, frame.width, len(frame.components))
    for c in frame.components:
        body += bytes([c.identifier, c.h << 4 | c.v, c.quant])
    return segment(frame.sof, body)


def scan_header(frame: Frame, scan: Scan) -> bytes:
    body = bytes([len(scan.components)])
    for i, number in enumerate(scan.components):
        tables = scan.dc_tables[i] << 4 | scan.ac_tables[i]
        body += bytes([frame.components[number].identifier, tables])
    return segment(0xDA, body + bytes([scan.ss, scan.se, scan.ah << 4 | scan.al]))


def quant_segment(number: int, table: NDArray[np.int64]) -> bytes:
    if table.max() > 255:
        return segment(0xDB, bytes([0x10 | number]) + table.astype(">u2").tobytes())
    return segment(0xDB, bytes([number]) + table.astype(np.uint8).tobytes())


def write(frame: Frame) -> bytes:
    """The whole stream; tables are drawn anew before every scan."""
    rng = np.random.default_rng(frame.seed)
    out = b"\xff\xd8" + frame.head
    for number, table in frame.quant.items():
        out += quant_segment(number, table)
    out += frame_header(frame)
    if frame.interval:
        out += segment(0xDD, struct.pack(">H", frame.interval))
    scans = frame.scans or [Scan(range(len(frame.components)))]
    for scan in scans:
        ac_symbols = AC_SYMBOLS + (EOB_SYMBOLS if frame.sof == 0xC2 else [])
        dc = {n: random_code(DC_SYMBOLS, rng) for n in sorted(set(scan.dc_tables[: len(scan.components)]))}
        ac = {n: random_code(ac_symbols, rng) for n in sorted(set(scan.ac_tables[: len(scan.components)]))}
        for kind, codes in enumerate((dc, ac) if frame.sof < 0xC9 else ()):
            for n, code in codes.items():
                out += segment(0xC4, code.spec(kind, n))
        out += scan_header(frame, scan) + ScanWriter(frame, scan, dc, ac).write()
    return out + b"\xff\xd9"


def random_frame(
    rng: np.random.Generator,
    width: int,
    height: int,
    sampling: Sequence[tuple[int, int]],
    *,
    density: float = 0.15,
    amplitude: int = 40,
    **options: object,
) -> Frame:
    """A frame with random coefficients, sparse and falling with frequency."""
    hmax, vmax = max(h for h, _ in sampling), max(v for _, v in sampling)
    if len(sampling) == 1:
        hmax, vmax = sampling[0]
    components = []
    across, down = -(-width // (8 * hmax)), -(-height // (8 * vmax))
    for i, (h, v) in enumerate(sampling):
        shape = (down * v, across * h, 64)
        spread = amplitude / (1 + np.arange(64) / 4)
        blocks = np.rint(rng.laplace(size=shape) * spread) * (rng.random(shape) < density)
        dead = rng.random(shape[:2]) < 0.2
        blocks[..., 1:][dead] = 0
        blocks[..., 0] = rng.integers(-300, 300, shape[:2])
        components.append(Component(i + 1, h, v, blocks.clip(-1023, 1023).astype(np.int16), min(i, 1)))
    quant = {n: rng.integers(1, 4, 64) for n in range(min(len(sampling), 2))}
    return Frame(width, height, components, quant, seed=int(rng.integers(1 << 30)), **options)  # type: ignore[arg-type]

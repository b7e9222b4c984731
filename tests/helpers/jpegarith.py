"""Arithmetic coding for the test encoder ``jpegmaker``: T.81 annexes D, F.1.4 and G.1.3, plain and slow."""

from __future__ import annotations

from collections.abc import Sequence

# Table D.3: estimate, next after the less and the more probable symbol, whether these change places.
# fmt: off
ESTIMATES = [
    (0x5A1D, 1, 1, 1), (0x2586, 14, 2, 0), (0x1114, 16, 3, 0), (0x080B, 18, 4, 0), (0x03D8, 20, 5, 0),
    (0x01DA, 23, 6, 0), (0x00E5, 25, 7, 0), (0x006F, 28, 8, 0), (0x0036, 30, 9, 0), (0x001A, 33, 10, 0),
    (0x000D, 35, 11, 0), (0x0006, 9, 12, 0), (0x0003, 10, 13, 0), (0x0001, 12, 13, 0), (0x5A7F, 15, 15, 1),
    (0x3F25, 36, 16, 0), (0x2CF2, 38, 17, 0), (0x207C, 39, 18, 0), (0x17B9, 40, 19, 0), (0x1182, 42, 20, 0),
    (0x0CEF, 43, 21, 0), (0x09A1, 45, 22, 0), (0x072F, 46, 23, 0), (0x055C, 48, 24, 0), (0x0406, 49, 25, 0),
    (0x0303, 51, 26, 0), (0x0240, 52, 27, 0), (0x01B1, 54, 28, 0), (0x0144, 56, 29, 0), (0x00F5, 57, 30, 0),
    (0x00B7, 59, 31, 0), (0x008A, 60, 32, 0), (0x0068, 62, 33, 0), (0x004E, 63, 34, 0), (0x003B, 32, 35, 0),
    (0x002C, 33, 9, 0), (0x5AE1, 37, 37, 1), (0x484C, 64, 38, 0), (0x3A0D, 65, 39, 0), (0x2EF1, 67, 40, 0),
    (0x261F, 68, 41, 0), (0x1F33, 69, 42, 0), (0x19A8, 70, 43, 0), (0x1518, 72, 44, 0), (0x1177, 73, 45, 0),
    (0x0E74, 74, 46, 0), (0x0BFB, 75, 47, 0), (0x09F8, 77, 48, 0), (0x0861, 78, 49, 0), (0x0706, 79, 50, 0),
    (0x05CD, 48, 51, 0), (0x04DE, 50, 52, 0), (0x040F, 50, 53, 0), (0x0363, 51, 54, 0), (0x02D4, 52, 55, 0),
    (0x025C, 53, 56, 0), (0x01F8, 54, 57, 0), (0x01A4, 55, 58, 0), (0x0160, 56, 59, 0), (0x0125, 57, 60, 0),
    (0x00F6, 58, 61, 0), (0x00CB, 59, 62, 0), (0x00AB, 61, 63, 0), (0x008F, 61, 32, 0), (0x5B12, 65, 65, 1),
    (0x4D04, 80, 66, 0), (0x412C, 81, 67, 0), (0x37D8, 82, 68, 0), (0x2FE8, 83, 69, 0), (0x293C, 84, 70, 0),
    (0x2379, 86, 71, 0), (0x1EDF, 87, 72, 0), (0x1AA9, 87, 73, 0), (0x174E, 72, 74, 0), (0x1424, 72, 75, 0),
    (0x119C, 74, 76, 0), (0x0F6B, 74, 77, 0), (0x0D51, 75, 78, 0), (0x0BB6, 77, 79, 0), (0x0A40, 77, 48, 0),
    (0x5832, 80, 81, 1), (0x4D1C, 88, 82, 0), (0x438E, 89, 83, 0), (0x3BDD, 90, 84, 0), (0x34EE, 91, 85, 0),
    (0x2EAE, 92, 86, 0), (0x299A, 93, 87, 0), (0x2516, 86, 71, 0), (0x5570, 88, 89, 1), (0x4CA9, 95, 90, 0),
    (0x44D9, 96, 91, 0), (0x3E22, 97, 92, 0), (0x3824, 99, 93, 0), (0x32B4, 99, 94, 0), (0x2E17, 93, 86, 0),
    (0x56A8, 95, 96, 1), (0x4F46, 101, 97, 0), (0x47E5, 102, 98, 0), (0x41CF, 103, 99, 0), (0x3C3D, 104, 100, 0),
    (0x375E, 99, 93, 0), (0x5231, 105, 102, 0), (0x4C0F, 106, 103, 0), (0x4639, 107, 104, 0), (0x415E, 103, 99, 0),
    (0x5627, 105, 106, 1), (0x50E7, 108, 107, 0), (0x4B85, 109, 103, 0), (0x5597, 110, 109, 0), (0x504F, 111, 107, 0),
    (0x5A10, 110, 111, 1), (0x5522, 112, 109, 0), (0x59EB, 112, 111, 1),
]
# fmt: on
CONDITIONING = ((0, 1), 5)  # L and U of DC, Kx of AC, where no DAC segment says otherwise


class Coder:
    """The coder of decisions (D.1). The code is one long integer, so that carries need no care."""

    def __init__(self) -> None:
        self.low, self.interval, self.shifts = 0, 0x10000, 0

    def put(self, bins: bytearray, at: int, decision: int) -> None:
        number, likely = bins[at] & 0x7F, bins[at] >> 7
        estimate, after_less, after_more, swap = ESTIMATES[number]
        self.interval -= estimate
        if decision == likely:
            if self.interval >= 0x8000:
                return
            if self.interval < estimate:
                self.low += self.interval
                self.interval = estimate
            bins[at] = likely << 7 | after_more
        else:
            if self.interval >= estimate:
                self.low += self.interval
                self.interval = estimate
            bins[at] = (likely ^ swap) << 7 | after_less
        while self.interval < 0x8000:
            self.interval <<= 1
            self.low <<= 1
            self.shifts += 1

    def put_evenly(self, decision: int) -> None:
        self.put(bytearray(1), 0, decision)

    def end(self) -> bytes:
        """The bytes, stuffed, without zeros at the end (D.1.8)."""
        code = (self.low + self.interval - 1) & ~0xFFFF
        if code < self.low:
            code += 0x8000
        bits = 16 + self.shifts
        padding = -bits % 8
        plain = (code << padding).to_bytes((bits + padding) // 8, "big").rstrip(b"\0")
        return plain.replace(b"\xff", b"\xff\0")


class ArithmeticCode:
    """Codes blocks of a scan, as ``ScanWriter`` of ``jpegmaker`` does with Huffman codes."""

    def __init__(self) -> None:
        self.coder = Coder()
        self.dc = [bytearray(64) for _ in range(4)]
        self.ac = [bytearray(256) for _ in range(4)]
        self.context = [0] * 4
        self.pred = [0] * 4

    def magnitude(self, bins: bytearray, at: int, value: int) -> None:
        """Size and lower bits of a magnitude less one (figures F.8, F.9) whose first decisions have been made."""
        top = value.bit_length() - 1
        for _ in range(top - (1 if at > 20 else 0)):
            self.coder.put(bins, at, 1)
            at += 1
        self.coder.put(bins, at, 0)
        for bit in range(top - 1, -1, -1):
            self.coder.put(bins, at + 14, value >> bit & 1)

    def dc_difference(self, index: int, table: int, value: int) -> None:
        difference = value - self.pred[index]
        self.pred[index] = value
        bins, at = self.dc[table], self.context[index]
        self.context[index] = 0
        self.coder.put(bins, at, int(difference != 0))
        if difference == 0:
            return
        negative, less = int(difference < 0), abs(difference) - 1
        self.coder.put(bins, at + 1, negative)
        self.coder.put(bins, at + 2 + negative, int(less > 0))
        if less:
            self.magnitude(bins, 20, less)
        lower, upper = CONDITIONING[0]
        if less >= (1 << lower) >> 1:
            self.context[index] = 4 + 4 * negative + 8 * (less >= 1 << upper)

    def ac_values(self, table: int, block: Sequence[int], first: int, last: int, shift: int) -> None:
        """Coefficients of a sequential scan, or of a first progressive one."""
        bins, coder = self.ac[table], self.coder
        values = [(abs(v) >> shift) * (1 if v > 0 else -1) for v in block]
        end = max((k for k in range(first, last + 1) if values[k]), default=first - 1)
        k = first
        while k <= end:
            coder.put(bins, 3 * (k - 1), 0)
            while values[k] == 0:
                coder.put(bins, 3 * (k - 1) + 1, 0)
                k += 1
            coder.put(bins, 3 * (k - 1) + 1, 1)
            coder.put_evenly(int(values[k] < 0))
            less, at = abs(values[k]) - 1, 3 * (k - 1) + 2
            coder.put(bins, at, int(less > 0))
            if less:
                coder.put(bins, at, int(less > 1))
                if less > 1:
                    self.magnitude(bins, 189 if k <= CONDITIONING[1] else 217, less)
            k += 1
        if k <= last:
            coder.put(bins, 3 * (k - 1), 1)

    def ac_refinement(self, table: int, block: Sequence[int], first: int, last: int, shift: int) -> None:
        bins, coder = self.ac[table], self.coder
        values = [abs(v) >> shift for v in block]
        end = max((k for k in range(first, last + 1) if values[k]), default=first - 1)
        before = max((k for k in range(first, last + 1) if values[k] > 1), default=0)
        k = first
        while k <= end:
            if k > before:
                coder.put(bins, 3 * (k - 1), 0)
            while values[k] == 0:
                coder.put(bins, 3 * (k - 1) + 1, 0)
                k += 1
            if values[k] > 1:
                coder.put(bins, 3 * (k - 1) + 2, values[k] & 1)
            else:
                coder.put(bins, 3 * (k - 1) + 1, 1)
                coder.put_evenly(int(block[k] < 0))
            k += 1
        if k <= last:
            coder.put(bins, 3 * (k - 1), 1)

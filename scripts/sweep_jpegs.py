#!/usr/bin/env python3
"""Sweep over odd and damaged JPEGs: each is refused with a reason, or stored with Pillow's pixels of it, in every form.

    scripts/sweep_jpegs.py --count 2000 --seed 1 --tools /usr/bin

Files come from cjpeg, jpegtran (libjpeg-turbo's programs, in the folder --tools) and the tests' own encoder, over
samplings, scans, restart intervals, colours, tables and codings; about half of them are damaged or made odd in some
other way. For every file and each of the forms seekable, keep, reencode and raw:

- it is refused with a reason; or
- what is stored has exactly the pixels that Pillow decodes from the file, or those encoded anew at the quality and
  sampling of the form; and stock ffcv, where it is installed, decodes what is stored to libjpeg's pixels with the fast
  inverse transform that stock takes.
- Where libjpeg (djpeg) warns of the file, it is refused, but for bytes left over at the end, a missing end marker, and
  warnings about headers.

Prints what became of the files and every file that broke a rule, which it also writes to --keep; the exit status is 1
if there are any.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "helpers"))

import jpegmaker

from ffprep.errors import ConversionError, JpegError
from ffprep.fields import RGBImageField
from ffprep.jpeg import decode_rgb, pillow

Pixels = npt.NDArray[np.uint8]

EOI = b"\xff\xd9"
FORMS = ("seekable", "keep", "reencode", "raw")
SAMPLINGS = ("1x1", "2x1", "1x2", "2x2", "4x1", "4x2", "2x2,2x1,2x1", "2x2,2x2,1x1", "4x1,2x1,1x1", "3x1,1x1,1x1")
FACTORS = (
    [(1, 1)],
    [(2, 2)],
    [(1, 1)] * 3,
    [(2, 2), (1, 1), (1, 1)],
    [(2, 1), (1, 1), (1, 1)],
    [(1, 2), (1, 1), (1, 1)],
    [(4, 1), (2, 1), (1, 1)],
    [(2, 2), (2, 1), (1, 2)],
    [(1, 1), (2, 2), (1, 1)],
    [(4, 4), (2, 2), (2, 2)],
    [(4, 2), (2, 1), (2, 1)],
    [(2, 2)] * 3,
    [(4, 4), (1, 1), (1, 1)],
    [(3, 2), (2, 1), (1, 1)],
    [(1, 1)] * 4,
    [(2, 2), (1, 1), (1, 1), (2, 2)],
)
ALLOWED = re.compile(r"extraneous bytes|Premature end of JPEG file|Adobe|JFIF|revision number|Invalid SOS parameters")
"""libjpeg's warnings of files that are whole."""

MOST_STOCK_DIFFERENCE = 1.0
"""Mean levels by which versions of libjpeg's fast inverse transform may differ."""


@dataclass(frozen=True)
class Programs:
    """libjpeg-turbo's programs."""

    folder: Path

    def run(self, name: str, arguments: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([str(self.folder / name), *arguments], input=data, capture_output=True, timeout=60)

    def output(self, name: str, arguments: Sequence[str], data: bytes) -> bytes:
        """What the program writes; empty if it refuses its arguments for this image."""
        run = self.run(name, arguments, data)
        return run.stdout if run.returncode == 0 else b""

    def warnings(self, data: bytes) -> list[str]:
        """Libjpeg's complaints about a file, one a line."""
        text = self.run("djpeg", ["-pnm"], data).stderr.decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()]


# ---- files -----------------------------------------------------------------------------------------------------------


def picture(rng: np.random.Generator) -> Image.Image:
    """Texture, smooth parts and flat ones, of any size."""
    width, height = (int(n) for n in rng.integers(1, 180, 2))
    small = rng.integers(0, 256, (height // int(rng.integers(2, 12)) + 1, width // 8 + 1, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    if rng.random() < 0.3:
        image.paste((int(rng.integers(256)), 90, 7), (0, height // 2, width, height))
    return image


def saved(image: Image.Image, format_name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_name, **options)
    return out.getvalue()


def chance(rng: np.random.Generator, share: float, *arguments: str) -> list[str]:
    return list(arguments) if rng.random() < share else []


def restarts(rng: np.random.Generator) -> list[str]:
    return chance(rng, 0.4, "-restart", f"{int(rng.integers(1, 9))}{'B' if rng.random() < 0.7 else ''}")


def by_cjpeg(rng: np.random.Generator, programs: Programs) -> bytes:
    arguments = ["-quality", str(int(rng.integers(5, 101))), "-sample", str(rng.choice(SAMPLINGS))]
    arguments += chance(rng, 0.15, "-grayscale") or chance(rng, 0.2, "-rgb")
    arguments += chance(rng, 0.3, "-progressive") + (chance(rng, 0.25, "-arithmetic") or chance(rng, 0.3, "-optimize"))
    arguments += restarts(rng)
    return programs.output("cjpeg", arguments, saved(picture(rng), "PPM"))


def by_jpegtran(rng: np.random.Generator, programs: Programs) -> bytes:
    image = picture(rng)
    if rng.random() < 0.3:
        image = image.convert(str(rng.choice(["L", "CMYK"])))
    options: dict[str, Any] = {"quality": int(rng.integers(10, 100)), "subsampling": int(rng.integers(3))}
    if image.mode == "RGB" and rng.random() < 0.2:
        options["keep_rgb"] = True
        options["subsampling"] = 0
    arguments = chance(rng, 0.4, "-progressive") + (chance(rng, 0.4, "-arithmetic") or chance(rng, 0.3, "-optimize"))
    return programs.output("jpegtran", [*arguments, *restarts(rng)], saved(image, "JPEG", **options))


def by_own(rng: np.random.Generator, _programs: Programs) -> bytes:
    factors = FACTORS[int(rng.integers(len(FACTORS)))]
    width, height = (int(n) for n in rng.integers(1, 90, 2))
    sof = int(rng.choice([0xC0, 0xC1, 0xC2, 0xC9, 0xCA]))
    frame = jpegmaker.random_frame(
        rng, width, height, factors, sof=sof, interval=int(rng.integers(6)), density=float(rng.random()) / 4
    )
    together = len(factors) == 1 or sum(h * v for h, v in factors) <= 10
    own = [jpegmaker.Scan([i]) for i in range(len(factors))]
    if sof in (0xC0, 0xC1, 0xC9):
        frame.scans = [] if together and rng.random() < 0.6 else own
    elif len(factors) == 3 and together and rng.random() < 0.7:
        frame.scans = jpegmaker.PROGRESSIVE
    else:
        frame.scans = [jpegmaker.Scan(s.components, 0, 0, 0, 1) for s in own]
        frame.scans += [jpegmaker.Scan(s.components, 1, 63, 0, 2) for s in own]
        frame.scans += [jpegmaker.Scan(s.components, 1, 63, 2, 1) for s in own]
        frame.scans += [jpegmaker.Scan(s.components, 0, 0, 1, 0) for s in own]
        frame.scans += [jpegmaker.Scan(s.components, 1, 63, 1, 0) for s in own]
    if rng.random() < 0.15:
        for component, identifier in zip(frame.components, (1, 1, 2, 2), strict=False):
            component.identifier = identifier
    if rng.random() < 0.1:
        frame.quant[0][int(rng.integers(64))] = 0
    if rng.random() < 0.3:
        frame.head = jpegmaker.segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([int(rng.integers(3))]))
    return bytes(jpegmaker.write(frame))


# ---- oddities and damage ---------------------------------------------------------------------------------------------


def scan_begin(data: bytes) -> int:
    return data.index(b"\xff\xda") + 14


def in_scan(data: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(scan_begin(data), max(len(data) - 2, scan_begin(data) + 1)))


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: in_scan(data, rng)]


def cut_with_end(data: bytes, rng: np.random.Generator) -> bytes:
    return cut(data, rng).rstrip(b"\xff") + EOI


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    at = in_scan(data, rng)
    return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]


def removed(data: bytes, rng: np.random.Generator) -> bytes:
    at = in_scan(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 60)) :]


def inserted(data: bytes, rng: np.random.Generator) -> bytes:
    at = in_scan(data, rng)
    return data[:at] + rng.integers(0, 255, int(rng.integers(1, 60)), dtype=np.uint8).tobytes() + data[at:]


def left_over(data: bytes, rng: np.random.Generator) -> bytes:
    rest = rng.integers(0, 255, int(rng.integers(1, 400)), dtype=np.uint8).tobytes()
    return data[:-2] + rest + (EOI if rng.random() < 0.5 else b"")


def zeros(data: bytes, rng: np.random.Generator) -> bytes:
    """Zero bytes in front of a marker from the scan on, the last one included."""
    places = [
        found.start() for found in re.finditer(rb"\xff[\xc4\xd0-\xda]", data) if found.start() >= scan_begin(data)
    ]
    at = int(rng.choice(places or [len(data)]))
    return data[:at] + bytes(int(rng.integers(1, 6))) + data[at:]


def no_end(data: bytes, _rng: np.random.Generator) -> bytes:
    return data[:-2]


def other_height(data: bytes, rng: np.random.Generator) -> bytes:
    at = next(at for at in range(len(data)) if data[at] == 0xFF and data[at + 1] in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA))
    lines = int.from_bytes(data[at + 5 : at + 7], "big") + int(rng.integers(-40, 20))
    return data[: at + 5] + max(1, lines).to_bytes(2, "big") + data[at + 7 :]


def other_restart(data: bytes, rng: np.random.Generator) -> bytes:
    places = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    if not places:
        return no_end(data, rng)
    at = int(rng.choice(places))
    return data[:at] + rng.choice([b"", b"\xff\xd0", b"\xff\xd5"]) + data[at + 2 :]


def wild(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(2, len(data)))
    return data[:at] + bytes([int(rng.integers(256))]) + data[at + 1 :]


CHANGES: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    cut,
    cut_with_end,
    flipped,
    removed,
    inserted,
    left_over,
    left_over,
    zeros,
    no_end,
    other_height,
    other_restart,
    wild,
    wild,
)


# ---- rules -----------------------------------------------------------------------------------------------------------


def by_pillow(data: bytes) -> Pixels | None:
    """Pillow's pixels, of a file without an end marker too; None if it does not decode it."""
    for stream in (data, data + EOI):
        try:
            with Image.open(io.BytesIO(stream), formats=["JPEG"]) as image:
                return np.asarray(image.convert("RGB"))
        except Exception:  # Pillow's plugins raise almost anything
            continue
    return None


def expected(data: bytes) -> Pixels | None:
    """What the file shows: by Pillow, or by the kernel where Pillow refuses the file."""
    pixels = by_pillow(data)
    if pixels is None:
        try:
            pixels = decode_rgb(data)
        except JpegError:
            return None
    return pixels


def encoded_anew(pixels: Pixels, quality: int, sampling: str) -> Pixels:
    grey = bool((pixels == pixels[..., :1]).all())
    again = by_pillow(pillow.encode(Image.fromarray(pixels).convert("L" if grey else "RGB"), quality, sampling))
    assert again is not None
    return again


def by_stock(data: bytes, width: int, height: int) -> Pixels | None:
    """The pixels of stock ffcv's decoder; None if it fails."""
    from ffcv.libffcv import imdecode

    source, out = np.frombuffer(data, np.uint8), np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    if imdecode(source, out, height, width, height, width, 0, 0, 1, 1, False, False) != 0:
        return None
    return out


def broken_rule(data: bytes, form: str, warned: list[str], programs: Programs, stock: bool, seen: Counter[str]) -> str:
    """Which rule a file breaks in a form, or nothing. Counts what became of it."""
    field = RGBImageField(jpeg=None if form == "raw" else form)
    try:
        encoded = field.encode(data)
    except ConversionError as error:
        reason = str(error).removeprefix("image: ").removesuffix("; leave it out or replace it")
        seen[f"{form}: refused: {re.sub(r'[0-9]+', 'N', reason)}"] += 1
        return ""
    assert encoded.note is not None and encoded.payload is not None
    action, reason = encoded.note
    seen[f"{form}: {action}: {reason}"] += 1
    if warned:
        return f"stored ({reason}), though libjpeg warns: {'; '.join(warned)}"
    pixels, payload = expected(data), bytes(encoded.payload)
    _, width, height, _ = encoded.metadata
    if pixels is None or pixels.shape != (height, width, 3):
        return f"stored ({reason}), though nothing decodes it"
    if form == "raw":
        same = np.array_equal(np.frombuffer(payload, np.uint8).reshape(height, width, 3), pixels)
        return "" if same else "raw: other pixels than Pillow's"
    stored = by_pillow(payload)
    if stored is None:
        return f"{action} ({reason}) to what Pillow does not decode"
    if action == "reencoded":
        pixels = encoded_anew(pixels, *((90, "4:2:0") if form == "reencode" else (95, "4:4:4")))
    if not np.array_equal(stored, pixels):
        return f"{action} ({reason}) to other pixels than Pillow's"
    if not np.array_equal(decode_rgb(payload).shape, pixels.shape):
        return "the kernel decodes another size"
    if stock:
        theirs = by_stock(payload, width, height)
        if theirs is None:
            return f"{action} ({reason}) to what stock ffcv does not decode"
        fast = Image.open(io.BytesIO(programs.output("djpeg", ["-dct", "fast", "-pnm"], payload))).convert("RGB")
        difference = float(np.abs(theirs.astype(int) - np.asarray(fast)).mean())
        if difference > MOST_STOCK_DIFFERENCE:
            return f"{action} ({reason}): stock ffcv differs by {difference:.1f} levels"
    return ""


def has_stock() -> bool:
    try:
        import ffcv.libffcv  # noqa: F401
    except ImportError:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tools", type=Path, default=Path("/usr/bin"), help="folder of cjpeg, djpeg and jpegtran")
    parser.add_argument("--keep", type=Path, help="folder for the files that break a rule")
    arguments = parser.parse_args()
    programs, stock = Programs(arguments.tools), has_stock()
    made, seen, broken = Counter[str](), Counter[str](), 0
    number = 0
    while made.total() < arguments.count:
        number += 1
        rng = np.random.default_rng((arguments.seed, number))
        encoder = (by_cjpeg, by_jpegtran, by_own)[number % 3]
        data, change = encoder(rng, programs), ""
        if not data:
            continue
        if rng.random() < 0.55:
            changed = CHANGES[int(rng.integers(len(CHANGES)))]
            data, change = changed(data, rng), changed.__name__
        made[f"{encoder.__name__} {change or 'as made'}"] += 1
        warned = (
            [line for line in programs.warnings(data) if not ALLOWED.search(line)]
            if by_pillow(data) is not None
            else []
        )
        for form in FORMS:
            try:
                rule = broken_rule(data, form, warned, programs, stock, seen)
            except Exception as error:
                rule = f"{type(error).__name__}: {error}"
            if rule:
                broken += 1
                print(f"BROKEN file {number} ({encoder.__name__}, {change or 'as made'}), {form}: {rule}", flush=True)
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    (arguments.keep / f"{number}.jpg").write_bytes(data)
    for counter in (made, seen):
        print()
        for name, count in sorted(counter.items()):
            print(f"{count:6,}  {name}")
    print(f"\n{made.total():,} files, {len(FORMS)} forms, with{'' if stock else 'out'} stock ffcv: {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    raise SystemExit(main())

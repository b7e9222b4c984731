"""Makes the JPEG streams of ``corpus/jpeg``, from which the fuzz targets start: small, and of all kinds.

``python tests/fuzz/make_corpus.py`` writes the same files again, but for those that Pillow encodes: these may differ
with its libjpeg-turbo.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "helpers"))

import jpegmaker  # noqa: E402

YCC = [(1, 1)] * 3
SAMPLINGS = {"grey": [(1, 1)], "444": YCC, "420": [(2, 2), (1, 1), (1, 1)], "440": [(1, 2), (1, 1), (1, 1)]}
SAMPLINGS |= {"411": [(4, 1), (1, 1), (1, 1)], "odd": [(2, 2), (2, 1), (1, 2)]}


def drawn() -> Iterator[tuple[str, bytes]]:
    """Streams with random coefficients, in processes and scan structures that Pillow does not write."""
    rng = np.random.default_rng(0)

    def stream(width: int, height: int, sampling: list[tuple[int, int]], scans: str = "", **options: int) -> bytes:
        frame = jpegmaker.random_frame(rng, width, height, sampling, **options)
        if scans == "single":
            frame.scans = [jpegmaker.Scan([number]) for number in range(len(sampling))]
        elif scans == "progressive":
            frame.scans = jpegmaker.PROGRESSIVE
        return bytes(jpegmaker.write(frame))

    for name, sampling in SAMPLINGS.items():
        for interval in (0, 1, 5):
            yield f"{name}_restart{interval}", stream(37, 29, sampling, interval=interval)
    left = stream(40, 33, SAMPLINGS["420"])
    yield "left_over", left[:-2] + b"\x7f\0\xff\xd9"
    yield "several_scans", stream(24, 17, [(2, 1), (1, 1), (1, 1)], "single", sof=0xC1)
    yield "arithmetic", stream(24, 17, [(2, 1), (1, 1), (1, 1)], sof=0xC9)
    yield "arithmetic_scans", stream(24, 17, [(2, 1), (1, 1), (1, 1)], "single", sof=0xC9, interval=3)
    yield "arithmetic_progressive", stream(24, 17, [(2, 1), (1, 1), (1, 1)], "progressive", sof=0xCA, interval=3)
    yield "many_blocks", stream(40, 33, [(4, 4), (2, 2), (2, 2)], "single")
    yield "cmyk", stream(20, 17, [(2, 1), (1, 1), (1, 1), (2, 1)])
    for name in ("grey", "444", "420"):  # long enough to be decoded in pieces
        yield f"long_{name}", stream(150, 70 if name == "444" else 110, SAMPLINGS[name], density=0.2)


def encoded() -> Iterator[tuple[str, bytes]]:
    """What Pillow writes."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    for side, picture in ((1, Image.fromarray(pixels).resize((70, 50))), (2, Image.fromarray(pixels))):
        for progressive in (False, True):
            for subsampling in (0, 1, 2):
                out = io.BytesIO()
                picture.save(
                    out,
                    "JPEG",
                    quality=60,
                    progressive=progressive,
                    subsampling=subsampling,
                    restart_marker_blocks=subsampling,
                )
                yield f"pillow_{side}_{'progressive' if progressive else 'baseline'}_{subsampling}", out.getvalue()
    smooth = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).resize((130, 90))
    for subsampling in (0, 2):
        out = io.BytesIO()
        smooth.save(out, "JPEG", quality=50, subsampling=subsampling)
        yield f"pillow_long_{subsampling}", out.getvalue()
    noisy = Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).resize((140, 110))
    out = io.BytesIO()
    noisy.save(out, "JPEG", quality=92, subsampling=0)  # long enough for places in two vectors: skim/skim_vectors.h
    yield "pillow_longer_0", out.getvalue()


def main() -> None:
    """Write the files."""
    folder = HERE / "corpus" / "jpeg"
    folder.mkdir(parents=True, exist_ok=True)
    for make in (drawn, encoded):
        for name, data in make():
            (folder / f"{name}.jpg").write_bytes(data)


if __name__ == "__main__":
    main()

"""How close resized images are to torchvision's: peak signal-to-noise ratio of each image, by sampling and filter.

    python benchmarks/accuracy.py FILE.beton [--size 224]

The reference is Pillow's decoding and ``torch.nn.functional.interpolate(antialias=True)`` on uint8, which is what
torchvision's antialiased resize calls. The whole image is resized to size x size, as in the study's validation.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict

import numpy as np
import torch
from PIL import Image

from ffprep import Loader
from ffprep.beton.reader import Reader
from ffprep.fields.decoders import ResizeRGBImageDecoder
from ffprep.jpeg import read_header
from ffprep.transforms import ToTensor


def reference(stream: bytes, size: int, mode: str) -> np.ndarray:
    """Pillow's pixels, resized as torchvision does; (size, size, 3) uint8."""
    with Image.open(io.BytesIO(stream)) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].contiguous()
    resized = torch.nn.functional.interpolate(pixels, (size, size), mode=mode, antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Decibels, for a peak of 255; 99 for equal images."""
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("beton")
    parser.add_argument("--size", type=int, default=224)
    arguments = parser.parse_args()
    print(f"{'filter':<10}{'sampling':<14}{'images':>7}{'mean dB':>9}{'worst dB':>10}{'max error':>11}")
    with Reader(arguments.beton) as reader:
        for mode in ("bilinear", "bicubic"):
            found: dict[str, list[tuple[float, int]]] = defaultdict(list)
            decoder = ResizeRGBImageDecoder((arguments.size, arguments.size), interpolation=mode)
            loader = Loader(
                arguments.beton,
                batch_size=32,
                pipelines={"image": [decoder, ToTensor()], "label": None},
                drop_last=False,
            )
            i = 0
            for (images,) in loader:
                for ours in images.numpy():
                    stream = reader.value("image", i)
                    header = read_header(stream)
                    sampling = "grey" if header.color == "gray" else "x".join(f"{h}{v}" for h, v in header.sampling[:3])
                    theirs = reference(stream, arguments.size, mode)
                    worst = int(np.abs(ours.astype(int) - theirs).max())
                    for key in (sampling, "all"):
                        found[key].append((psnr(ours, theirs), worst))
                    i += 1
            for key, values in sorted(found.items()):
                decibels = [value for value, _ in values]
                line = f"{mode:<10}{key:<14}{len(values):>7}{np.mean(decibels):>9.1f}{min(decibels):>10.1f}"
                print(f"{line}{max(worst for _, worst in values):>11}")


if __name__ == "__main__":
    main()

"""What policies of augmentation cost per image, beside torchvision v2 and timm.

    python benchmarks/loading/policies.py FILE.beton [--rounds 7] [--only NAME] [--markdown]

A batch of 64 uint8 images of 224x224, resized from the file's, on one thread. Contestants take turns in each round:
ffprep's compiled operation on the batch, copying it to memory that is in use already included, as the loader's threads
reuse theirs; torchvision v2 on one uint8 tensor at a time, and on one
Pillow image; timm on one Pillow image. In microseconds of processor time an image, of each contestant's fastest round.

Needs torchvision and timm.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIZE, COUNT = 224, 64
POLICIES: dict[str, tuple[str, str, str]] = {
    "RandAugment(2, 9)": ("RandAugment(2, 9)", "RandAugment(2, 9)", "rand-m9-n2"),
    "rand-m9-mstd0.5-inc1": ("timm_policy('rand-m9-mstd0.5-inc1')", "", "rand-m9-mstd0.5-inc1"),
    "TrivialAugmentWide()": ("TrivialAugmentWide()", "TrivialAugmentWide()", ""),
    "AutoAugment()": ("AutoAugment()", "AutoAugment()", "original"),
    "AugMix()": ("AugMix()", "AugMix()", "augmix-m3-w3"),
}
"""For each row ffprep's operation, torchvision's and timm's configuration; empty where there is none.

timm's ``original`` is the paper's AutoAugment; its ``v0`` may posterise to 0 bits, which Pillow 13 refuses."""


def in_place(operation: Any, images: Any) -> Callable[[], None]:
    """Apply an operation that keeps sizes to copies of images, all in the same memory."""
    from ffprep.transforms.compiled.run import run_rows

    out, ids, epoch = images.copy(), np.arange(COUNT), iter(range(1 << 30))
    numbers = operation.numbers(SIZE, SIZE, "uint8", 3)
    work = np.zeros(operation.work(SIZE, SIZE) + 64, np.uint8)
    sizes = np.array([SIZE, SIZE, SIZE, SIZE, 3])

    def run() -> None:
        np.copyto(out, images)
        entry, address = operation.entry(), out.ctypes.data
        assert not operation.moves
        tables = sizes, numbers.ctypes.data, work.ctypes.data
        assert run_rows(entry, address, address, *tables, 0, next(epoch), ids, 1) == 0

    return run


def contestants(path: str, name: str) -> dict[str, Callable[[], None]]:
    """What to time, each over `COUNT` images."""
    import torch
    from PIL import Image
    from timm.data.auto_augment import (
        augment_and_mix_transform,
        auto_augment_transform,
        rand_augment_transform,
    )
    from torchvision.transforms import v2

    from ffprep import Loader, transforms
    from ffprep.fields.decoders import ResizeRGBImageDecoder

    torch.set_num_threads(1)
    ours, theirs, config = POLICIES[name]
    with Loader(path, COUNT, 1, pipelines={"image": [ResizeRGBImageDecoder(SIZE)], "label": None}) as loader:
        (images,) = next(iter(loader))
    operation = eval(f"transforms.{ours}", {"transforms": transforms})
    found: dict[str, Callable[[], Any]] = {"ffprep": in_place(operation, images)}
    pictures = [Image.fromarray(image) for image in images]
    tensors = [torch.from_numpy(image).permute(2, 0, 1).contiguous() for image in images]
    if theirs:
        peer = eval(f"v2.{theirs}", {"v2": v2})
        found["torchvision, tensor"] = lambda: [peer(x) for x in tensors]
        found["torchvision, Pillow"] = lambda: [peer(x) for x in pictures]
    if config:
        kinds = {"rand": rand_augment_transform, "augmix": augment_and_mix_transform}
        make = kinds.get(config.partition("-")[0], auto_augment_transform)
        other = make(config, {"translate_const": 100, "img_mean": (124, 116, 104)})
        found["timm"] = lambda: [other(x) for x in pictures]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("beton")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=POLICIES)
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    columns = ["ffprep", "torchvision, tensor", "torchvision, Pillow", "timm"]
    print(platform.processor() or platform.machine())
    if arguments.markdown:
        print("| policy | " + " | ".join(f"{c}, us" for c in columns) + " | least ratio |\n|---" + "|---:" * 5 + "|")
    for name in [arguments.only] if arguments.only else POLICIES:
        ways = contestants(arguments.beton, name)
        least = dict.fromkeys(ways, float("inf"))
        for way in ways.values():
            way()
        for _ in range(arguments.rounds):
            for kind, way in ways.items():
                start = time.process_time()
                way()
                least[kind] = min(least[kind], (time.process_time() - start) / COUNT * 1e6)
        ratio = min(cost for kind, cost in least.items() if kind != "ffprep") / least["ffprep"]
        cells = [f"{least[c]:.0f}" if c in least else "" for c in columns]
        line = [name, *cells, f"{ratio:.1f}"]
        print("| " + " | ".join(line) + " |" if arguments.markdown else "  ".join(f"{x:>20}" for x in line), flush=True)


if __name__ == "__main__":
    main()

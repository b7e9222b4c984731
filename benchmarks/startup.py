"""How long it takes until training begins: import, first batch, second loader, opening a file of ImageNet's size.

    python benchmarks/startup.py --markdown
    python benchmarks/startup.py --cold        # also the first batch ever of each preset, nothing being compiled yet
    python benchmarks/startup.py --only-cold   # that alone; with PYTHONPATH=FOLDER, of a wheel that was unpacked there

Every figure is of a process of its own, with the file in the page cache, the median of several; times of whole
processes begin when the process does. Processor time (--clock cpu) is that of all threads together, less disturbed by
other work. The file for the opening row has 1,281,167 samples of a tiny JPEG each, every one
stored by itself; it takes 0.3 GB of the temporary folder, and --file keeps it for another time.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ffprep.inspect.timing.results import Result, Table

SAMPLES = 1_281_167
CLOCK = "FFPREP_STARTUP_CLOCK"
STARTED = "FFPREP_STARTUP_STARTED"
clock = time.process_time if os.environ.get(CLOCK) == "cpu" else time.perf_counter
HERE = Path(__file__).resolve().parent


def make_large(path: Path, samples: int = SAMPLES) -> None:
    """Writes a file of many samples: a grey JPEG of 8x8 pixels and a label."""
    from PIL import Image

    from ffprep.beton.writing.writer import Writer
    from ffprep.fields import IntField, RGBImageField
    from ffprep.fields.base import Encoded

    out = io.BytesIO()
    Image.new("L", (8, 8), 100).save(out, "JPEG", quality=50, optimize=True)
    image = Encoded((0, 8, 8, 0), out.getvalue())
    label = IntField()
    with Writer(path, {"image": RGBImageField(jpeg="keep"), "label": label}, samples, overwrite=True) as writer:
        for index in range(samples):
            writer.write([image, label.encode(index % 1000)])


def make_small(path: Path) -> None:
    """Writes a file of 128 photographs."""
    from ffprep.convert.conversion import convert
    from ffprep.demo.photographs import make_photographs
    from ffprep.fields import RGBImageField
    from ffprep.sources.imagenet import open_imagenet

    folder = make_photographs(path.parent / "photographs", 128)
    convert(open_imagenet(str(folder), "train", image=RGBImageField(jpeg="seekable")), path)


def memory(kind: str = "Anon") -> int:
    """Return the bytes of memory of its own, or with ``File`` of mapped files it touched; 0 if Linux does not say."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(text.split(f"Rss{kind}:")[1].split()[0])


def make_pairs(path: Path) -> None:
    """Writes a file of 64 photographs with tokens."""
    import numpy as np
    from PIL import Image

    from ffprep.beton.writing.writer import Writer
    from ffprep.demo.photographs import make_photographs
    from ffprep.fields import IntField, NDArrayField, RGBImageField

    files = sorted(make_photographs(path.parent / "pairs", 64).rglob("*.JPEG"))
    fields = {
        "image": RGBImageField("jpg", jpeg="seekable"),
        "tokens": NDArrayField(np.dtype(np.uint16), (32,)),
        "length": IntField(),
    }
    with Writer(path, fields, len(files)) as writer:
        for file in files:
            values = [np.array(Image.open(file).convert("RGB")), np.zeros(32, np.uint16), 32]
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])


def make_blocks(path: Path) -> None:
    """Writes a file of 256 blocks of 512 tokens."""
    import numpy as np

    from ffprep.beton.writing.writer import Writer
    from ffprep.fields import NDArrayField

    field = NDArrayField(np.dtype(np.uint16), (512,))
    with Writer(path, {"tokens": field}, 256) as writer:
        for number in range(256):
            writer.write([field.encode(np.full(512, number, np.uint16))])


def since_start() -> float:
    """Return the seconds since this process was started, or its processor time."""
    return time.process_time() if clock is time.process_time else time.time() - float(os.environ[STARTED])


def first_ever(preset: str, path: str) -> dict[str, float]:
    """A preset's first batch, from the start of the process on, and whether numba was imported for it.

    With the preset ``torch`` only ``import torch``.
    """
    if preset == "torch":
        import torch  # noqa: F401

        return {"seconds": since_start(), "numba": 0.0}
    from ffprep import presets, transforms

    if preset == "augmented":
        from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
        from ffprep.loader import Loader, OrderOption

        steps = [transforms.RandomHorizontalFlip(), transforms.RandomColorJitter(0.8, 0.4, 0.4, 0.2, 0.1)]
        steps += [transforms.RandomSolarize(128, 0.2), transforms.GaussianBlur(9), transforms.ToTensor()]
        image = [RandomResizedCropRGBImageDecoder((224, 224)), *steps]
        pipelines = {"image": image, "label": [IntDecoder()]}
        loader: Any = Loader(path, 64, 1, order=OrderOption.RANDOM, pipelines=pipelines, seed=0)
    else:
        loader = getattr(presets, preset)(path, 64, 1, 0)
    next(iter(loader))
    return {"seconds": since_start(), "numba": float("numba" in sys.modules)}


def importing() -> dict[str, float]:
    """``import ffprep``."""
    begun = clock()
    import ffprep  # noqa: F401

    return {"seconds": clock() - begun}


def importing_loader() -> dict[str, float]:
    """``from ffprep import Loader``, torch's own import apart."""
    import torch  # noqa: F401

    begun = clock()
    from ffprep import Loader  # noqa: F401

    return {"seconds": clock() - begun}


def importing_torch() -> dict[str, float]:
    """``import torch``, for comparison."""
    begun = clock()
    import torch  # noqa: F401

    return {"seconds": clock() - begun}


def first_batch(path: str) -> dict[str, float]:
    """The preset's first batch, from making the loader on, torch being imported; then a second loader's."""
    import torch  # noqa: F401

    begun = clock()
    from ffprep.presets import imagenet_train

    next(iter(imagenet_train(path, batch_size=64, num_workers=1, seed=0)))
    first = clock() - begun
    begun = clock()
    next(iter(imagenet_train(path, batch_size=64, num_workers=1, seed=0)))
    return {"seconds": first, "second": clock() - begun}


def stock_first_batch(path: str) -> dict[str, float]:
    """The same of stock ffcv."""
    import torch  # noqa: F401

    begun = clock()
    import numpy as np
    from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, Squeeze, ToTensor, ToTorchImage

    def make() -> Any:
        image = [RandomResizedCropRGBImageDecoder((224, 224)), RandomHorizontalFlip()]
        image += [NormalizeImage(np.full(3, 120.0), np.full(3, 60.0), np.float32), ToTensor()]
        image += [ToTorchImage(channels_last=False)]
        pipelines = {"image": image, "label": [IntDecoder(), ToTensor(), Squeeze()]}
        return Loader(path, batch_size=64, num_workers=1, order=OrderOption.RANDOM, os_cache=True, pipelines=pipelines)

    next(iter(make()))
    first = clock() - begun
    begun = clock()
    next(iter(make()))
    return {"seconds": first, "second": clock() - begun}


def opening(path: str) -> dict[str, float]:
    """Opening a file: its tables are checked; and then, finding its payloads."""
    from ffprep.beton.reader import Reader

    with Reader(path, check=False):
        pass  # what is imported on the first use is no part of opening
    own, mapped = memory(), memory("File")
    begun = clock()
    reader = Reader(path)
    opened = clock() - begun
    reader.extents("image")
    found = clock() - begun
    return {"seconds": opened, "second": found, "own": memory() - own, "mapped": memory("File") - mapped}


def opening_loader(path: str) -> dict[str, float]:
    """Making a loader of a file, and then its first batch, the kernels being loaded already."""
    import numpy as np

    from ffprep.presets import imagenet_train

    small: dict[str, Any] = {"batch_size": 64, "num_workers": 1, "seed": 0, "size": 32}
    next(iter(imagenet_train(path, indices=np.arange(64), **small)))
    own = memory()
    begun = clock()
    loader = imagenet_train(path, **small)
    made = clock() - begun
    next(iter(loader))
    return {"seconds": made, "second": clock() - begun, "own": memory() - own}


def stock_opening(path: str) -> dict[str, float]:
    """Opening a file with stock ffcv's reader."""
    from ffcv.reader import Reader

    own, mapped = memory(), memory("File")
    begun = clock()
    reader = Reader(path)
    seconds = clock() - begun
    found = {"seconds": seconds, "own": memory() - own, "mapped": memory("File") - mapped}
    del reader
    return found


def stock_opening_loader(path: str) -> dict[str, float]:
    """Making stock ffcv's loader, without a batch: that would compile."""
    from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption

    own = memory()
    begun = clock()
    pipelines = {"image": [RandomResizedCropRGBImageDecoder((32, 32))], "label": [IntDecoder()]}
    loader = Loader(path, batch_size=64, num_workers=1, order=OrderOption.RANDOM, os_cache=True, pipelines=pipelines)
    loader.next_traversal_order()
    return {"seconds": clock() - begun, "own": memory() - own}


def _seconds() -> float:
    """Seconds of the clock, or of processor time of the processes that have ended."""
    if clock is time.perf_counter:
        return time.perf_counter()
    used = os.times()
    return used.children_user + used.children_system


def ask(function: str, *arguments: str, times: int = 5, environment: dict[str, str] | None = None) -> dict[str, float]:
    """Runs a function in processes of their own; medians, and ``process``, the whole process."""
    found: dict[str, list[float]] = {}
    paths = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(HERE.parent)])  # a wheel may be named first
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(times):
        begun = _seconds()
        started = {STARTED: repr(time.time())}
        done = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), "--measure", function, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**inherited, **started, "PYTHONPATH": paths, **(environment or {})},
        )
        if done.returncode:
            raise SystemExit(f"{function} failed: {done.stderr.strip().splitlines()[-1]}")
        result = json.loads(done.stdout.strip().splitlines()[-1])
        for key, value in {**result, "process": _seconds() - begun}.items():
            found.setdefault(key, []).append(value)
    return {key: statistics.median(values) for key, values in found.items()}


def rows(small: Path, large: Path, times: int) -> list[tuple[str, str, str]]:
    """What, ours, stock ffcv's."""
    stock = importlib.util.find_spec("ffcv") is not None
    ask("first_batch", str(small), times=1)  # fills the cache of compiled kernels
    ours = ask("first_batch", str(small), times=times)
    theirs = ask("stock_first_batch", str(small), times=min(times, 3)) if stock else None
    opened, loader = ask("opening", str(large), times=times), ask("opening_loader", str(large), times=times)
    stock_opened = ask("stock_opening", str(large), times=min(times, 3)) if stock else None
    stock_loader = ask("stock_opening_loader", str(large), times=min(times, 3)) if stock else None

    def seconds(found: dict[str, float] | None, key: str = "seconds") -> str:
        return "" if found is None else f"{found[key]:.3f} s"

    def mega(found: dict[str, float] | None, key: str = "own") -> str:
        return "" if found is None else f"{found[key] / 1e6:.0f} MB"

    lines = [
        ("import ffprep", seconds(ask("importing", times=times)), ""),
        ("from ffprep import Loader, torch imported before", seconds(ask("importing_loader", times=times)), ""),
        ("(import torch)", seconds(ask("importing_torch", times=times)), ""),
        ("first batch of a process, torch imported before", seconds(ours), seconds(theirs)),
        ("first batch of a second loader", seconds(ours, "second"), seconds(theirs, "second")),
        ("the whole process: start, torch, two loaders, end", seconds(ours, "process"), seconds(theirs, "process")),
        ("opening 1,281,167 samples", seconds(opened), seconds(stock_opened)),
        ("the same, and finding all payloads", seconds(opened, "second"), ""),
        ("memory of its own for that", mega(opened), mega(stock_opened)),
        ("pages of the file looked at", mega(opened, "mapped"), mega(stock_opened, "mapped")),
        ("making a loader of it", seconds(loader), seconds(stock_loader)),
        ("the same, and its first batch", seconds(loader, "second"), ""),
        ("memory of its own for that", mega(loader), mega(stock_loader)),
    ]
    return lines


def first_cold(preset: str, path: Path, kernels: str) -> float:
    """Seconds from a process's start to a preset's first batch, with an empty cache of numba's."""
    with tempfile.TemporaryDirectory(prefix="ffprep-cold-") as cache:
        environment = {"NUMBA_CACHE_DIR": cache, "FFPREP_KERNELS": kernels}
        asked = ask("first_ever", preset, str(path), times=1, environment=environment)
    if not kernels and asked["numba"]:
        print(f"note: {preset} imported numba: see `ffprep doctor`", file=sys.stderr)
    return asked["seconds"]


def cold(small: Path, times: int, compiled: bool, note: str) -> Result:
    """The first batch of every preset, with the kernels' machine code as it was shipped, and compiled by numba."""
    make_pairs(pairs := small.with_name("pairs.beton"))
    make_blocks(blocks := small.with_name("blocks.beton"))
    presets = {"torch": small, "imagenet_train": small, "augmented": small}
    presets |= {"image_text_train": pairs, "text_blocks": blocks}
    kinds = {"shipped": ("", times), **({"compiled": ("jit", 1)} if compiled else {})}
    result = Result("startup", f"{times} processes each, empty caches", note=note)
    result.tables["main"] = Table(
        ["process start to first batch (torch: its import alone)", *(f"{kind}, s" for kind in kinds)], []
    )
    for preset, path in presets.items():
        ask("first_ever", preset, str(path), times=1)  # Python's own bytecode, which pip makes when it installs
        for kind, (kernels, runs) in kinds.items():
            result.measured(f"{preset}, {kind}", [first_cold(preset, path, kernels) for _ in range(runs)])
        result.tables["main"].rows.append([preset, *({"median": f"{preset}, {kind}", "form": ".2f"} for kind in kinds)])
    return result


def show(heading: tuple[str, str], lines: list[tuple[str, str, str]], markdown: bool) -> None:
    """Prints a table."""
    if markdown:
        print(f"| | {heading[0]} | {heading[1]} |\n|---|---|---|")
    else:
        print(f"{'':<60} {heading[0]:>10} {heading[1]:>10}")
    for what, one, other in lines:
        print(f"| {what} | {one} | {other} |" if markdown else f"{what:<60} {one:>10} {other:>10}")


def main() -> None:
    """Measures everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, help="keep the file of 1,281,167 samples here, or use the one there")
    parser.add_argument("--times", type=int, default=5, help="processes for each figure")
    parser.add_argument("--cold", action="store_true", help="also the first batch ever, with an empty cache")
    parser.add_argument("--only-cold", action="store_true", help="nothing else")
    parser.add_argument("--no-jit", action="store_true", help="time only machine code as it was shipped")
    parser.add_argument("--json", type=Path, help="keep the results of the cold start in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: seconds of processor time")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(globals()[options.measure[0]](*options.measure[1:])))
        return
    if options.clock != os.environ.get(CLOCK, "wall"):
        os.environ[CLOCK] = options.clock
        os.execv(sys.executable, [sys.executable, *sys.argv])
    with tempfile.TemporaryDirectory(prefix="ffprep-startup-") as folder:
        small = Path(folder) / "small.beton"
        make_small(small)
        if not options.only_cold:
            large = options.file or Path(folder) / "large.beton"
            if not large.exists():
                make_large(large)
            show(("ffprep", "stock ffcv"), rows(small, large, options.times), options.markdown)
        if options.cold or options.only_cold:
            result = cold(small, options.times, not options.no_jit, options.note)
            if options.json:
                result.save(options.json)
            print(f"\n{result.caption()}\n\n{result.text(markdown=options.markdown)}")


if __name__ == "__main__":
    main()

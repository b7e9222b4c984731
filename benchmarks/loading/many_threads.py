"""Whether hand-out and delivery of batches keep up with many threads, on a machine that has only a few.

    python benchmarks/loading/many_threads.py --threads 64 --wait 600 --json benchmarks/results/NAME.json

The decoder and the renderers are replaced by functions that wait (``many_threads.c``, built with ``cc``): a thread is
busy with an image for so many microseconds, but takes no processor, so that 64 threads run side by side on two cores.
All else is the loader as it is: claiming rows, looking samples up, drawing crops, finishing batches, waking the
consumer, which takes every batch, with its labels, in Python. ``possible`` is threads / wait, what would be handed out
if nothing but the images took time; the processor time is that of all threads together.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import ffprep.jpeg
from ffprep.inspect.timing.results import Result, Table

WIDTH, HEIGHT = 400, 320
STORED = 2000
"""Samples of the file; an epoch shows each many times."""
NATIVE = Path(ffprep.jpeg.__file__).parent / "native"


def build(folder: Path) -> Path:
    """Compile many_threads.c."""
    made = folder / "many_threads.so"
    compiler = shutil.which(os.environ.get("CC", "cc")) or "cc"
    source = Path(__file__).with_name("many_threads.c")
    subprocess.run([compiler, "-std=gnu11", "-O2", "-shared", "-fPIC", f"-I{NATIVE}", source, "-o", made], check=True)
    return made


def make_file(path: Path) -> None:
    """Write a file of images that are all said to have the same size."""
    from ffprep.beton.writing.writer import Writer
    from ffprep.fields import IntField, RGBImageField
    from ffprep.fields.base import Encoded

    image, label = Encoded((0, WIDTH, HEIGHT, 0), bytes(64)), IntField()
    with Writer(path, {"image": RGBImageField(jpeg="keep"), "label": label}, STORED) as writer:
        for number in range(STORED):
            writer.write([image, label.encode(number % 1000)])


def replace_decoder(library: Path, wait_us: float) -> None:
    """Let every worker thread of this process wait instead of decoding and rendering."""
    from ffprep.loader.engine import pool

    waiting = ctypes.CDLL(str(library))
    waiting.configure(ctypes.c_int64(round(1000 * wait_us)), ctypes.c_int64(WIDTH), ctypes.c_int64(HEIGHT))
    decode, render = (
        ctypes.cast(getattr(waiting, name), ctypes.c_void_p).value for name in ("wait_decode", "render_nothing")
    )
    original = pool.new_thread

    def new_thread(*arguments: Any) -> Any:
        thread = original(*arguments)
        thread["decode"] = decode
        for name in ("render", "wide", "unscaled"):  # which of them a crop takes follows from its size
            thread[name] = render
        return thread

    pool.new_thread = new_thread


def measure(
    library: str, path: str, threads: int, wait_us: float, samples: int, batch_size: int, ahead: int, rounds: int
) -> dict[str, list[float]]:
    """Go through epochs, and return what each took."""
    replace_decoder(Path(library), wait_us)
    from ffprep.presets import imagenet_train

    shown = np.arange(samples) % STORED
    loader = imagenet_train(path, batch_size, threads, seed=0, check="off", indices=shown, batches_ahead=ahead)
    found: dict[str, list[float]] = {"rate": [], "cpu_us": [], "consumer_us": [], "batch_us": []}
    for epoch in range(rounds + 1):
        used, begun, own, seen, batches = _cpu(), time.perf_counter(), time.thread_time(), 0, 0
        for images, _ in loader:
            seen += len(images)
            batches += 1
            del images
        seconds = time.perf_counter() - begun
        if epoch:
            found["rate"].append(seen / seconds)
            found["cpu_us"].append(1e6 * (_cpu() - used) / seen)
            found["consumer_us"].append(1e6 * (time.thread_time() - own) / seen)
            found["batch_us"].append(1e6 * (time.thread_time() - own) / batches)
    return found


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure every batch size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[64])
    parser.add_argument("--wait", type=float, default=600, help="microseconds that a thread waits for an image")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--ahead", type=int, nargs="+", default=[3], help="batches_ahead: one, or one a batch size")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(**json.loads(options.measure))))
        return
    setting = f"{options.samples:,} samples, {options.wait:g} us an image, {options.rounds} rounds"
    result = Result("many_threads", setting, note=options.note)
    columns = [
        "threads",
        "batch",
        "ahead",
        "possible/s",
        "images/s",
        "CPU us an image",
        "consumer us an image",
        "consumer us a batch",
    ]
    table = result.tables["main"] = Table(columns, [])
    with tempfile.TemporaryDirectory(prefix="ffprep-threads-") as folder:
        path = Path(folder) / "many.beton"
        make_file(path)
        job = {
            "library": str(build(Path(folder))),
            "path": str(path),
            "wait_us": options.wait,
            "rounds": options.rounds,
            "samples": options.samples,
        }
        for threads in options.threads:
            for number, batch_size in enumerate(options.batch_size):
                ahead = options.ahead[number % len(options.ahead)]
                asked = json.dumps({**job, "threads": threads, "batch_size": batch_size, "ahead": ahead})
                done = subprocess.run(
                    [sys.executable, __file__, "--measure", asked], stdout=subprocess.PIPE, check=True
                )
                name = f"{threads} threads, {batch_size}, {ahead} ahead"
                cells: list[Any] = [str(threads), f"{batch_size:,}", str(ahead), f"{1e6 * threads / options.wait:,.0f}"]
                for kind, values in json.loads(done.stdout).items():
                    result.measured(f"{name}: {kind}", values, "images/s" if kind == "rate" else "us")
                    form = ",.0f" if kind in ("rate", "batch_us") else ".1f"
                    cells.append({"median": f"{name}: {kind}", "form": form})
                table.rows.append(cells)
    if options.json:
        result.save(options.json)
    print(f"{result.caption()}\n\n{result.text()}")


if __name__ == "__main__":
    main()

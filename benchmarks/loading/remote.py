"""Loading from a store with everything in the cache beside loading the local file: paired epochs, one process.

    python benchmarks/loading/remote.py train.beton [--rounds 8] [--batch-size 256] [--profile] [--json FILE]
    python benchmarks/loading/remote.py train.set.json       # its folder's files

Plays S3 with moto on the loopback device (``pip install 'ffprep[remote]' moto[server]``), in a process of its own that
reads the file from memory; stages the file; and goes through epochs of the local and the remote file in turn, as
RandomResizedCrop(224) in uint8. Prints images/s and processor time of each epoch, and the medians of paired ratios; one
epoch of each warms up. ``--json`` keeps them.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ffprep.inspect.timing.results import Result, Table

SERVER = """
import sys, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""


@contextlib.contextmanager
def bucket() -> Iterator[Any]:
    """Start a server with a bucket of this name, and let this process use it."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout is not None
        host, port = server.stdout.readline().decode().split()
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        import s3fs

        fs = s3fs.S3FileSystem()
        fs.mkdir("bucket")
        try:
            yield fs
        finally:
            server.communicate()


def epoch(loader: Any) -> tuple[float, float]:
    """Return the seconds of an epoch and the processor time of this process in it."""
    began, used = time.perf_counter(), time.process_time()
    for _ in loader:
        pass
    return time.perf_counter() - began, time.process_time() - used


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--cache", help="folder for pages, which stay there; a temporary one by default")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--order", default="QUASI_RANDOM")
    parser.add_argument("--profile", action="store_true", help="profile the remote epochs' consumer instead")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    options = parser.parse_args()
    from ffprep import Loader, OrderOption
    from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
    from ffprep.remote.staging import stage
    from ffprep.transforms import ToTensor

    with bucket() as fs, tempfile.TemporaryDirectory(prefix="ffprep-remote-") as made:
        cache = options.cache or made
        whole = options.file.name.endswith(".json")
        for path in sorted(options.file.parent.glob("*.beton")) if whole else [options.file]:
            fs.put(str(path), f"bucket/{path.name}")
        if whole:
            fs.put(str(options.file), f"bucket/{options.file.name}")
        url = f"s3://bucket/{options.file.name}"
        os.environ["FFPREP_CACHE"] = cache
        os.environ["FFPREP_REMOTE_DEADLINE"] = "1800"  # moto copies the whole object for each range of it
        began = time.perf_counter()
        from ffprep.beton.sets import files_of

        places = files_of(url)
        for place in places:
            stage(place.path)
        size = sum(place.path.stat().st_size for place in places)
        print(f"{size / 1e6:.0f} MB staged in {time.perf_counter() - began:.1f} s", flush=True)
        pipelines = {"image": [RandomResizedCropRGBImageDecoder((224, 224)), ToTensor()]}
        given = {"order": OrderOption[options.order], "seed": 1, "pipelines": pipelines, "drop_last": False}
        sides = {
            name: Loader(path, options.batch_size, options.workers, **given)
            for name, path in (("local", str(options.file)), ("remote", url))
        }
        images = len(sides["local"].indices)
        if options.profile:
            epoch(sides["remote"])
            profile = cProfile.Profile(time.thread_time)
            profile.runcall(epoch, sides["remote"])
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            return
        rates: dict[str, list[float]] = {"local": [], "remote": []}
        used: dict[str, list[float]] = {"local": [], "remote": []}
        for number in range(options.rounds + 1):
            for name in ("local", "remote") if number % 2 else ("remote", "local"):
                seconds, cpu = epoch(sides[name])
                if number:  # the first warms up
                    rates[name].append(images / seconds)
                    used[name].append(1e6 * cpu / images)
        facts = f"{images:,} images in {len(places)} file{'s' * (len(places) > 1)} of {size / 1e6:,.0f} MB"
        work = f"batches of {options.batch_size}, {options.workers} workers, {options.order}, {options.rounds} rounds"
        result = Result("remote", f"{facts}, {work}", note=options.note)
        columns = ["loader", "images/s", "CPU us an image", "speed beside local", "CPU time beside local"]
        table = result.tables["main"] = Table(columns, [])
        for name, said in (("local", "local files"), ("remote", "S3, all pages in the cache")):
            result.measured(f"{name}: rate", rates[name], "images/s")
            result.measured(f"{name}: CPU", used[name], "us")
            row: list[Any] = [said, {"range": f"{name}: rate"}, {"range": f"{name}: CPU"}]
            ratios = [{"ratio": [f"remote: {what}", f"local: {what}"], "form": ".2f"} for what in ("rate", "CPU")]
            table.rows.append([*row, *(ratios if name == "remote" else ["", ""])])
        print(f"{result.caption()}\n\n{result.text()}")
        if options.json:
            result.save(options.json)
        for loader in sides.values():
            loader.close()


if __name__ == "__main__":
    main()

"""Downloads from a server on this machine: how fast, and what becomes of them when the server misbehaves.

    python benchmarks/converting/download.py --part rate --rows 20000 --img2dataset /path/to/venv/bin/python
    python benchmarks/converting/download.py --part hostile --index Validation_GCC-1.1.0-Validation.tsv --kills 10

The server is a process of its own and serves photographs of about 20 kB. In the rate part every row of the index
works. In the hostile part a third do not: the server refuses, hangs, drips, sends without end, cuts, resets,
redirects in circles, passes off HTML as JPEG. Then what came is converted, and all is done again with the download
killed at random moments and resumed: both .beton files must be the same bytes, and so must the reports.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import random
import resource
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

BYTES = 20_000
GOOD = ("ok", "type", "flaky")
SHARES = {
    "ok": 60, "type": 4, "flaky": 4, "404": 8, "403": 5, "410": 2, "500": 2, "html": 3, "truncated": 3, "cut": 2,
    "reset": 2, "loop": 1, "redirect": 1, "noai": 1, "bomb": 0.2, "endless": 0.2, "hang": 0.3, "drip": 0.3,
}  # fmt: skip
"""Out of a hundred rows, how many the server treats which way; ``redirect`` leads to a photograph after two hops."""
CAUSES = {
    "404": "http_404", "403": "http_403", "410": "http_410", "500": "http_500", "html": "not_an_image",
    "truncated": "undecodable", "cut": "broken_response", "reset": "connection", "loop": "too_many_redirects",
    "noai": "robots", "bomb": "too_many_pixels", "endless": "too_large", "hang": "timeout", "drip": "timeout",
}  # fmt: skip
"""What the report must call each."""


# the server


def photographs(count: int = 48) -> list[bytes]:
    """JPEGs of about 20 kB, made of the embedded photographs."""
    import numpy as np
    from PIL import Image

    from ffprep.demo.photographs import PHOTOGRAPHS

    originals = [Image.open(path).convert("RGB") for path in sorted(PHOTOGRAPHS.glob("*/*.JPEG"))]
    found = []
    for number in range(count):
        rng = np.random.default_rng(number)
        image = originals[number % len(originals)]
        side = min(image.size)
        image = image.crop((0, 0, side, side)).resize((256, 256))
        pixels = np.asarray(image, np.float32) + rng.normal(0, 4, (256, 256, 1))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        sizes = []
        for quality in range(60, 96, 3):
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality)
            sizes.append((abs(buffer.tell() - BYTES), quality, buffer.getvalue()))
        found.append(min(sizes)[2])
    return found


def bomb() -> bytes:
    """A JPEG of 12,000 x 12,000 pixels."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (12_000, 12_000), 90).save(buffer, "JPEG")
    return buffer.getvalue()


class Photographs:
    """What every connection of the server serves."""

    def __init__(self) -> None:
        self.images = photographs()
        self.bomb = bomb()
        self.asked: set[str] = set()
        self.answers = [reply(image) for image in self.images]


def reply(body: bytes, status: str = "200 OK", kind: str = "image/jpeg", more: str = "") -> bytes:
    """A whole HTTP response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One connection; the first part of a request's path says how to treat it."""

    def __init__(self, served: Photographs) -> None:
        self.served = served
        self.held = b""
        self.writable = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self.held += data
        while b"\r\n\r\n" in self.held:
            head, _, self.held = self.held.partition(b"\r\n\r\n")
            self.answer(head.split(b" ", 2)[1].decode())

    def answer(self, path: str) -> None:
        kind, _, rest = path.strip("/").partition("/")
        number = int(rest.partition("/")[0] or 0)
        image = self.served.images[number % len(self.served.images)]
        if kind == "ok":
            self.transport.write(self.served.answers[number % len(self.served.answers)])
        elif kind in ("403", "404", "410", "500"):
            self.transport.write(reply(b"no", f"{kind} No", "text/plain"))
        elif kind == "type":
            self.transport.write(reply(image, kind="text/plain"))
        elif kind == "flaky" and path not in self.served.asked:
            self.served.asked.add(path)
            self.transport.write(reply(b"later", "503 Later", "text/plain"))
        elif kind == "flaky":
            self.transport.write(reply(image))
        elif kind == "html":
            self.transport.write(reply(b"<!DOCTYPE html><html><body>This image has moved.</body></html>"))
        elif kind == "truncated":
            self.transport.write(reply(image[: len(image) * 2 // 3]))
        elif kind == "cut":
            self.transport.write(reply(image)[:-1000])
            self.transport.close()
        elif kind == "reset":
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
        elif kind == "loop":
            self.transport.write(reply(b"", "302 Found", more=f"Location: {path}\r\n"))
        elif kind == "redirect":
            target = f"/redirect/{number}/2" if path.count("/") < 3 else f"/ok/{number}"
            self.transport.write(reply(b"", "302 Found", more=f"Location: {target}\r\n"))
        elif kind == "noai":
            self.transport.write(reply(image, more="X-Robots-Tag: noai\r\n"))
        elif kind == "bomb":
            self.transport.write(reply(self.served.bomb))
        elif kind in ("drip", "endless"):
            self.task = asyncio.ensure_future(self.without_end(image, kind == "drip"))
        # "hang": nothing

    async def without_end(self, image: bytes, slowly: bool) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            self.transport.write(b"1\r\n" + image[:1] + b"\r\n" if slowly else b"10000\r\n" + bytes(65536) + b"\r\n")
            if slowly:
                await asyncio.sleep(0.2)
            await self.writable.wait()
            await asyncio.sleep(0)


async def serve() -> None:
    """Serve until standard input is closed; the port is the first line of output."""
    served = Photographs()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(served), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


class Server:
    """The server as a process."""

    def __enter__(self) -> int:
        command = [sys.executable, __file__, "--serve"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


# the index


def captions(index: Path | None, rows: int | None) -> list[str]:
    """Captions of an index, or made up of the demo's words."""
    if index is not None:
        from ffprep.download.url_index import read_index

        found = [row.caption for row in read_index(index)]
        return found if rows is None else (found * (rows // len(found) + 1))[:rows]
    return [f"photograph number {number}" for number in range(5000 if rows is None else rows)]


def kinds(count: int) -> Iterator[str]:
    """How the server treats each row; the same at every run."""
    chosen = random.Random(0)
    yield from chosen.choices(list(SHARES), list(SHARES.values()), k=count)


def write_index(path: Path, texts: list[str], port: int, hostile: bool) -> list[str]:
    """Write an index of CC3M's form; how the server treats each row."""
    treatment = list(kinds(len(texts))) if hostile else ["ok"] * len(texts)
    with path.open("w", encoding="utf-8") as file:
        for number, (text, kind) in enumerate(zip(texts, treatment, strict=True)):
            file.write(f"{text}\thttp://127.0.0.1:{port}/{kind}/{number}\n")
    return treatment


# the parts


def command(*arguments: object) -> list[str]:
    """A command of ffprep."""
    return [sys.executable, "-m", "ffprep", *map(str, arguments), "--quiet"]


def timed(arguments: list[str]) -> tuple[float, float]:
    """Seconds, and seconds of processor time, of a process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def rate(index: Path | None, rows: int, rounds: int, peer: str | None, connections: int, scratch: Path) -> None:
    """Downloads a second, and img2dataset's in turn, start-up included."""
    own: list[tuple[float, float]] = []
    other: list[tuple[float, float]] = []
    texts = captions(index, rows)
    for number in range(rounds):
        with Server() as port:
            listed = scratch / "index.tsv"
            write_index(listed, texts, port, False)
            out = scratch / f"own{number}"
            limits = ("--connections", connections, "--per-host", connections, "--allow-private")
            own.append(timed(command("download", "cc3m", "--index", listed, "--out", out, *limits)))
            got = json.loads((out / "report.json").read_text())["ok"]
            if got != len(texts):
                raise SystemExit(f"{got} of {len(texts)} images")
            if peer is not None:
                theirs = scratch / "theirs.tsv"
                theirs.write_text("caption\turl\n" + listed.read_text("utf-8"), "utf-8")
                other.append(timed([peer, "-c", IMG2DATASET, str(theirs), str(scratch / f"peer{number}")]))
                done = sum(json.loads(p.read_text())["successes"] for p in scratch.glob(f"peer{number}/*_stats.json"))
                if done != len(texts):
                    print(f"img2dataset: {done} of {len(texts)} images")
    print(f"{len(texts):,} images of about {BYTES / 1000:.0f} kB, {rounds} rounds, start-up included\n")
    print("| | images/s | ms of processor time an image |\n|---|---|---|")
    for name, times in (("ffprep", own), ("img2dataset", other)):
        if times:
            rates = sorted(len(texts) / seconds for seconds, _ in times)
            cost = statistics.median(1000 * busy / len(texts) for _, busy in times)
            print(f"| {name} | {statistics.median(rates):,.0f} ({rates[0]:,.0f} - {rates[-1]:,.0f}) | {cost:.2f} |")
    if other:
        ratios = sorted(theirs[0] / ours[0] for ours, theirs in zip(own, other, strict=True))
        cpu = statistics.median(theirs[1] / ours[1] for ours, theirs in zip(own, other, strict=True))
        print(f"\n{statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} - {ratios[-1]:.2f}); ", end="")
        print(f"{cpu:.2f} times as many images in the same processor time")


IMG2DATASET = """
import sys
from img2dataset import download
if __name__ == "__main__":
    download(url_list=sys.argv[1], input_format="tsv", url_col="url", caption_col="caption", output_folder=sys.argv[2],
             output_format="webdataset", processes_count=2, thread_count=64, resize_mode="no", skip_reencode=True,
             number_sample_per_shard=1000, enable_wandb=False, retries=0)
"""


def hostile(index: Path | None, rows: int | None, kills: int, scratch: Path) -> None:
    """A download undisturbed, one that is killed again and again, and what both give."""
    texts = captions(index, rows)
    with Server() as port:
        listed = scratch / "index.tsv"
        treatment = write_index(listed, texts, port, True)
        limits = ("--connections", 256, "--per-host", 256, "--deadline", 10, "--retries", 1, "--allow-private")
        limits += ("--max-file-bytes", 4 << 20)
        base = ("download", "cc3m", "--index", listed, *limits)
        seconds, _ = timed(command(*base, "--out", scratch / "whole"))
        report = json.loads((scratch / "whole" / "report.json").read_text())
        expected: dict[str, int] = {}
        for kind in treatment:
            cause = CAUSES.get(kind, "ok")
            expected[cause] = expected.get(cause, 0) + 1
        found = {"ok": report["ok"], **report["causes"]}
        print(f"{len(texts):,} rows in {seconds:.0f} s; {report['ok']:,} images, {len(found) - 1} causes of failure")
        for cause in sorted({*expected, *found}, key=lambda name: -expected.get(name, 0)):
            right = "" if expected.get(cause) == found.get(cause) else "   WRONG"
            print(f"  {cause:<20} {expected.get(cause, 0):>7} served {found.get(cause, 0):>7} reported{right}")
        chosen = random.Random(1)
        done = 0
        while True:
            process = subprocess.Popen(command(*base, "--out", scratch / "killed"), stderr=subprocess.PIPE, text=True)
            try:
                if done < kills:
                    process.wait(chosen.uniform(0.5, max(2.0, seconds / kills)))
                break_off = process.wait() if done >= kills else 0
                if process.returncode or break_off:
                    raise SystemExit(process.communicate()[1][-2000:])
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                done += 1
    digests = []
    for name in ("whole", "killed"):
        out = scratch / f"{name}.beton"
        timed(command("convert", "cc3m", "--shards", scratch / name, "--out", out))
        digests.append(hashlib.sha256(out.read_bytes()).hexdigest())
    same = digests[0] == digests[1]
    print(f"killed {done} times: the .beton file is {'byte-identical' if same else 'DIFFERENT'} ({digests[0][:16]})")
    if not same or found != expected:
        raise SystemExit(1)


def main() -> None:
    """Runs the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("rate", "hostile", "both"), default="both")
    parser.add_argument("--index", type=Path, help="whose captions to take; made up if absent")
    parser.add_argument("--rows", type=int, help="default: the index's, or 5,000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--img2dataset", metavar="PYTHON", help="interpreter of an environment that has it")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    with tempfile.TemporaryDirectory(prefix="ffprep-bench-", ignore_cleanup_errors=True) as name:
        if options.part != "hostile":
            rows = options.rows or 5000
            rate(options.index, rows, options.rounds, options.img2dataset, options.connections, Path(name))
        if options.part != "rate":
            folder = Path(name) / "hostile"
            folder.mkdir()
            hostile(options.index, options.rows, options.kills, folder)


if __name__ == "__main__":
    main()
